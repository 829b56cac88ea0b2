"""The application: a verifier that is loaded and warm, and the routes around it."""

from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial

import numpy as np
from fastapi import FastAPI, Request, Response
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from app.api import health_routes as status
from app.api import routes
from app.api.admission import Admission
from app.api.middleware import TelemetryMiddleware
from app.api.openapi import complete, name_operation
from app.api.problems import Problem, from_domain, respond
from app.engine.batching import DeadlinePassed
from app.engine.cpu_budget import Threads, decoders_of, queue_of, threads_of, uploads_of
from app.engine.decoder import Setup
from app.engine.fork_server import ForkServer
from app.engine.inference import Inference
from app.metrics import Metrics
from app.server.shutdown import ClosingMiddleware, Drain
from app.settings import Settings
from model import __version__
from model.checkpoint import load
from model.errors import FacepairError
from model.imaging.decoding import ImageLimits
from model.verifier import Verifier

# What nginx logs for a client that left; nobody receives it.
CLIENT_CLOSED_REQUEST = 499
REFUSALS = {"queue_full", "out_of_memory", "device_lost", "deadline_passed"}
DOCS_FILES = "/docs/files"
# Starlette's answer for static files names no methods.
ALLOWED_OF_FILES = "GET, HEAD"
ABOUT = "Are these two photographs of the same person?"


def open_verifier(settings: Settings) -> Verifier:
    """Loads the checkpoint, warms the network up and checks the canary pair.

    It comes before the event loop and the listener, so that a service that listens can answer. Raises FacepairError.
    It is done on a thread that ends: OpenMP's threads belong to the one that computes, and with two such there would be
    more of them than cores, which makes them sleep between any two steps of the network.
    """
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="opening") as opening:
        return opening.submit(_open, settings).result()


def _open(settings: Settings) -> Verifier:
    verifier = Verifier.of(load(settings.weights), settings.device)
    _warm_up(verifier, _threads(settings, verifier))
    verifier.check_canary()
    return verifier


def set_up_decoders(settings: Settings, verifier: Verifier) -> Setup:
    """What decoders are told."""
    header = verifier.header
    return Setup(
        config=header.preprocessing,
        trained_on=header.trained_on,
        detector=settings.detector,
        limits=ImageLimits(max_pixels=settings.max_pixels, min_side_px=settings.min_side_px),
        limit_s=settings.deadline_s,
    )


def _threads(settings: Settings, verifier: Verifier) -> Threads:
    return threads_of(settings, finds_faces=verifier.header.preprocessing.alignment is not None)


def _warm_up(verifier: Verifier, threads: Threads) -> None:
    """The network alone and as a pair: first passes are slow, and no caller's."""
    channels, side = verifier.header.preprocessing.input_shape
    pixels = np.zeros((side, side) if channels == 1 else (side, side, channels), np.uint8)
    for count in (threads.beside, threads.alone):
        verifier.embedder.use_threads(count)
        for size in (1, 2):
            verifier.embed(np.stack([pixels] * size))


def create_app(
    settings: Settings,
    verifier: Verifier,
    fork_server: ForkServer,
    drain: Drain | None = None,
) -> FastAPI:
    """The application around a verifier of `open_verifier`; its lifespan starts and ends what it works with."""
    metrics, drain = Metrics(), drain or Drain()
    header = verifier.header
    metrics.model_info.labels(header.name, header.embedding_sha256, verifier.embedder.device).set(1)
    for reason in REFUSALS:
        metrics.refusals.labels(reason)  # from 0 on: what begins with its first count has no increase
    inference = Inference(
        verifier,
        fork_server,
        metrics,
        setup=set_up_decoders(settings, verifier),
        decoders=decoders_of(settings),
        threads=_threads(settings, verifier),
        max_batch=settings.max_batch,
        drain=drain,
    )

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with inference:
            yield

    app = FastAPIOffline(  # its /docs takes everything from here and nothing from a CDN
        redoc_url=None,
        static_url=DOCS_FILES,
        title="facepair",
        version=__version__,
        description=ABOUT,
        lifespan=lifespan,
        redirect_slashes=False,
        generate_unique_id_function=name_operation,
    )
    app.openapi = partial(complete, app)  # type: ignore[method-assign]  # as FastAPI's documentation has it
    app.state.settings = settings
    app.state.inference = inference
    app.state.metrics = metrics
    app.state.admission = Admission(uploads_of(settings), queue_of(settings), settings.deadline_s, metrics, drain)
    app.state.drain = drain
    app.include_router(routes.router)
    app.include_router(status.router)
    app.add_exception_handler(Problem, _answer_problem)
    app.add_exception_handler(FacepairError, _answer_domain_error)
    app.add_exception_handler(HTTPException, _answer_http_error)
    app.add_exception_handler(ClientDisconnect, _answer_nobody)
    app.add_exception_handler(DeadlinePassed, _answer_late)
    app.add_middleware(TelemetryMiddleware, metrics=metrics)
    app.add_middleware(ClosingMiddleware, drain=drain)
    return app


async def _answer_problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)
    if error.kind.code in REFUSALS:
        request.app.state.metrics.refusals.labels(error.kind.code).inc()
    return respond(error, request.state.request_id)


async def _answer_domain_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, FacepairError)
    return await _answer_problem(request, from_domain(error))  # what it raises the telemetry logs and answers


async def _answer_http_error(request: Request, error: Exception) -> Response:
    """Starlette's own: an unknown path or method."""
    assert isinstance(error, HTTPException)
    if error.status_code == 405:
        problem = Problem("method_not_allowed", "see the Allow header, and /docs for what each path takes")
        return respond(problem, request.state.request_id, error.headers or {"Allow": ALLOWED_OF_FILES})
    problem = Problem("not_found", "see /docs for the paths that there are")
    return respond(problem, request.state.request_id)


async def _answer_late(request: Request, error: Exception) -> Response:
    return await _answer_problem(request, Problem("deadline_passed", str(error)))


async def _answer_nobody(request: Request, error: Exception) -> Response:  # noqa: ARG001 (a handler's signature)
    return Response(status_code=CLIENT_CLOSED_REQUEST)
