"""/compare with several embeddings of a side: the mean that /verify takes, and how many there may be."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from app.server.replica import open_verifier
from app.settings import read_settings
from model.averaging import mean_embedding
from model.imaging.preprocessing import PreprocessingConfig
from model.networks.embedder import save
from tests.app.support.requests import ANNA, BERTA, check_problem, embed, files
from tests.conftest import client_of, describe
from tests.drawing import encode, portrait
from tests.model.networks.test_residual import SLIM, network

pytestmark = pytest.mark.anyio

IMAGES = (ANNA, BERTA, encode(portrait(3)), encode(portrait(4)))


@pytest.fixture(params=["of any length", "of length 1"])
async def either(
    request: pytest.FixtureRequest, client: httpx.AsyncClient, tmp_path: Path
) -> AsyncIterator[tuple[httpx.AsyncClient, bool]]:
    """A client of a network, and whether its embeddings have length 1."""
    if request.param == "of any length":
        yield client, False
        return
    path = tmp_path / "slim.safetensors"
    save(
        path, network(SLIM), describe(SLIM, preprocessing=PreprocessingConfig(side_px=SLIM.side_px, standardised=True))
    )
    settings = read_settings({"weights": path, "device": "cpu"}, environment={})
    async with client_of(settings, open_verifier(settings)) as unit:
        yield unit, True


async def stored(client: httpx.AsyncClient, encoding: str = "float") -> tuple[list[Any], dict[str, str]]:
    """The embeddings of IMAGES, and the digest that goes with them."""
    answer = await embed(client, *IMAGES, encoding_format=encoding)
    return [item["embedding"] for item in answer["data"]], {"embedding_sha256": answer["model"]["embedding_sha256"]}


async def similarity(client: httpx.AsyncClient, body: dict[str, Any]) -> float:
    response = await client.post("/compare", json=body)
    assert response.status_code == 200, response.text
    return float(response.json()["similarity"])


@pytest.mark.parametrize("encoding", ["float", "base64"])
async def test_lists_and_stored_means_equal_verify(either: tuple[httpx.AsyncClient, bool], encoding: str) -> None:
    client, unit_length = either
    parts = [("image1", IMAGES[0]), *(("image2", image) for image in IMAGES[1:])]
    wanted = (await client.post("/verify", files=files(*parts))).json()["similarity"]
    embeddings, digest = await stored(client, encoding)
    listed = {"embedding1": embeddings[0], "embedding2": embeddings[1:], **digest}
    assert await similarity(client, listed) == pytest.approx(wanted, abs=1e-6)
    numbers, _ = await stored(client)
    unit_parts = (len(numbers[0]),) if unit_length else ()
    mean = mean_embedding(np.array(numbers[1:], np.float32), unit_parts)
    averaged = {"embedding1": numbers[0], "embedding2": mean.tolist(), **digest}
    assert await similarity(client, averaged) == pytest.approx(wanted, abs=1e-6)
    alone = {"embedding1": embeddings[0], "embedding2": embeddings[1], **digest}
    assert abs(await similarity(client, alone) - wanted) > 1e-3


async def test_a_list_of_one_is_that_one(client: httpx.AsyncClient) -> None:
    embeddings, digest = await stored(client)
    plain = {"embedding1": embeddings[0], "embedding2": embeddings[1], **digest}
    listed = {"embedding1": [embeddings[0]], "embedding2": [embeddings[1]], **digest}
    assert await similarity(client, listed) == await similarity(client, plain)


async def test_the_number_of_embeddings_is_limited(client: httpx.AsyncClient) -> None:
    embeddings, digest = await stored(client)
    most = {"embedding1": embeddings, "embedding2": embeddings, **digest}
    await similarity(client, most)
    for field in ("embedding1", "embedding2"):
        response = await client.post("/compare", json=most | {field: [*embeddings, embeddings[0]]})
        check_problem(response, 400, "too_many_embeddings", field)
        assert response.json()["detail"] == "a request may have 8 embeddings; send fewer"


async def test_the_malformed_one_is_named(client: httpx.AsyncClient) -> None:
    embeddings, digest = await stored(client)
    not_embeddings: list[Any] = [embeddings[1][1:], "", []]
    for broken in not_embeddings:
        body = {"embedding1": embeddings[0], "embedding2": [embeddings[0], broken], **digest}
        check_problem(await client.post("/compare", json=body), 400, "malformed_embedding", "embedding2[1]")


@pytest.mark.parametrize("side", [[[[0.0]]], [0.0, [0.0]], [[0.0], 0.0], [None], [{}], {}])
async def test_what_is_no_list_of_embeddings_is_refused(client: httpx.AsyncClient, side: Any) -> None:
    embeddings, digest = await stored(client)
    body = {"embedding1": embeddings[0], "embedding2": side, **digest}
    check_problem(await client.post("/compare", json=body), 400, "malformed_json", "embedding2")


async def test_embeddings_of_length_1_that_cancel_each_other_out_are_refused(
    either: tuple[httpx.AsyncClient, bool],
) -> None:
    client, unit_length = either
    embeddings, digest = await stored(client)
    opposite = [-value for value in embeddings[1]]
    body = {"embedding1": embeddings[0], "embedding2": [embeddings[1], opposite], **digest}
    response = await client.post("/compare", json=body)
    if unit_length:
        check_problem(response, 400, "malformed_embedding", "embedding2")
    else:
        assert response.status_code == 200
