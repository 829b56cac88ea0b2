"""What a process serves with: a checkpoint that is loaded and checked, decoders, and the server's configuration."""

import atexit
import gc
import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import uvicorn
from fastapi import FastAPI

from app.engine.cpu_budget import Threads, decoders_of, threads_of
from app.engine.decoder import Setup
from app.engine.decoder_pool import try_out
from app.engine.fork_server import ForkServer
from app.engine.inference import Inference
from app.lifecycle import Drain
from app.metrics import Metrics
from app.server.protocol import BoundedProtocol
from app.settings import Settings
from model.checkpoint import Header, load
from model.imaging.decoding import ImageLimits
from model.verifier import Verifier

logger = logging.getLogger("facepair")

# Just below the largest block that glibc learns from.
LARGE_BYTES = 31 * 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class Replica:
    """What an application answers with. Nothing listens yet, and decoders start inside the context of `inference`."""

    inference: Inference
    metrics: Metrics
    drain: Drain


def open_replica(settings: Settings) -> Replica:
    """Loads and warms up the checkpoint while the fork server starts, then tries out a decoder.

    Raises FacepairError.
    """
    fork_server = ForkServer(settings.log_level)
    verifier = open_verifier(settings)
    try_out(fork_server, set_up_decoders(settings, verifier.header))
    replica = build_replica(settings, verifier, fork_server)
    header = verifier.header
    fields = {"model": header.name, "embedding_sha256": header.embedding_sha256, "device": verifier.embedder.device}
    logger.info("model loaded", extra={"fields": fields})
    return replica


def build_replica(settings: Settings, verifier: Verifier, fork_server: ForkServer) -> Replica:
    """A replica around a verifier of `open_verifier`."""
    metrics, drain = Metrics(), Drain()
    header = verifier.header
    metrics.model_info.labels(header.name, header.embedding_sha256, verifier.embedder.device).set(1)
    inference = Inference(
        verifier,
        fork_server,
        metrics,
        setup=set_up_decoders(settings, header),
        decoders=decoders_of(settings),
        threads=_threads(settings, header),
        max_batch=settings.max_batch,
        drain=drain,
    )
    return Replica(inference=inference, metrics=metrics, drain=drain)


def open_verifier(settings: Settings) -> Verifier:
    """Loads the checkpoint, warms the network up and checks the canary pair.

    It comes before the event loop and the listener, so that a service that listens can answer. Raises FacepairError.
    It is done on a thread that ends: OpenMP's threads belong to the one that computes, and with two such there would be
    more of them than cores, which makes them sleep between any two steps of the network.
    """
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="opening") as opening:
        return opening.submit(_open, settings).result()


def _open(settings: Settings) -> Verifier:
    verifier = Verifier.of(load(settings.weights), settings.device)
    _warm_up(verifier, _threads(settings, verifier.header))
    verifier.check_canary()
    return verifier


def _warm_up(verifier: Verifier, threads: Threads) -> None:
    """The network alone and as a pair: first passes are slow, and no caller's."""
    channels, side = verifier.header.preprocessing.input_shape
    pixels = np.zeros((side, side) if channels == 1 else (side, side, channels), np.uint8)
    for count in (threads.beside, threads.alone):
        verifier.embedder.use_threads(count)
        for size in (1, 2):
            verifier.embed(np.stack([pixels] * size))


def _threads(settings: Settings, header: Header) -> Threads:
    return threads_of(settings, finds_faces=header.preprocessing.alignment is not None)


def set_up_decoders(settings: Settings, header: Header) -> Setup:
    """What decoders are told."""
    return Setup(
        config=header.preprocessing,
        trained_on=header.trained_on,
        detector=settings.detector,
        limits=ImageLimits(max_pixels=settings.max_pixels, min_side_px=settings.min_side_px),
        limit_s=settings.deadline_s,
    )


def configure_server(settings: Settings, app: FastAPI) -> uvicorn.Config:
    """uvicorn's configuration for the application."""
    return uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        http=BoundedProtocol,
        ws="none",
        timeout_keep_alive=settings.keep_alive_s,
        timeout_graceful_shutdown=settings.grace_s,
        log_config=None,
        access_log=False,
        server_header=False,
    )


def freeze_heap() -> None:
    """Makes the process one that has come to stay.

    What was loaded is no longer searched for garbage: that stops all threads for 0.2 s now and then. And glibc, which
    gives memory back to the system and fetches it again in every pass of the network, keeps as much as the largest
    block that it has seen freed.
    """
    gc.collect()
    gc.freeze()
    atexit.register(gc.unfreeze)  # else libraries that count their objects at the end report them as lost, at length
    bytearray(LARGE_BYTES)
