"""Which threshold decides, and how rare a false match at the similarity is: /verify and /compare alike."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from app.server.replica import open_verifier
from app.settings import read_settings
from model.networks.embedder import save
from model.similarity import FalseMatchCurve, OperatingPoint
from tests.app.support.requests import ANNA, check_problem, compare_request, pair, verify
from tests.conftest import client_of, describe, tiny_network

pytestmark = pytest.mark.anyio

CURVE = FalseMatchCurve(thresholds=(0.0, 0.5, 1.0), rates=(1.0, 0.1, 0.001), split="held-out", pairs=900, people=30)


def point(name: str, max_fmr: float, threshold: float) -> OperatingPoint:
    return OperatingPoint(
        name=name,
        max_fmr=max_fmr,
        threshold=threshold,
        fmr=max_fmr / 2,
        interval=(0.0, max_fmr),
        split="held-out",
        pairs=900,
        people=30,
    )


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a service whose checkpoint has two operating points."""
    points = (point("fmr_1e-1", 0.1, 0.55), point("fmr_1e-2", 0.01, 0.7309))
    described = describe().model_copy(update={"operating_points": points, "false_match_curve": CURVE})
    save(tmp_path / "rules.safetensors", tiny_network(), described)
    settings = read_settings({"weights": tmp_path / "rules.safetensors", "device": "cpu"}, environment={})
    async with client_of(settings, open_verifier(settings)) as client:
        yield client


async def both(client: httpx.AsyncClient, **fields: float) -> list[httpx.Response]:
    """What /verify and /compare answer for a picture and itself: 0.731, the highest similarity of this network."""
    body = await compare_request(client)
    return [
        await client.post("/verify", files=pair(ANNA, ANNA), data={name: str(value) for name, value in fields.items()}),
        await client.post("/compare", json=body | {"embedding2": body["embedding1"]} | fields),
    ]


@pytest.mark.parametrize(("max_fmr", "threshold", "name"), [(0.1, 0.55, "fmr_1e-1"), (0.01, 0.7309, "fmr_1e-2")])
async def test_max_fmr_takes_its_operating_point(
    client: httpx.AsyncClient, max_fmr: float, threshold: float, name: str
) -> None:
    for response in await both(client, max_fmr=max_fmr):
        answer = response.json()
        assert (answer["threshold"], answer["operating_point"], answer["decision"]) == (threshold, name, "same")


async def test_operating_point_is_used(client: httpx.AsyncClient) -> None:
    """Two pictures between the two thresholds."""
    similarity = (await verify(client))["similarity"]
    assert 0.55 < similarity < 0.7309
    assert (await verify(client, max_fmr="0.1"))["verified"]
    assert not (await verify(client, max_fmr="0.01"))["verified"]


async def test_default_is_the_checkpoint_s_threshold(client: httpx.AsyncClient) -> None:
    for response in await both(client):
        assert (response.json()["threshold"], response.json()["operating_point"]) == (0.5, None)


@pytest.mark.parametrize("max_fmr", [0.02, 0.2, 0.9])
async def test_other_rates_take_the_curve_s_threshold(client: httpx.AsyncClient, max_fmr: float) -> None:
    for response in await both(client, max_fmr=max_fmr):
        answer = response.json()
        assert (answer["threshold"], answer["operating_point"]) == (0.5 if max_fmr > 0.1 else 0.7309, None)


@pytest.mark.parametrize("max_fmr", [0, 0.009, 1])
async def test_rates_that_were_not_measured_are_refused(client: httpx.AsyncClient, max_fmr: float) -> None:
    for response in await both(client, max_fmr=max_fmr):
        check_problem(response, 400, "invalid_field", "max_fmr")
        assert "max_fmr can be from 0.01 to below 1; send such a rate, or a threshold" in response.json()["detail"]


async def test_threshold_with_max_fmr_is_refused(client: httpx.AsyncClient) -> None:
    for response in await both(client, max_fmr=0.1, threshold=0.4):
        check_problem(response, 400, "invalid_field", "max_fmr")


async def test_fmr_at_similarity_is_that_of_the_curve(client: httpx.AsyncClient) -> None:
    for response in await both(client, threshold=0.9):
        answer = response.json()
        assert answer["fmr_at_similarity"] == pytest.approx(CURVE.rate_at(answer["similarity"]))
        assert 0.001 < answer["fmr_at_similarity"] < 0.1
        assert answer["fmr_is_upper_bound"] is False
