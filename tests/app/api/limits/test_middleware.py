"""What is answered without routing, and what is held."""

import time

import httpx
import pytest
from PIL import Image

from app.api.limits.pace import FREE_PER_S
from app.engine.inference import CHECKS_PER_S
from app.metrics import SHOWN_PER_S
from app.settings import Settings
from app.token_bucket import TokenBucket
from model.verifier import Verifier
from tests.app.support.requests import ANNA, pair, verify
from tests.conftest import app_of
from tests.drawing import encode

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(("path", "route"), [("/info", "/info"), ("/openapi.json", "unmatched")])
async def test_ready_answers_equal_the_first(client: httpx.AsyncClient, path: str, route: str) -> None:
    without_body = await client.head(path)
    first, again = await client.get(path), await client.get(path)
    assert (first.status_code, first.content) == (200, again.content)
    assert first.headers["x-request-id"] != again.headers["x-request-id"]
    ready = await client.head(path)
    for answer in (again, ready, without_body):
        assert {**answer.headers, "x-request-id": ""} == {**first.headers, "x-request-id": ""}
    assert ready.content == without_body.content == b""
    text = (await client.get("/metrics")).text
    assert f'facepair_requests_total{{route="{route}",status="200"}} 4.0' in text
    assert (await client.post(path)).status_code == 405


async def test_answers_without_work_are_held_and_those_with_work_are_not(
    settings: Settings, verifier: Verifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []

    async def note(seconds: float) -> None:
        waits.append(seconds)

    async with app_of(settings, verifier) as (app, client):
        pace = app.state.admission.pace
        monkeypatch.setattr(pace, "_free", TokenBucket(FREE_PER_S, clock=lambda: 0.0))  # nothing is free with time
        for _ in range(1000):
            pace.take()
        monkeypatch.setattr("app.api.limits.pace.asyncio.sleep", note)
        await client.get("/nowhere")
        assert len(waits) == 1
        await verify(client)
        assert len(waits) == 1
        refused = await client.post(
            "/verify", files=pair(ANNA, encode(Image.new("L", (5000, 5000)), "WEBP", lossless=True))
        )
        assert refused.status_code == 422
        assert len(waits) == 2, "an image that was refused is no work"


def most(per_s: float, started: float) -> float:
    """How often something may have happened since then that happens so often a second, with a burst of a second."""
    return per_s * (1 + time.perf_counter() - started) + 1


async def test_metrics_are_made_anew_only_some_times_a_second(client: httpx.AsyncClient) -> None:
    started = time.perf_counter()
    texts = {(await client.get("/metrics")).text for _ in range(5 * SHOWN_PER_S)}
    assert SHOWN_PER_S <= len(texts) <= most(SHOWN_PER_S, started)


async def test_readiness_runs_the_network_only_some_times_a_second(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    passes = 0
    check = Verifier.check_canary

    def count(verifier: Verifier) -> None:
        nonlocal passes
        passes += 1
        check(verifier)

    monkeypatch.setattr(Verifier, "check_canary", count)
    started = time.perf_counter()
    for _ in range(5 * CHECKS_PER_S):
        assert (await client.get("/health/ready")).status_code == 200
    assert CHECKS_PER_S <= passes <= most(CHECKS_PER_S, started)
