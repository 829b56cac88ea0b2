"""/compare: what /verify says, from stored embeddings."""

import math
from typing import Any

import httpx
import pytest

from tests.app.support.requests import compare_request, verify

pytestmark = pytest.mark.anyio


@pytest.fixture
async def known(client: httpx.AsyncClient) -> dict[str, Any]:
    """A request that is answered."""
    return await compare_request(client)


@pytest.mark.parametrize("encoding", ["float", "base64"])
async def test_decision_equals_that_of_verify(client: httpx.AsyncClient, encoding: str) -> None:
    expected = await verify(client)
    answer = (await client.post("/compare", json=await compare_request(client, encoding))).json()
    assert set(answer) == set(expected) - {"images", "timing_ms"} | {"warnings"}
    assert answer["similarity"] == pytest.approx(expected["similarity"], abs=1e-5)
    assert [answer[key] for key in ("decision", "verified", "threshold", "model")] == [
        expected[key] for key in ("decision", "verified", "threshold", "model")
    ]


async def test_decisions_are_counted(client: httpx.AsyncClient, known: dict[str, Any]) -> None:
    await client.post("/compare", json=known | {"threshold": 0})
    await client.post("/compare", json=known | {"threshold": 1})
    await verify(client, threshold="0")
    shown = (await client.get("/metrics")).text
    for decision, count in (("same", 2), ("different", 1), ("undecided", 0)):
        assert f'facepair_decisions_total{{decision="{decision}"}} {count:.1f}' in shown


async def test_is_symmetric(client: httpx.AsyncClient, known: dict[str, Any]) -> None:
    turned = known | {"embedding1": known["embedding2"], "embedding2": known["embedding1"]}
    answers = [(await client.post("/compare", json=body)).json() for body in (known, turned)]
    assert answers[0]["similarity"] == answers[1]["similarity"]


async def test_embeddings_may_differ_in_encoding(client: httpx.AsyncClient, known: dict[str, Any]) -> None:
    packed = known | {"embedding2": (await compare_request(client, "base64"))["embedding2"]}
    answers = [(await client.post("/compare", json=body)).json() for body in (known, packed)]
    assert answers[0]["similarity"] == answers[1]["similarity"]


async def test_base64_may_lack_its_padding(client: httpx.AsyncClient, known: dict[str, Any]) -> None:
    packed = (await compare_request(client, "base64"))["embedding2"]
    assert packed.endswith("=")
    sides: list[Any] = [packed, packed.rstrip("="), [packed.rstrip("="), packed]]
    answers = [(await client.post("/compare", json=known | {"embedding2": side})).json() for side in sides]
    assert len({answer["similarity"] for answer in answers}) == 1


async def test_equal_embeddings_are_the_same_person(client: httpx.AsyncClient, known: dict[str, Any]) -> None:
    answer = (await client.post("/compare", json=known | {"embedding2": known["embedding1"]})).json()
    assert answer["similarity"] == pytest.approx(1 / (1 + math.exp(-1.0)), abs=1e-9)
    assert answer["decision"] == "same"


@pytest.mark.parametrize(("threshold", "decision"), [(0, "same"), (1, "different")])
async def test_threshold_of_the_request_is_used(
    client: httpx.AsyncClient, known: dict[str, Any], threshold: float, decision: str
) -> None:
    answer = (await client.post("/compare", json=known | {"threshold": threshold})).json()
    assert (answer["threshold"], answer["decision"], answer["verified"]) == (threshold, decision, decision == "same")
