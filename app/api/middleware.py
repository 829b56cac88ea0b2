"""What wraps every request: checks of its head, and its answer's id, headers, pace, log line and metrics.

During an overload most answers are refusals, which pass all of it. So it is two middlewares that work on ASGI's headers
as they are. Logs and metrics never contain file names, pixels, embeddings or similarities.
"""

import asyncio
import logging
import os
import re
import time
from collections.abc import Callable, Sequence
from http import HTTPStatus

from opentelemetry import trace
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.heads import header_of
from app.api.limits.pace import Pace
from app.api.problems import Problem, ProblemResponse
from app.api.upload_route import awaits_continue
from app.lifecycle import Drain
from app.metrics import Metrics
from app.traces import current_trace_id

logger = logging.getLogger("facepair")

REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
REQUEST_ID_BYTES = 16
UNMATCHED = "unmatched"
# Balancers ask these every second; at level info they are logged only when they fail.
PROBES = {"/health/live", "/health/ready", "/metrics"}


# Of every answer: stored by no cache, since it may describe faces, and shown in no frame of another page.
HEADERS = (
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
)
CLOSE = (b"connection", b"close")

# Raises Problem if the head of a request is not answered.
Check = Callable[[Scope], None]


class AnswerMiddleware:
    """Gives each request an id, counts and logs it, and answers an unexpected exception with an opaque 500.

    Answers have HEADERS, unless they have their own, and those without work are held when there are too many of them.

    A connection is closed with its answer while the replica drains, so that the next request goes to another replica,
    and if its client still waits for `100 Continue`: the client may send its body all the same or not, so the service
    could not tell where its next request begins.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics, pace: Pace, drain: Drain, *, traced: bool) -> None:
        """`traced` is whether requests may have spans."""
        self._app = app
        self._metrics = metrics
        self._pace = pace
        self._drain = drain
        self._traced = traced

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _request_id(header_of(scope, b"x-request-id"))
        state = scope.setdefault("state", {})
        state["request_id"] = request_id
        status = 0
        started = time.perf_counter()

        async def send_completed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                self._complete(message, scope)
            await send(message)

        async def send_in_pace(message: Message) -> None:
            if message["type"] == "http.response.start":
                if state.get("worked") and message["status"] < HTTPStatus.BAD_REQUEST:
                    self._pace.note_work()
                else:
                    await self._pace.hold()
            await send_completed(message)

        try:
            await self._app(scope, receive, send_in_pace)
        except asyncio.CancelledError:  # by uvicorn, when the grace time after SIGTERM is over
            if status:
                raise
            problem = Problem("not_ready", "the service ended before the request did; send it again")
            await ProblemResponse(problem, request_id)(scope, receive, send_completed)
        except Exception:
            logger.exception("unexpected failure", extra={"fields": {"request_id": request_id}})
            if status == 0:
                problem = Problem("internal_error", "the request could not be completed; it was logged")
                await ProblemResponse(problem, request_id)(scope, receive, send_completed)
        finally:
            self._record(scope, status, time.perf_counter() - started)

    def _complete(self, start: Message, scope: Scope) -> None:
        """Adds to the headers of an answer what it lacks."""
        headers = start["headers"]
        present = {name for name, _ in headers}
        start["headers"] = headers = [*headers, *(each for each in HEADERS if each[0] not in present)]
        headers.append((b"x-request-id", scope["state"]["request_id"].encode()))
        if (self._drain.leaving or awaits_continue(scope)) and CLOSE not in headers:
            headers.append(CLOSE)
        if self._traced:
            _describe_span(scope)

    def _record(self, scope: Scope, status: int, seconds: float) -> None:
        state, route = scope["state"], getattr(scope.get("route"), "path", UNMATCHED)
        code = state.get("problem_code")
        self._metrics.count_answer(route, status, code, seconds)
        fields = {
            "request_id": state["request_id"],
            "route": route,
            "status": status,
            "duration_ms": round(seconds * 1000, 2),
        }
        if code:
            fields["code"] = code
        if "api_key" in state:  # the name that app.doors.keys gave to it
            fields["api_key"] = state["api_key"]
        if self._traced and (trace_id := current_trace_id()):
            fields["trace_id"] = trace_id
        level = logging.DEBUG if route in PROBES and status == HTTPStatus.OK else logging.INFO
        logger.log(level, "request", extra={"fields": fields})


class CheckingMiddleware:
    """Answers with the problem that a check raises, before a route is looked for or a byte of the body is read."""

    def __init__(self, app: ASGIApp, checks: Sequence[Check]) -> None:
        self._app = app
        self._checks = checks

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            try:
                for check in self._checks:
                    check(scope)
            except Problem as problem:
                await ProblemResponse(problem, scope["state"]["request_id"])(scope, receive, send)
                return
        await self._app(scope, receive, send)


def _describe_span(scope: Scope) -> None:
    """Adds what the log line has to the span of the request, if it is traced."""
    attributes = {"facepair.request_id": scope["state"]["request_id"], "error.type": scope["state"].get("problem_code")}
    trace.get_current_span().set_attributes({name: value for name, value in attributes.items() if value})


def _request_id(offered: bytes) -> str:
    """The caller's own id if it is short and plain, else a new one."""
    return offered.decode() if REQUEST_ID.fullmatch(offered) else os.urandom(REQUEST_ID_BYTES).hex()
