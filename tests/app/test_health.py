"""/health/live and /health/ready."""

from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from app.settings import Settings
from model.network import SiameseNetwork
from tests.app.altered import altered, drift, explode, spoil
from tests.app.asking import check_problem
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


async def test_a_network_that_fails_is_not_ready(settings: Settings, checkpoint_path: Path) -> None:
    async with client_of(settings, altered(checkpoint_path, explode)) as client:
        assert (await client.get("/health/live")).status_code == 200
        assert (await client.get("/health/ready")).status_code >= 500


async def test_readiness_is_asked_anew_each_time(settings: Settings, checkpoint_path: Path) -> None:
    networks: list[SiameseNetwork] = []
    async with client_of(settings, altered(checkpoint_path, networks.append)) as client:
        assert (await client.get("/health/ready")).status_code == 200
        drift(networks[0])
        assert (await client.get("/health/ready")).status_code == 503
