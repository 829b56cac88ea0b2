"""Logs of all processes of the service: one JSON object a line, on standard error."""

import json
import logging
import warnings
from datetime import UTC, datetime
from typing import Any

# Libraries whose log lines quote the request: Pillow the EXIF (debug), python-multipart the body (warning).
QUOTING = ("PIL", "python_multipart")


class JsonFormatter(logging.Formatter):
    """One JSON object a line; `extra={"fields": {...}}` adds to it."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line)


def configure_logging(level: str) -> None:
    """Sends every log record of the process to standard error as JSON."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.captureWarnings(True)
    warnings.filterwarnings("ignore", module=r"PIL\.")  # they quote numbers of the image, and Python keeps them
    for library in QUOTING:
        logging.getLogger(library).setLevel(logging.ERROR)
