"""/health/live and /health/ready."""

import json
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from app.settings import Settings
from model.network import SiameseNetwork
from tests.app.altered import altered, drift, explode, spoil
from tests.app.asking import check_problem, log_lines
from tests.conftest import client_of

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("state", ["live", "ready"])
async def test_a_sound_service_is_live_and_ready(client: httpx.AsyncClient, state: str) -> None:
    response = await client.get(f"/health/{state}")
    assert (response.status_code, response.json()) == (200, {"status": state})
    assert "retry-after" not in response.headers


@pytest.mark.parametrize("change", [drift, spoil])
async def test_a_network_that_scores_otherwise_is_live_but_not_ready(
    settings: Settings, checkpoint_path: Path, change: Callable[[SiameseNetwork], None]
) -> None:
    async with client_of(settings, altered(checkpoint_path, change)) as client:
        assert (await client.get("/health/live")).status_code == 200
        response = await client.get("/health/ready")
    check_problem(response, 503, "not_ready")
    assert int(response.headers["retry-after"]) >= 1


async def test_a_network_that_fails_is_not_ready_and_the_log_says_why(
    settings: Settings, checkpoint_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with client_of(settings, altered(checkpoint_path, explode)) as client:
        assert (await client.get("/health/live")).status_code == 200
        response = await client.get("/health/ready")
    check_problem(response, 503, "not_ready")
    assert int(response.headers["retry-after"]) >= 1
    [error] = [line for line in map(json.loads, log_lines(caplog)) if line["level"] == "error"]
    assert "RuntimeError: SECRET cause" in error["exception"]
    assert error["request_id"] == response.json()["request_id"]


@pytest.mark.parametrize("state", ["live", "ready"])
async def test_a_balancer_may_ask_with_head(client: httpx.AsyncClient, state: str) -> None:
    response = await client.head(f"/health/{state}")
    assert (response.status_code, response.content) == (200, b"")
    refused = await client.post(f"/health/{state}")
    assert set(refused.headers["allow"].split(", ")) == {"GET", "HEAD"}


async def test_readiness_is_asked_anew_each_time(settings: Settings, checkpoint_path: Path) -> None:
    networks: list[SiameseNetwork] = []
    async with client_of(settings, altered(checkpoint_path, networks.append)) as client:
        assert (await client.get("/health/ready")).status_code == 200
        drift(networks[0])
        assert (await client.get("/health/ready")).status_code == 503
