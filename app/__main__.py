"""`python -m app`: reads the settings, loads the checkpoint, listens."""

import argparse
import logging
import signal
import sys
from collections.abc import Sequence

import uvicorn

from app.draining import Drain, Server
from app.main import create_app, open_verifier
from app.settings import PREFIX, Settings, read_settings
from app.telemetry import configure_logging
from model.errors import FacepairError

logger = logging.getLogger("facepair")

UNSET = {"threads": "one a core", "detector": "the installed one"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit status: 0 after an orderly end, 1 after the loss of the device, or with one line on standard
    error if it cannot start.
    """
    flags = {name: value for name, value in vars(_parser().parse_args(arguments)).items() if value is not None}
    try:
        settings = read_settings(flags)
        configure_logging(settings.log_level)
        drain = Drain()
        verifier = open_verifier(settings)
        app = create_app(settings, verifier, drain)
    except FacepairError as error:
        logger.debug("cannot start", exc_info=error)
        print(f"error: {error}", file=sys.stderr)  # noqa: T201 (for a person, before there is a service that logs)
        return 1
    header = verifier.header
    fields = {"model": header.name, "embedding_sha256": header.embedding_sha256, "device": str(verifier.device)}
    logger.info("model loaded", extra={"fields": fields})
    # uvicorn ends in order, then raises the signal once more: that must not make a status of its own.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
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
    Server(config, drain, settings.drain_s).run()
    return 1 if drain.device_lost else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m app", description="Serves face verification over HTTP. A flag wins over its variable."
    )
    for name, field in Settings.model_fields.items():
        default = UNSET.get(name, field.default)
        parser.add_argument(
            f"--{name.replace('_', '-')}",
            metavar="VALUE",
            help=f"{field.description} ({PREFIX}{name.upper()}; default: {default})",
        )
    return parser


if __name__ == "__main__":
    sys.exit(main())
