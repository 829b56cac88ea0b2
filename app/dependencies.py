"""What routes ask FastAPI for: the parts of the application, and a request's turn."""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends, Request

from app.admission import Turn
from app.draining import Drain
from app.inference import Inference
from app.problems import Problem
from app.settings import Settings
from app.telemetry import Metrics


# Dependencies are coroutines, since FastAPI calls others on threads: that takes longer, and admission has no lock.
async def _settings(request: Request) -> Settings:
    settings: Settings = request.app.state.settings
    return settings


async def _inference(request: Request) -> Inference:
    inference: Inference = request.app.state.inference
    return inference


async def _metrics(request: Request) -> Metrics:
    metrics: Metrics = request.app.state.metrics
    return metrics


async def _drain(request: Request) -> Drain:
    drain: Drain = request.app.state.drain
    return drain


async def _turn(request: Request) -> AsyncIterator[Turn]:
    with request.app.state.admission.turn() as turn:
        yield turn


async def _request_id(request: Request) -> str:
    request_id: str = request.state.request_id
    return request_id


async def refuse_query(request: Request) -> None:
    """Raises Problem if options stand in the address instead of the body."""
    if request.url.query:
        raise Problem("unexpected_query", "send options as parts or fields of the body")


WithSettings = Annotated[Settings, Depends(_settings)]
WithInference = Annotated[Inference, Depends(_inference)]
WithMetrics = Annotated[Metrics, Depends(_metrics)]
WithTurn = Annotated[Turn, Depends(_turn, scope="function")]  # its images are given back before the answer goes
WithDrain = Annotated[Drain, Depends(_drain)]
WithRequestId = Annotated[str, Depends(_request_id)]
