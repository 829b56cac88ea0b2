"""What routes without a body ask FastAPI for: the parts of the replica, and what belongs to the request.

All are coroutines: FastAPI would run plain functions on threads.
"""

from typing import Annotated

from fastapi import Depends, Request

from app.engine.inference import Inference
from app.lifecycle import Drain
from app.metrics import Metrics
from app.settings import Settings


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


async def _request_id(request: Request) -> str:
    """The client's, or the one that the middleware gave."""
    request_id: str = request.state.request_id
    return request_id


SettingsDep = Annotated[Settings, Depends(_settings)]
InferenceDep = Annotated[Inference, Depends(_inference)]
MetricsDep = Annotated[Metrics, Depends(_metrics)]
DrainDep = Annotated[Drain, Depends(_drain)]
RequestIdDep = Annotated[str, Depends(_request_id)]
