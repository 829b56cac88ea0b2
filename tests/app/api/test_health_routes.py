"""/health/live and /health/ready."""

import asyncio
import json
import threading
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from app.settings import Settings
from model.cpu.embedder import CpuEmbedder
from model.verifier import Verifier
from tests.app.support.modified_verifier import PATIENCE_S, Gate, drift, explode, modified_verifier, spoil
from tests.app.support.requests import check_problem, log_lines, pair, verify
from tests.app.support.threads import end_thread
from tests.conftest import build_app, client_of

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("state", ["live", "ready"])
async def test_a_sound_service_is_live_and_ready(client: httpx.AsyncClient, state: str) -> None:
    response = await client.get(f"/health/{state}")
    assert (response.status_code, response.json()) == (200, {"status": state})
    assert "retry-after" not in response.headers


@pytest.mark.parametrize("change", [drift, spoil])
async def test_network_with_another_score_is_live_but_not_ready(
    settings: Settings, checkpoint_path: Path, change: Callable[[CpuEmbedder], None]
) -> None:
    async with client_of(settings, modified_verifier(checkpoint_path, change)) as client:
        assert (await client.get("/health/live")).status_code == 200
        response = await client.get("/health/ready")
    check_problem(response, 503, "not_ready")
    assert int(response.headers["retry-after"]) >= 1


async def test_failing_network_is_not_ready_and_logged(
    settings: Settings, checkpoint_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with client_of(settings, modified_verifier(checkpoint_path, explode)) as client:
        assert (await client.get("/health/live")).status_code == 200
        response = await client.get("/health/ready")
    check_problem(response, 503, "not_ready")
    assert int(response.headers["retry-after"]) >= 1
    [error] = [line for line in map(json.loads, log_lines(caplog)) if line["level"] == "error"]
    assert "RuntimeError: SECRET cause" in error["exception"]
    assert error["request_id"] == response.json()["request_id"]


@pytest.mark.parametrize("path", ["/health/live", "/health/ready", "/info", "/metrics"])
async def test_head_is_answered_like_get(client: httpx.AsyncClient, path: str) -> None:
    response = await client.head(path)
    assert (response.status_code, response.content) == (200, b"")
    assert response.headers["content-type"] == (await client.get(path)).headers["content-type"]
    refused = await client.post(path)
    assert set(refused.headers["allow"].split(", ")) == {"GET", "HEAD"}


async def test_readiness_is_checked_each_time(settings: Settings, checkpoint_path: Path) -> None:
    embedders: list[CpuEmbedder] = []
    async with client_of(settings, modified_verifier(checkpoint_path, embedders.append)) as client:
        assert (await client.get("/health/ready")).status_code == 200
        drift(embedders[0])
        assert (await client.get("/health/ready")).status_code == 503


async def test_concurrent_readiness_probes_share_one_pass(settings: Settings, checkpoint_path: Path) -> None:
    gate, passes = Gate(), []
    verifier = modified_verifier(checkpoint_path, lambda _: None)
    check = verifier.check_canary

    def held() -> None:
        passes.append(1)
        gate.wait()
        check()

    verifier.check_canary = held  # type: ignore[method-assign]  # to count and to hold it
    async with client_of(settings, verifier) as client:
        asked = [asyncio.create_task(client.get("/health/ready")) for _ in range(20)]
        assert await asyncio.to_thread(gate.reached.wait, PATIENCE_S)
        leaving = asyncio.create_task(client.get("/health/ready"))
        await asyncio.sleep(0.01)
        leaving.cancel()
        gate.opened.set()
        assert {answer.status_code for answer in await asyncio.gather(*asked)} == {200}
        assert len(passes) == 1
        assert (await client.get("/health/ready")).status_code == 200
        assert len(passes) == 2


@pytest.mark.parametrize("state", ["live", "ready"])
async def test_ended_network_thread_is_neither_live_nor_ready(
    settings: Settings, verifier: Verifier, state: str
) -> None:
    before = set(threading.enumerate())
    async with client_of(settings, verifier) as client:
        assert (await client.get("/health/ready")).status_code == 200
        [network] = [each for each in set(threading.enumerate()) - before if each.name.startswith("network")]
        end_thread(network)
        check_problem(await client.post("/verify", files=pair()), 500, "internal_error")
        check_problem(await client.get(f"/health/{state}"), 503, "not_ready")


async def test_closed_network_is_neither_live_nor_ready(settings: Settings, verifier: Verifier) -> None:
    app = build_app(settings, verifier)
    async with app.state.inference:
        pass
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        for state in ("live", "ready"):
            check_problem(await client.get(f"/health/{state}"), 503, "not_ready")


async def test_hung_pass_is_neither_live_nor_ready(settings: Settings, checkpoint_path: Path) -> None:
    gate, short_limit = Gate(), settings.model_copy(update={"hung_s": 0.01})
    async with client_of(short_limit, modified_verifier(checkpoint_path, gate.before)) as client:
        working = asyncio.create_task(verify(client))
        assert await asyncio.to_thread(gate.reached.wait, PATIENCE_S)
        async with asyncio.timeout(PATIENCE_S):
            while (await client.get("/health/live")).status_code == 200:
                pass
        for state in ("live", "ready"):
            check_problem(await client.get(f"/health/{state}"), 503, "not_ready")
        gate.opened.set()
        await working
        assert (await client.get("/health/live")).status_code == 200
