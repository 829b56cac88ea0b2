"""What a process serves with: a checkpoint that is loaded and checked, decoders, and the server's configuration."""

import atexit
import ctypes
import gc
import logging
from dataclasses import dataclass
from functools import partial

import numpy as np
import uvicorn
from fastapi import FastAPI

from app.engine.cpu_budget import cores_of, decoders_of, threads_of
from app.engine.decoder import DecoderConfig
from app.engine.decoder_pool import Decoders
from app.engine.decoder_trial import try_out
from app.engine.fork_server import ForkServer
from app.engine.inference import Inference
from app.engine.memory_budget import decoder_memory_of
from app.engine.sandbox.confinement import Sandbox
from app.lifecycle import Drain
from app.metrics import Metrics
from app.server.connections import Connections, connections_for
from app.server.protocol import BoundedProtocol
from app.settings import Settings
from model.checkpoint import Header, load
from model.imaging.decoding import ImageLimits
from model.verifier import Verifier

logger = logging.getLogger("facepair")

# How many new objects start a search for garbage. With Python's 700, the objects of answers that are held
# were searched again and again, which took a twelfth of the event loop's time for a refusal.
NEW_OBJECTS = 5000


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
    _report(try_out(fork_server, decoder_config(settings, verifier.header)))
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
    decoders = Decoders(fork_server, decoder_config(settings, header), decoders_of(settings), metrics.observe_stages)
    inference = Inference(
        verifier,
        decoders,
        metrics,
        cores=cores_of(settings),
        threads=threads_of(settings),
        max_batch=settings.max_batch,
        drain=drain,
    )
    return Replica(inference=inference, metrics=metrics, drain=drain)


def open_verifier(settings: Settings) -> Verifier:
    """Loads the checkpoint, warms the network up and checks the canary pair. Raises FacepairError.

    It runs before the event loop and the listener, so that a service that listens can answer.
    """
    checkpoint = load(settings.weights)
    verifier = Verifier.of(checkpoint, settings.device, threads_of(settings))
    _warm_up(verifier)
    verifier.check_canary()
    return verifier


def _warm_up(verifier: Verifier) -> None:
    """Runs passes of one and of two crops, since the first ones are slow."""
    channels, side = verifier.header.preprocessing.input_shape
    crop = np.zeros((side, side) if channels == 1 else (side, side, channels), np.uint8)
    for threads in (1, None):
        for size in (1, 2):
            verifier.embed(np.stack([crop] * size), threads)


def decoder_config(settings: Settings, header: Header) -> DecoderConfig:
    """The configuration of every decoder."""
    return DecoderConfig(
        preprocessing=header.preprocessing,
        trained_on=header.trained_on,
        conditions=header.conditions,
        detector=settings.detector,
        limits=ImageLimits(max_pixels=settings.max_pixels, min_side_px=settings.min_side_px),
        limit_s=settings.deadline_s,
        sandbox=settings.sandbox,
        memory_bytes=decoder_memory_of(settings),
        images=settings.decoder_images,
    )


def _report(sandbox: Sandbox) -> None:
    """Logs what decoders can still do although the settings do not want it."""
    if sandbox.system_calls == "refused":
        logger.warning("decoders have no filter of system calls: the kernel refuses it")
    if sandbox.memory_bytes is None:
        logger.warning("decoders have no limit of memory: the system refuses it")


def configure_server(settings: Settings, app: FastAPI, metrics: Metrics) -> uvicorn.Config:
    """uvicorn's configuration for the application."""
    connections = Connections(connections_for(settings.connections), metrics)
    return uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        ssl_certfile=settings.tls_certificate,
        ssl_keyfile=settings.tls_key,
        http=partial(BoundedProtocol, connections),  # type: ignore[arg-type]  # uvicorn calls it like a class
        ws="none",
        timeout_keep_alive=settings.keep_alive_s,
        timeout_graceful_shutdown=settings.grace_s,
        log_config=None,
        access_log=False,
        proxy_headers=False,  # only spans would show the client's address and the proxy's scheme
        server_header=False,
    )


def freeze_heap() -> None:
    """Prepares the process to run for a long time, when everything is loaded.

    Python no longer searches loaded objects for garbage, which would stop all threads for 0.2 s now and then, and new
    ones less often. And glibc gives the system back what loading the network has freed, some 20 MB.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(NEW_OBJECTS)
    atexit.register(gc.unfreeze)  # otherwise libraries that count their objects at exit report leaks
    if trim := getattr(ctypes.CDLL(None), "malloc_trim", None):
        trim(0)
