"""What becomes of requests that wait for a pass of the network: they share it, are late, fail, or are left."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import numpy as np
import pytest
from fastapi import FastAPI

from app.engine.decoder_pool import MSG_TOO_SLOW
from app.settings import Settings
from model.arrays import Embeddings, Pixels
from model.checkpoint import load
from model.embedder import open_embedder
from model.verifier import Verifier
from tests.app.support.leaving_client import post_and_leave
from tests.app.support.modified_verifier import Gate
from tests.app.support.requests import ANNA, BERTA, check_problem, multipart, pair
from tests.app.support.stopped_decoders import stopped
from tests.conftest import app_of

pytestmark = pytest.mark.anyio

DEADLINE_S = 2.0
IN_PROGRESS, DECODED = "facepair_images_in_progress", 'facepair_stage_seconds_count{stage="decode"}'
BLACK, WHITE = (np.full((105, 105), tone, np.uint8) for tone in (0, 255))


class Held(Verifier):
    """Stops in its first pass, and fails with a white picture."""

    def __init__(self, checkpoint_path: Path) -> None:
        checkpoint = load(checkpoint_path)
        super().__init__(checkpoint.header, open_embedder(checkpoint, "cpu"))
        self.gate = Gate()
        self.passes: list[int] = []

    def embed(self, pixels: Pixels, threads: int | None = None) -> Embeddings:
        """float32 (B, D)."""
        self.passes.append(len(pixels))
        if len(self.passes) == 1:
            self.gate.wait()
        if (pixels == 255).all(axis=(1, 2)).any():
            raise RuntimeError("white")
        return super().embed(pixels, threads)


@pytest.fixture
def held(checkpoint_path: Path) -> Held:
    return Held(checkpoint_path)


@asynccontextmanager
async def serving(
    settings: Settings, verifier: Verifier, **changes: object
) -> AsyncIterator[tuple[FastAPI, httpx.AsyncClient]]:
    """An application with one pass at a time, and a client."""
    async with app_of(settings.model_copy(update={"threads": 1, **changes}), verifier) as served:
        yield served


async def test_request_past_its_deadline_is_answered_and_not_computed(settings: Settings, held: Held) -> None:
    async with serving(settings, held, deadline_s=DEADLINE_S) as (_, client):
        first = asyncio.create_task(client.post("/verify", files=pair()))
        await asyncio.to_thread(held.gate.reached.wait)
        check_problem(await client.post("/verify", files=pair()), 504, "deadline_passed")  # while the pass goes on
        held.gate.opened.set()
        assert (await first).status_code == 200
        shown = (await client.get("/metrics")).text
    assert held.passes == [2]
    assert 'facepair_problems_total{code="deadline_passed"} 1.0' in shown


async def test_image_past_its_deadline_is_not_decoded(settings: Settings, verifier: Verifier) -> None:
    async with serving(settings, verifier, deadline_s=DEADLINE_S, decoders=1) as (app, client):
        with stopped(app.state.inference.decoders):
            response = await client.post("/verify", files=pair())  # the decoder has begun with one of the images
            check_problem(response, 504, "deadline_passed")
            assert response.json()["detail"] == MSG_TOO_SLOW
        assert (await client.post("/verify", files=pair())).status_code == 200
        assert await metric(client, DECODED) == 3


async def test_abandoned_request_is_not_computed_and_releases_its_slots(settings: Settings, held: Held) -> None:
    async with serving(settings, held) as (app, client):
        first = asyncio.create_task(client.post("/verify", files=pair()))
        await asyncio.to_thread(held.gate.reached.wait)
        status = await post_and_leave(
            app, "/verify", multipart(("image1", ANNA), ("image2", BERTA)), lambda: wait_for_second_request(client)
        )
        assert await metric(client, IN_PROGRESS) == 2
        held.gate.opened.set()
        assert (await first).status_code == 200
        assert await metric(client, IN_PROGRESS) == 0
        assert (await client.post("/verify", files=pair())).status_code == 200
    assert status == 499
    assert held.passes == [2, 2]


async def wait_for_second_request(client: httpx.AsyncClient) -> None:
    """Until the images of both requests are decoded."""
    while await metric(client, DECODED) < 4:
        await asyncio.sleep(0.01)
    assert await metric(client, IN_PROGRESS) == 4  # and the event loop has gone on to the network


async def metric(client: httpx.AsyncClient, name: str) -> float:
    lines = (await client.get("/metrics")).text.splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith(f"{name} "))


@pytest.mark.parametrize(
    ("path", "kind", "status", "code"),
    [
        ("/compare", "application/json", 504, "deadline_passed"),
        ("/compare", "text/plain", 415, "unsupported_content_type"),
        ("/verify", "multipart/form-data; boundary=edge", 504, "deadline_passed"),
        ("/verify", "application/json", 504, "deadline_passed"),
        ("/verify", "text/plain", 415, "unsupported_content_type"),
    ],
)
async def test_stalled_body_is_answered_in_time(
    settings: Settings, verifier: Verifier, path: str, kind: str, status: int, code: str
) -> None:
    async def stalling() -> AsyncIterator[bytes]:
        yield b"--edge" if "edge" in kind else b"{"
        await asyncio.Event().wait()

    async with serving(settings, verifier, upload_s=0.3) as (_, client):
        answer = await client.post(path, content=stalling(), headers={"Content-Type": kind})
        check_problem(answer, status, code)


async def test_slow_readiness_check_is_not_ready(
    settings: Settings, held: Held, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.api.routes.health.READINESS_TIMEOUT_S", 0.3)
    monkeypatch.setattr(held, "check_canary", held.gate.wait)
    async with serving(settings, held) as (_, client):
        check_problem(await client.get("/health/ready"), 503, "not_ready")
        held.gate.opened.set()


async def test_requests_that_share_a_failing_pass_are_retried_alone(settings: Settings, held: Held) -> None:
    async with serving(settings, held) as (app, _):
        inference = app.state.inference
        first = asyncio.create_task(inference.embed([BLACK]))
        await asyncio.to_thread(held.gate.reached.wait)
        others = [asyncio.create_task(inference.embed([picture])) for picture in (BLACK, WHITE, BLACK, BLACK)]
        await asyncio.sleep(0)
        held.gate.opened.set()
        results = await asyncio.gather(first, *others, return_exceptions=True)
    assert held.passes == [1, 4, 1, 1, 1, 1]
    assert [str(result) for result in results if isinstance(result, Exception)] == ["white"]
    assert isinstance(results[2], RuntimeError)


async def test_passes_respect_max_batch(settings: Settings, held: Held) -> None:
    async with serving(settings, held, max_batch=3) as (app, _):
        inference = app.state.inference
        first = asyncio.create_task(inference.embed([BLACK]))
        await asyncio.to_thread(held.gate.reached.wait)
        others = [asyncio.create_task(inference.embed([BLACK] * count)) for count in (1, 1, 1, 1, 7)]
        await asyncio.sleep(0)
        held.gate.opened.set()
        await asyncio.gather(first, *others)
    assert held.passes[:2] == [1, 3]
    assert max(held.passes) == 3
    assert sum(held.passes) == 12
