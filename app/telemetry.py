"""What the service says of itself: JSON log lines, a request id, Prometheus metrics.

Neither holds file names, pixels, embeddings or similarities.
"""

import asyncio
import json
import logging
import re
import time
import uuid
import warnings
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.problems import Problem, respond

logger = logging.getLogger("facepair")

REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 45)
UNMATCHED = "unmatched"
# What is asked every second by machines; a line of it only where it fails.
PROBES = {"/health/live", "/health/ready", "/metrics"}
# Libraries whose lines quote the request: Pillow the EXIF (debug), python-multipart the body (warning).
TALKATIVE = ("PIL", "python_multipart")


class Metrics:
    """The metrics of one application, in a registry of its own, or of all workers, added up in a folder."""

    def __init__(self, folder: Path | None = None) -> None:
        """With a folder, `app.adding.add_up` comes first."""
        self.registry = self._shown = CollectorRegistry()
        if folder:
            self._shown = CollectorRegistry()
            MultiProcessCollector(self._shown, str(folder))  # type: ignore[no-untyped-call]
        self.requests = Counter("facepair_requests", "Requests answered", ["route", "status"], registry=self.registry)
        self.request_seconds = Histogram(
            "facepair_request_seconds", "From first byte to last", ["route"], buckets=SECONDS, registry=self.registry
        )
        self.stage_seconds = Histogram(
            "facepair_stage_seconds",
            "Time in decode, face, queue and inference",
            ["stage"],
            buckets=SECONDS,
            registry=self.registry,
        )
        self.batch_images = Histogram(
            "facepair_batch_images", "Images in a batch", buckets=(1, 2, 4, 8, 16, 32, 64), registry=self.registry
        )
        self.images_arriving = Gauge(
            "facepair_images_arriving", "Images whose uploads are under way", registry=self.registry,
            multiprocess_mode="livesum",
        )  # fmt: skip
        self.images_in_progress = Gauge(
            "facepair_images_in_progress", "Images decoded, waiting or in the network", registry=self.registry,
            multiprocess_mode="livesum",
        )  # fmt: skip
        self.refusals = Counter("facepair_refusals", "Requests refused or given up", ["reason"], registry=self.registry)
        self.model_info = Gauge(
            "facepair_model_info", "Always 1; the labels name the model that is served",
            ["name", "embedding_sha256", "device"], registry=self.registry, multiprocess_mode="livemax",
        )  # fmt: skip

    def show(self) -> bytes:
        """All of them as Prometheus reads them."""
        return generate_latest(self._shown)


class JsonFormatter(logging.Formatter):
    """One JSON object a line; `extra={"fields": {...}}` adds to it, and `always` to every one."""

    def __init__(self, **always: object) -> None:
        super().__init__()
        self._always = always

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
            **self._always,
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line)


def configure_logging(level: str, **always: object) -> None:
    """Sends every log record of the process to standard error as JSON, with what is said always."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter(**always))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.captureWarnings(True)
    warnings.filterwarnings("ignore", module=r"PIL\.")  # of every odd picture, with numbers from it, and kept for good
    for library in TALKATIVE:
        logging.getLogger(library).setLevel(logging.ERROR)


class TelemetryMiddleware:
    """Gives each request an id, counts and logs it, and turns an exception nobody expected into the opaque 500."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _request_id(Headers(scope=scope).get("x-request-id", ""))
        scope.setdefault("state", {})["request_id"] = request_id
        status = 0
        started = time.perf_counter()

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["X-Request-ID"] = request_id
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        except asyncio.CancelledError:  # by uvicorn, when the grace after SIGTERM is over
            if status:
                raise
            problem = Problem("not_ready", "the service ended before the request did; send it again")
            await respond(problem, request_id)(scope, receive, send_with_id)
        except Exception:
            logger.exception("unexpected failure", extra={"fields": {"request_id": request_id}})
            if status == 0:
                problem = Problem("internal_error", "the request could not be completed; it was logged")
                await respond(problem, request_id)(scope, receive, send_with_id)
        finally:
            self._record(scope, request_id, status, time.perf_counter() - started)

    def _record(self, scope: Scope, request_id: str, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", UNMATCHED)
        self._metrics.requests.labels(route, status).inc()
        self._metrics.request_seconds.labels(route).observe(seconds)
        fields = {"request_id": request_id, "route": route, "status": status, "duration_ms": round(seconds * 1000, 2)}
        level = logging.DEBUG if route in PROBES and status == HTTPStatus.OK else logging.INFO
        logger.log(level, "request", extra={"fields": fields})


def _request_id(offered: str) -> str:
    """The caller's own id if it is short and plain, else a new one."""
    return offered if REQUEST_ID.fullmatch(offered) else uuid.uuid4().hex
