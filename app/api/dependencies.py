"""What routes take from the application: its parts, a request's turn, and work that ends when its caller leaves.

They are functions that routes call and not dependencies, which took FastAPI a fifth of the event loop's time.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from fastapi import Request
from starlette.requests import ClientDisconnect

from app.api.admission import Turn
from app.api.problems import Problem
from app.engine.inference import Inference
from app.lifecycle import Drain
from app.metrics import Metrics
from app.settings import Settings

T = TypeVar("T")


def settings_of(request: Request) -> Settings:
    """The settings."""
    settings: Settings = request.app.state.settings
    return settings


def inference_of(request: Request) -> Inference:
    """Where the work is done."""
    inference: Inference = request.app.state.inference
    return inference


def metrics_of(request: Request) -> Metrics:
    """What is counted."""
    metrics: Metrics = request.app.state.metrics
    return metrics


def drain_of(request: Request) -> Drain:
    """Whether the replica is leaving."""
    drain: Drain = request.app.state.drain
    return drain


def turn_of(request: Request) -> Turn:
    """The request's turn, which begins now. Raises Problem if options stand in the address instead of the body."""
    if request.url.query:
        raise Problem("unexpected_query", "send options as parts or fields of the body")
    turn: Turn = request.app.state.admission.turn()
    return turn


def request_id_of(request: Request) -> str:
    """The caller's, or the one that it was given."""
    request_id: str = request.state.request_id
    return request_id


async def cancel_on_disconnect(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """What the work gives, once the request's body was read. Raises ClientDisconnect, and cancels the work, if the
    caller closes the connection before.
    """
    working, leaving = asyncio.ensure_future(work), asyncio.ensure_future(_leave(request))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientDisconnect
        return working.result()
    finally:
        working.cancel()
        leaving.cancel()


async def _leave(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
