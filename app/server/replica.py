"""What a process that serves is made of: the application around a loaded checkpoint, and uvicorn's configuration."""

import atexit
import gc
import logging
from dataclasses import dataclass

import uvicorn
from fastapi import FastAPI

from app.application import create_app, open_verifier, set_up_decoders
from app.engine.decoder_pool import try_out
from app.engine.fork_server import ForkServer
from app.server.protocol import BoundedProtocol
from app.server.shutdown import Drain
from app.settings import Settings

logger = logging.getLogger("facepair")

# Just below the largest block that glibc learns from.
LARGE_BYTES = 31 * 1024 * 1024


@dataclass(frozen=True)
class Replica:
    """An application that can answer, and the server's configuration; nothing listens yet."""

    app: FastAPI
    config: uvicorn.Config
    drain: Drain


def open_replica(settings: Settings) -> Replica:
    """Loads the checkpoint, warms it up and settles; beside it what decoders need is loaded, and one is tried out.

    Raises FacepairError.
    """
    drain, fork_server = Drain(), ForkServer(settings.log_level)
    verifier = open_verifier(settings)
    try_out(fork_server, set_up_decoders(settings, verifier))
    app = create_app(settings, verifier, fork_server, drain)
    header = verifier.header
    fields = {"model": header.name, "embedding_sha256": header.embedding_sha256, "device": verifier.embedder.device}
    freeze_heap()
    logger.info("model loaded", extra={"fields": fields})
    config = uvicorn.Config(
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
    return Replica(app, config, drain)


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
