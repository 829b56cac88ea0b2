"""The HTTP application: routes, middleware and error answers around an `Inference`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException
from starlette.routing import Route

from app.api.admission import Admission
from app.api.bodies.upload_clock import UploadPace
from app.api.heads import HeadCheck
from app.api.limits.middleware import ReadyMiddleware, RoomCheck
from app.api.middleware import AnswerMiddleware, Check, CheckingMiddleware
from app.api.openapi.document import CONTACT, DOCS_DOCUMENT, SERVERS, TAGS, complete, for_docs, name_operation
from app.api.problems import KINDS, Problem, ProblemResponse, from_domain
from app.api.routes import batch, embeddings, explain, health, images, info
from app.doors.keys import ApiKeys
from app.doors.middleware import KeyCheck, cors
from app.engine.batching import DeadlinePassed
from app.engine.inference import Inference
from app.lifecycle import Drain
from app.metrics import Metrics
from app.page.routes import make_router
from app.settings import Settings
from app.traces import OFF, Traces
from model import __version__
from model.errors import FacepairError

DOCS = ("/docs", DOCS_DOCUMENT)
DOCS_FILES = "/docs/files"
# Starlette's answer for static files names no methods.
ALLOWED_OF_FILES = "GET, HEAD"
# Of the paths that stay as they are; without it they are aliases.
VERSION = "/v1"
# What these answer is known once the checkpoint is loaded.
READY = ("/info", f"{VERSION}/info", "/openapi.json")
ABOUT = "Are these two photographs of the same person?"


def create_app(settings: Settings, inference: Inference, metrics: Metrics, drain: Drain) -> FastAPI:
    """The application, whose lifespan is the context of `inference`. Raises FacepairError."""

    uploading = (images.router, batch.router, explain.router, embeddings.router)
    traces = Traces.to(settings.traces_url) if settings.traces_url else None
    if traces:
        metrics.trace_stages = traces.record_stages

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with inference:
            yield
        if traces:
            traces.close()

    app = FastAPIOffline(  # its /docs takes everything from here and nothing from a CDN
        redoc_url=None,
        static_url=DOCS_FILES,
        title="facepair",
        version=__version__,
        description=ABOUT,
        contact=CONTACT,
        servers=SERVERS,
        openapi_tags=TAGS,
        swagger_ui_parameters={"url": DOCS_DOCUMENT.removeprefix("/")},  # from /docs, under any path of a proxy
        lifespan=lifespan,
        telemetry=traces.configure(_paths(*uploading)) if traces else OFF,
        redirect_slashes=False,
        generate_unique_id_function=name_operation,
    )
    app.add_api_route(DOCS_DOCUMENT, partial(_show_docs_document, app), include_in_schema=False)
    app.openapi = partial(complete, app)  # type: ignore[method-assign]  # as FastAPI's documentation has it
    app.state.settings = settings
    app.state.inference = inference
    app.state.metrics = metrics
    admission = app.state.admission = Admission(settings, metrics, drain)
    app.state.pace = UploadPace(limit_s=settings.upload_s)
    app.state.drain = drain
    for kind in KINDS:
        metrics.problems.labels(kind.code)  # shown as 0, since a series that begins with 1 shows no increase
    for router in (*uploading, info.router):
        app.include_router(router, prefix=VERSION)
        app.include_router(router, include_in_schema=False)
    app.include_router(health.router)
    if settings.metrics_port is None:
        app.include_router(health.metrics_router)
    if settings.page == "on":
        app.include_router(make_router())
    for route in app.routes:
        if isinstance(route, Route) and route.path in DOCS and route.methods:
            route.methods.add("HEAD")  # as all others have it
    app.add_exception_handler(Problem, _answer_problem)
    app.add_exception_handler(FacepairError, _answer_domain_error)
    app.add_exception_handler(HTTPException, _answer_http_error)
    app.add_exception_handler(DeadlinePassed, _answer_late)
    app.add_middleware(ReadyMiddleware, paths=READY)
    # In the order in which they are asked.
    checks: list[Check] = [HeadCheck(settings.allowed_hosts), RoomCheck(admission, _paths(*uploading))]
    if settings.api_keys_file:
        public = ["/metrics"] if settings.metrics == "open" else []
        checks.insert(1, KeyCheck(ApiKeys(settings.api_keys_file), public))
    if settings.cors_origins:  # around the keys, since a browser's preflight carries none
        app.add_middleware(CheckingMiddleware, checks=checks[1:])
        app.add_middleware(cors, allow_origins=settings.cors_origins)
        checks = checks[:1]
    app.add_middleware(CheckingMiddleware, checks=checks)
    app.add_middleware(AnswerMiddleware, metrics=metrics, pace=admission.pace, drain=drain, traced=bool(traces))
    return app


def _paths(*routers: APIRouter) -> dict[str, APIRoute]:
    """The routes by their paths and by the aliases."""
    routes = [route for router in routers for route in router.routes if isinstance(route, APIRoute)]
    return {prefix + route.path: route for route in routes for prefix in (VERSION, "")}


async def _show_docs_document(app: FastAPI) -> JSONResponse:
    return JSONResponse(for_docs(app.openapi()))


async def _answer_problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)
    return ProblemResponse(error, request.state.request_id)


async def _answer_domain_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, FacepairError)
    return await _answer_problem(request, from_domain(error))  # what it raises the telemetry logs and answers


async def _answer_http_error(request: Request, error: Exception) -> Response:
    """Starlette's own: an unknown path or method."""
    assert isinstance(error, HTTPException)
    if error.status_code == 405:
        why = "see the Allow header, and /docs for what each path takes"
        headers = error.headers or {"Allow": ALLOWED_OF_FILES}
        return await _answer_problem(request, Problem("method_not_allowed", why, headers=headers))
    return await _answer_problem(request, Problem("not_found", "see /docs for the paths that there are"))


async def _answer_late(request: Request, error: Exception) -> Response:
    return await _answer_problem(request, Problem("deadline_passed", str(error)))
