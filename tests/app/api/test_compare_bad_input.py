"""/compare: what is no request, no embedding, or another model's."""

import base64
import json
import math
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import torch

from app.api.embedding_inputs import decode_embedding
from app.api.problems import Problem
from app.server.replica import open_verifier
from app.settings import SHIPPED, Settings, read_settings
from model.checkpoint import load
from model.imaging.preprocessing import PreprocessingConfig
from model.networks.embedder import save
from tests.app.support.requests import JSON, SECRET, check_problem, compare_request
from tests.conftest import TINY, client_of, describe, tiny_network
from tests.model.networks.test_residual import SLIM, network

pytestmark = pytest.mark.anyio

NOT_OF_LENGTH_1 = [0.0, 0.5, 0.98, 1.02, 1e19, 1e30]

ZEROS = [0.0] * TINY.dimension
HUGE = [3e38] * TINY.dimension
PACKED = base64.b64encode(np.zeros(TINY.dimension, "<f4").tobytes()).decode()
NOT_EMBEDDINGS = {
    "too short": ZEROS[1:],
    "too long": [*ZEROS, 0.0],
    "empty list": [],
    "empty text": "",
    "not a number": [math.nan, *ZEROS[1:]],
    "infinite": [math.inf, *ZEROS[1:]],
    "too big for float32": [1e39, *ZEROS[1:]],
    "too big for float64": [10**400, *ZEROS[1:]],
    "not base64": f"{SECRET}!",
    "not ASCII": "é" * 8,
    "base64 for URLs": PACKED.replace("A", "_", 1),
    "base64 with more padding": PACKED + "=",
    "base64 with padding in its middle": PACKED[:2] + "==" + PACKED[4:],
    "base64 that lacks a character": PACKED.rstrip("=")[:-1],
    "base64 in lines": PACKED[:4] + "\n" + PACKED[4:],
    "half a number": base64.b64encode(b"\0" * (4 * TINY.dimension - 2)).decode(),
    "NaN in base64": base64.b64encode(np.full(TINY.dimension, np.nan, "<f4").tobytes()).decode(),
    "float64 in base64": base64.b64encode(np.zeros(TINY.dimension, "<f8").tobytes()).decode(),
}
NOT_REQUESTS = {
    "no body": b"",
    "not JSON": SECRET.encode(),
    "bytes": bytes(range(256)),
    "a list": b"[]",
    "null": b"null",
    "cut off": b'{"embedding1": [0.0',
    "deeply nested": b"[" * 2500,
    "lone surrogate": b'{"embedding1": "\\ud800"}',
    "an unknown field": json.dumps({SECRET: SECRET}).encode(),
}


@pytest.fixture
async def known(client: httpx.AsyncClient) -> dict[str, Any]:
    """A request that is answered."""
    return await compare_request(client)


@pytest.mark.parametrize("name", ["embedding1", "max_fmr", "embedding_sha256"])
async def test_a_field_that_comes_twice_is_refused(client: httpx.AsyncClient, known: dict[str, Any], name: str) -> None:
    request = known | {"max_fmr": 0.1}
    twice = json.dumps(request)[:-1] + f", {json.dumps(name)}: {json.dumps(request[name])}}}"
    check_problem(await client.post("/compare", content=twice, headers=JSON), 400, "duplicate_part", name)
    escaped = json.dumps(request)[:-1] + f', "\\u00{ord(name[0]):x}{name[1:]}": {json.dumps(request[name])}}}'
    check_problem(await client.post("/compare", content=escaped, headers=JSON), 400, "duplicate_part", name)


async def test_colons_in_a_text_are_no_names(client: httpx.AsyncClient, known: dict[str, Any]) -> None:
    response = await client.post("/compare", json=known | {"conditions1": ["a:b", "::"], "conditions2": []})
    assert response.status_code == 200


async def test_embeddings_of_another_model_are_refused(client: httpx.AsyncClient, known: dict[str, Any]) -> None:
    response = await client.post("/compare", json=known | {"embedding_sha256": SECRET})
    check_problem(response, 409, "foreign_embedding", "embedding_sha256")


@pytest.mark.parametrize("field", ["embedding1", "embedding2"])
@pytest.mark.parametrize("value", NOT_EMBEDDINGS.values(), ids=NOT_EMBEDDINGS)
async def test_malformed_embedding_is_named(
    client: httpx.AsyncClient, known: dict[str, Any], field: str, value: Any
) -> None:
    response = await client.post("/compare", content=json.dumps(known | {field: value}), headers=JSON)
    check_problem(response, 400, "malformed_embedding", field)


@pytest.mark.parametrize("body", NOT_REQUESTS.values(), ids=NOT_REQUESTS)
async def test_malformed_body_is_refused(client: httpx.AsyncClient, body: bytes) -> None:
    response = await client.post("/compare", content=body, headers=JSON)
    missing = "embedding1" if SECRET.encode() in body and body[:1] == b"{" else None
    check_problem(response, 400, "malformed_json", missing)


@pytest.mark.parametrize("order", [("embedding1", "embedding2"), ("embedding2", "embedding1")])
@pytest.mark.parametrize("field", ["embedding1", "embedding2"])
@pytest.mark.parametrize("lists", [b"[" + b"[]," * 1100 + b"[]]", b"[" * 2500], ids=["many", "nested"])
async def test_a_side_of_too_many_lists_is_named(
    client: httpx.AsyncClient, order: Sequence[str], field: str, lists: bytes
) -> None:
    sides = {name: lists if name == field else b"[0.0]" for name in order}
    body = b"{" + b", ".join(b'"%s": %s' % (name.encode(), side) for name, side in sides.items()) + b"}"
    check_problem(await client.post("/compare", content=body, headers=JSON), 400, "malformed_json", field)


@pytest.mark.parametrize("field", ["embedding1", "embedding2", "embedding_sha256"])
async def test_a_missing_field_is_named(client: httpx.AsyncClient, known: dict[str, Any], field: str) -> None:
    del known[field]
    check_problem(await client.post("/compare", json=known), 400, "malformed_json", field)


@pytest.mark.parametrize("threshold", [-0.1, 1.1, "0.5", math.nan, [], True, SECRET])
async def test_invalid_threshold_is_named(client: httpx.AsyncClient, known: dict[str, Any], threshold: Any) -> None:
    response = await client.post("/compare", content=json.dumps(known | {"threshold": threshold}), headers=JSON)
    check_problem(response, 400, "malformed_json", "threshold")


async def test_a_body_over_the_limit_is_refused(client: httpx.AsyncClient, known: dict[str, Any]) -> None:
    body = json.dumps(known).encode() + b" " * 20_000
    check_problem(await client.post("/compare", content=body, headers=JSON), 413, "too_many_bytes")


@pytest.mark.parametrize("kind", ["text/plain", "multipart/form-data; boundary=b", "application/jsonx", None])
async def test_another_content_type_is_refused(client: httpx.AsyncClient, kind: str | None) -> None:
    response = await client.post("/compare", content=b"{}", headers={"Content-Type": kind} if kind else {})
    check_problem(response, 415, "unsupported_content_type")


async def test_a_content_type_may_name_its_charset(client: httpx.AsyncClient, known: dict[str, Any]) -> None:
    headers = {"Content-Type": "Application/JSON; charset=utf-8"}
    assert (await client.post("/compare", content=json.dumps(known), headers=headers)).status_code == 200


async def test_a_byte_order_mark_is_ignored(client: httpx.AsyncClient, known: dict[str, Any]) -> None:
    body = b"\xef\xbb\xbf" + json.dumps(known).encode()
    response = await client.post("/compare", content=body, headers={"Content-Type": "application/json"})
    assert response.status_code == 200


def test_embedding_whose_parts_have_other_lengths_is_refused() -> None:
    """As the mean of several, whose length is 1 again but not those of its parts."""
    network = load(SHIPPED).header.network
    face, gradients, thumbnail = (np.eye(each)[0] for each in network.unit_parts)
    even = np.concatenate([face, gradients, thumbnail]) / np.sqrt(3)
    assert decode_embedding(even.tolist(), network, "embedding1") == pytest.approx(even)
    uneven = np.concatenate([0.62 * face, gradients / np.sqrt(3), np.sqrt(2 / 3 - 0.62**2) * thumbnail])
    with pytest.raises(Problem, match="has length 1, and 3 parts of the same length; send it as /embed gave it"):
        decode_embedding(uneven.tolist(), network, "embedding1")


async def test_embedding_that_overflows_the_network_is_refused(settings: Settings, tmp_path: Path) -> None:
    network = tiny_network()
    with torch.no_grad():
        network.comparison.weight[0, ::2] = 2.0
    save(tmp_path / "mixed.safetensors", network, describe())
    mixed = settings.model_copy(update={"weights": tmp_path / "mixed.safetensors"})
    async with client_of(mixed, open_verifier(mixed)) as client:
        known = await compare_request(client)
        response = await client.post("/compare", json=known | {"embedding1": HUGE, "embedding2": [-x for x in HUGE]})
    check_problem(response, 400, "malformed_embedding", "embedding1")


@pytest.fixture
async def unit_client(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    """Of a network whose embeddings have length 1."""
    path, slim = tmp_path / "slim.safetensors", network(SLIM)
    preprocessing = PreprocessingConfig(side_px=SLIM.side_px, standardised=True)
    save(path, slim, describe(SLIM, preprocessing=preprocessing))
    settings = read_settings({"weights": path, "device": "cpu"}, environment={})
    async with client_of(settings, open_verifier(settings)) as client:
        yield client


def scaled(request: dict[str, Any], factor: float) -> dict[str, Any]:
    return request | {"embedding2": (np.array(request["embedding2"]) * factor).tolist()}


@pytest.mark.parametrize("factor", NOT_OF_LENGTH_1)
async def test_embedding_of_another_length_than_1_is_refused(unit_client: httpx.AsyncClient, factor: float) -> None:
    """The head would take one of zeros for anybody."""
    body = scaled(await compare_request(unit_client), factor)
    response = await unit_client.post("/compare", json=body)
    check_problem(response, 400, "malformed_embedding", "embedding2")


async def test_rounded_embedding_is_accepted(unit_client: httpx.AsyncClient) -> None:
    body = await compare_request(unit_client)
    exact = (await unit_client.post("/compare", json=body)).json()["similarity"]
    rounded = body | {"embedding2": np.array(body["embedding2"], np.float16).tolist()}
    assert (await unit_client.post("/compare", json=rounded)).json()["similarity"] == pytest.approx(exact, abs=1e-3)
