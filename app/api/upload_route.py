"""How a request with a body is handled: it has a reservation, and its work is cancelled when the client leaves."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.requests import ClientDisconnect
from starlette.types import Scope

from app.api.admission import Admission, Reservation
from app.api.bodies.upload_clock import UploadPace
from app.api.heads import header_of
from app.api.problems import Problem
from app.engine.inference import Inference
from app.metrics import Metrics
from app.settings import Settings

# nginx's status for a client that left. It is only logged and counted.
CLIENT_CLOSED_REQUEST = 499
MSG_SLOWEST = "the replica needed the room for other uploads, and this one was the slowest; send the request again"

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class UploadRequest(Request):
    """A request with a reservation and the pace that its body must keep, which knows how far the body has come.

    It has the parts of the replica that routes work with: as dependencies, FastAPI would solve each by itself, which
    took a seventh of the event loop's time for a request.
    """

    def __init__(self, request: Request, reservation: Reservation) -> None:
        super().__init__(request.scope, request.receive)
        state = request.app.state
        self.settings: Settings = state.settings
        self.inference: Inference = state.inference
        self.metrics: Metrics = state.metrics
        self.pace: UploadPace = state.pace
        self.request_id: str = request.state.request_id
        self.reservation = reservation
        self.body_read = asyncio.Event()
        """Set when the last chunk has been read."""

    def ask_for_body(self) -> None:
        """Called before the first chunk is read: the server then sends `100 Continue` to a client that awaits it."""
        self.state.body_asked_for = True


def awaits_continue(scope: Scope) -> bool:
    """Whether the client holds its body back until it reads `100 Continue` (RFC 9110 section 10.1.1)."""
    return header_of(scope, b"expect").lower() == b"100-continue" and not scope["state"].get("body_asked_for")


class UploadRoute(APIRoute):
    """A route whose handler gets an `UploadRequest`.

    The reservation is released when the handler has ended, before the answer is sent. When the client closes the
    connection, the handler is cancelled.
    """

    def get_route_handler(self) -> Handler:
        """Called by FastAPI when the route is made."""
        handle = super().get_route_handler()

        async def handle_upload(request: Request) -> Response:
            if request.scope["query_string"]:
                raise Problem("unexpected_query", "send options as parts or fields of the body")
            admission: Admission = request.app.state.admission
            with admission.reserve() as reservation:
                upload = UploadRequest(request, reservation)
                try:
                    return await _handle_while_connected(handle, upload)
                finally:
                    request.state.worked = reservation.worked  # for app.api.limits.pace

        return handle_upload


async def _handle_while_connected(handle: Handler, request: UploadRequest) -> Response:
    try:
        async with asyncio.timeout(None) as work:  # it ends when the client leaves, or must make room for others
            request.reservation.ends_with(work)
            watch = asyncio.create_task(_end_when_client_leaves(request, work))
            try:
                return await handle(request)
            finally:
                watch.cancel()
    except ClientDisconnect:  # during the upload
        pass
    except TimeoutError:
        if not work.expired():
            raise
        if request.reservation.left:
            raise Problem("queue_full", MSG_SLOWEST) from None
    return Response(status_code=CLIENT_CLOSED_REQUEST)


async def _end_when_client_leaves(request: UploadRequest, work: asyncio.Timeout) -> None:
    """Until the body has been read, reading it notices that the client left."""
    await request.body_read.wait()
    while (await request.receive())["type"] != "http.disconnect":
        pass
    work.reschedule(asyncio.get_running_loop().time())
