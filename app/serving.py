"""What a process that serves is made of: the application around a loaded checkpoint, and uvicorn's configuration."""

import logging
from dataclasses import dataclass

import uvicorn
from fastapi import FastAPI

from app.draining import Drain
from app.main import create_app, open_verifier
from app.settings import Settings
from app.telemetry import Metrics

logger = logging.getLogger("facepair")


@dataclass(frozen=True)
class Replica:
    """An application that can answer, and the server's configuration; nothing listens yet."""

    app: FastAPI
    config: uvicorn.Config
    drain: Drain


def open_replica(settings: Settings, metrics: Metrics | None = None) -> Replica:
    """Loads the checkpoint and warms it up. Raises FacepairError."""
    drain = Drain()
    verifier = open_verifier(settings)
    app = create_app(settings, verifier, drain, metrics)
    header = verifier.header
    fields = {"model": header.name, "embedding_sha256": header.embedding_sha256, "device": str(verifier.device)}
    logger.info("model loaded", extra={"fields": fields})
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        http="httptools",
        timeout_keep_alive=settings.keep_alive_s,
        timeout_graceful_shutdown=settings.grace_s,
        log_config=None,
        access_log=False,
        server_header=False,
    )
    return Replica(app, config, drain)
