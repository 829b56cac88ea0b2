"""`python -m app`: reads the settings, loads the checkpoint, listens."""

import argparse
import logging
import signal
import sys
from collections.abc import Sequence

from app.lifecycle import forbid_core_dumps, open_standard_files, require_address_space, run_and_leave
from app.logs import configure_logging
from app.server.sockets import ListenError, require_certificate, require_free
from app.settings import PREFIX, Settings, read_settings
from model.errors import FacepairError

logger = logging.getLogger("facepair")

# How many times FACEPAIR_HUNG_S a health problem may last before the process ends. Balancers leave much earlier.
PATIENCE = 2

UNSET = {
    "large_pixels": "64 million a core",
    "threads": "one a core",
    "decoders": "one more than cores",
    "decoder_memory_bytes": "what the largest image needs; less if a container has little",
    "queue": "128 a core, at least 256",
    "detector": "the installed one",
    "api_keys_file": "none, and no key is needed",
    "cors_origins": "none",
    "allowed_hosts": "any",
    "metrics_port": "none",
    "tls_certificate": "none, and it speaks HTTP",
    "traces_url": "none, and nothing is traced",
    "tls_key": "in the file of the certificate",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit status: 0 after an orderly end, 1 after the device was lost or, with one line on standard error,
    if the service cannot start.
    """
    open_standard_files()
    flags = {name: value for name, value in vars(_parser().parse_args(arguments)).items() if value is not None}
    try:
        settings = read_settings(flags)
        configure_logging(settings.log_level)
        forbid_core_dumps()
        require_address_space()
        return _serve(settings)
    except FacepairError as error:
        logger.debug("cannot start", exc_info=error)
        for handler in logging.getLogger().handlers:
            handler.flush()
        print(f"error: {error}", file=sys.stderr)  # noqa: T201 (for a person; logging comes later)
        return 1


def _serve(settings: Settings) -> int:
    """The exit status: 0 after an orderly end. Raises FacepairError."""
    # Before uvicorn handles signals: a container's first process would otherwise ignore SIGTERM. And after it: uvicorn
    # ends in order and then raises the signal again, which must not change the exit status.
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, lambda *_: sys.exit(0))
    require_certificate(settings.tls_certificate, settings.tls_key)
    require_free(settings.host, settings.port)  # fails before loading, which takes long
    if settings.metrics_port is not None:
        if settings.metrics_port == settings.port:
            raise ListenError(f"--port and --metrics-port are both {settings.port}; choose another for one of them")
        require_free(settings.host, settings.metrics_port, "--metrics-port")
    from app.application import create_app
    from app.server.replica import configure_server, freeze_heap, open_replica
    from app.server.shutdown import Server

    replica = open_replica(settings)
    app = create_app(settings, replica.inference, replica.metrics, replica.drain)
    if settings.metrics_port is not None:
        replica.metrics.listen(settings.host, settings.metrics_port)
    freeze_heap()
    server = Server(
        configure_server(settings, app, replica.metrics),
        replica.drain,
        settings.drain_s,
        health_problem=lambda: replica.inference.health_problem(settings.hung_s),
        patience_s=PATIENCE * settings.hung_s,
    )
    server.run()
    return 0 if server.started and not replica.drain.device_lost else 1


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
    run_and_leave(main)
