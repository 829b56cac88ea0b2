"""What is answered without routing: refusals while there is no room, and routes whose answers never change."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.admission import Admission
from app.api.problems import Problem


class RoomCheck:
    """Refuses a request with 429 or 503 before its route is looked for, which would cost several times as much."""

    def __init__(self, admission: Admission, routes: Mapping[str, BaseRoute]) -> None:
        """`routes` by their paths."""
        self._admission = admission
        self._routes = routes

    def __call__(self, scope: Scope) -> None:
        """Raises Problem."""
        if scope["method"] != "POST" or not (route := self._routes.get(scope["path"])):
            return
        try:
            self._admission.require_room()
        except Problem:
            scope["route"] = route  # for the metrics
            raise


@dataclass
class _Recorded:
    """An answer, and the route that gave it."""

    route: object
    start: Message
    body: bytearray = field(default_factory=bytearray)


class ReadyMiddleware:
    """Repeats the first answer to GET of paths whose answers never change while the process runs."""

    def __init__(self, app: ASGIApp, paths: Sequence[str]) -> None:
        self._app = app
        self._recorded: dict[str, _Recorded | None] = dict.fromkeys(paths)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        if path not in self._recorded or scope["type"] != "http" or scope["method"] not in ("GET", "HEAD"):
            await self._app(scope, receive, send)
            return
        if recorded := self._recorded[path]:
            scope["route"] = recorded.route
            await send({**recorded.start, "headers": list(recorded.start["headers"])})
            body = bytes(recorded.body) if scope["method"] == "GET" else b""
            await send({"type": "http.response.body", "body": body})
            return
        await self._app(scope, receive, self._recording(scope, send) if scope["method"] == "GET" else send)

    def _recording(self, scope: Scope, send: Send) -> Send:
        """Sends an answer, and keeps it once it is complete."""
        answer: list[_Recorded] = []

        async def record(message: Message) -> None:
            if message["type"] == "http.response.start":
                start = {**message, "headers": list(message["headers"])}
                answer.append(_Recorded(scope.get("route"), start))
            else:
                answer[0].body += message.get("body", b"")
                if not message.get("more_body") and answer[0].start["status"] == 200:
                    self._recorded[scope["path"]] = answer[0]
            await send(message)

        return record
