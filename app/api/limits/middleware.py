"""Refuses requests with a body before anything else is done for them, while the replica has no room."""

from collections.abc import Sequence

from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from app.api.admission import Admission
from app.api.problems import Problem, respond
from app.api.upload_route import UploadRoute
from app.metrics import Metrics


class RefusingMiddleware:
    """Answers 429 or 503 without reading a request's body. Routing it would cost several times as much."""

    def __init__(self, app: ASGIApp, admission: Admission, metrics: Metrics, routes: Sequence[BaseRoute]) -> None:
        self._app = app
        self._admission = admission
        self._metrics = metrics
        self._routes = {route.path: route for route in routes if isinstance(route, UploadRoute)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "POST" and (route := self._routes.get(scope["path"])):
            try:
                self._admission.require_room()
            except Problem as problem:
                scope["route"] = route  # for the metrics
                self._metrics.refusals.labels(problem.kind.code).inc()
                await self._admission.refusals.hold()
                await respond(problem, scope["state"]["request_id"])(scope, receive, send)
                return
        await self._app(scope, receive, send)
