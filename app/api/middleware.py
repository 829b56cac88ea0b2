"""What wraps every request: its id, log line and metrics, and the end of its connection.

Logs and metrics never contain file names, pixels, embeddings or similarities.
"""

import asyncio
import logging
import re
import time
import uuid
from http import HTTPStatus

from opentelemetry import trace
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.problems import Problem, respond
from app.api.upload_route import awaits_continue
from app.lifecycle import Drain
from app.metrics import Metrics
from app.traces import current_trace_id

logger = logging.getLogger("facepair")

REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
UNMATCHED = "unmatched"
# Balancers ask these every second; at level info they are logged only when they fail.
PROBES = {"/health/live", "/health/ready", "/metrics"}


# Of every answer: stored by no cache, since it may describe faces, and shown in no frame of another page.
HEADERS = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
}


class TelemetryMiddleware:
    """Gives each request an id, counts and logs it, and answers an unexpected exception with an opaque 500.

    Answers have HEADERS, unless they have their own.
    """

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
                headers = MutableHeaders(scope=message)
                headers["X-Request-ID"] = request_id
                _describe_span(scope)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        except asyncio.CancelledError:  # by uvicorn, when the grace time after SIGTERM is over
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
        code = scope["state"].get("problem_code")
        if code:
            self._metrics.problems.labels(code).inc()
        fields = {"request_id": request_id, "route": route, "status": status, "duration_ms": round(seconds * 1000, 2)}
        # The error's code, and the name that app.doors.keys gave to the API key.
        further = {"code": code, "api_key": scope["state"].get("api_key"), "trace_id": current_trace_id()}
        fields |= {name: value for name, value in further.items() if value}
        level = logging.DEBUG if route in PROBES and status == HTTPStatus.OK else logging.INFO
        logger.log(level, "request", extra={"fields": fields})


class ClosingMiddleware:
    """Closes a connection with its answer while the replica drains, so that the next request goes to another replica.

    It also closes the connection of a client that still waits for `100 Continue`: the client may send its body all the
    same or not, so the service could not tell where its next request begins.
    """

    def __init__(self, app: ASGIApp, drain: Drain) -> None:
        self._app = app
        self._drain = drain

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_and_close(message: Message) -> None:
            if message["type"] == "http.response.start" and (
                self._drain.leaving or awaits_continue(HTTPConnection(scope))
            ):
                MutableHeaders(scope=message)["Connection"] = "close"
            await send(message)

        await self._app(scope, receive, send_and_close)


def _describe_span(scope: Scope) -> None:
    """Adds what the log line has to the span of the request, if it is traced."""
    attributes = {"facepair.request_id": scope["state"]["request_id"], "error.type": scope["state"].get("problem_code")}
    trace.get_current_span().set_attributes({name: value for name, value in attributes.items() if value})


def _request_id(offered: str) -> str:
    """The caller's own id if it is short and plain, else a new one."""
    return offered if REQUEST_ID.fullmatch(offered) else uuid.uuid4().hex
