"""/verify: two photographs in, one decision out."""

import asyncio
import math

import httpx
import numpy as np
import pytest

from app.settings import Settings
from model.imaging.preprocessing import PreprocessingConfig
from model.verifier import Verifier
from tests.app.support.requests import ANNA, BERTA, NO_FACES, pair, verify
from tests.conftest import client_of
from tests.drawing import encode, portrait
from tests.model.support.pictures import prepare

pytestmark = pytest.mark.anyio


async def test_answer_has_the_documented_fields(client: httpx.AsyncClient, verifier: Verifier) -> None:
    answer = await verify(client, encode(portrait(1, size=(160, 120)), "JPEG"), BERTA)
    assert set(answer) == {
        "decision", "verified", "similarity", "threshold", "operating_point", "fmr_at_similarity",
        "fmr_is_upper_bound", "conditions", "images", "model", "timing_ms", "request_id",
    }  # fmt: skip
    assert answer["images"] == [
        {"field": "image1", "width": 160, "height": 120, "orientation": 1, "format": "JPEG", **NO_FACES},
        {"field": "image2", "width": 160, "height": 160, "orientation": 1, "format": "PNG", **NO_FACES},
    ]
    assert answer["model"] == {"name": "tiny", "embedding_sha256": verifier.header.embedding_sha256}
    assert answer["threshold"] == 0.5
    assert 0 <= answer["similarity"] <= 1


async def test_timings_fit_into_the_total(client: httpx.AsyncClient) -> None:
    timing = (await verify(client))["timing_ms"]
    assert set(timing) == {"decode", "face", "queue", "inference", "total"}
    rounding = 0.02
    assert 0 <= timing["face"] <= timing["decode"] + rounding
    assert 0 < timing["decode"] + timing["queue"] + timing["inference"] <= timing["total"] + rounding


async def test_answer_has_the_request_id(client: httpx.AsyncClient) -> None:
    response = await client.post("/verify", files=pair(), headers={"X-Request-ID": "mine"})
    assert response.json()["request_id"] == response.headers["x-request-id"] == "mine"


async def test_similarity_equals_the_network_s(client: httpx.AsyncClient, verifier: Verifier) -> None:
    embeddings = verifier.embed(np.stack([prepare(image, PreprocessingConfig()) for image in (ANNA, BERTA)]))
    expected = verifier.compare(embeddings[:1], embeddings[1:])[0]
    assert (await verify(client))["similarity"] == pytest.approx(expected, abs=1e-5)


async def test_is_symmetric(client: httpx.AsyncClient) -> None:
    forth = await verify(client, ANNA, BERTA)
    back = await verify(client, BERTA, ANNA)
    assert forth["similarity"] == pytest.approx(back["similarity"], abs=1e-5)
    assert forth["similarity"] < 0.73


async def test_identical_images_score_the_sigmoid_of_the_bias(client: httpx.AsyncClient) -> None:
    answer = await verify(client, ANNA, ANNA)
    assert answer["similarity"] == pytest.approx(1 / (1 + math.exp(-1.0)), abs=1e-9)
    assert (answer["decision"], answer["verified"]) == ("same", True)


@pytest.mark.parametrize(("threshold", "decision"), [("0", "same"), ("1", "different"), ("0.999", "different")])
async def test_threshold_of_the_request_is_used(client: httpx.AsyncClient, threshold: str, decision: str) -> None:
    answer = await verify(client, ANNA, ANNA, threshold=threshold)
    assert answer["threshold"] == float(threshold)
    assert (answer["decision"], answer["verified"]) == (decision, decision == "same")


@pytest.mark.parametrize("blank", ["", " ", "\r\n"])
async def test_blank_threshold_is_the_checkpoint_s(client: httpx.AsyncClient, blank: str) -> None:
    assert (await verify(client, threshold=blank))["threshold"] == 0.5


async def test_similarity_at_the_threshold_is_same(client: httpx.AsyncClient) -> None:
    similarity = (await verify(client))["similarity"]
    assert (await verify(client, threshold=repr(similarity)))["decision"] == "same"
    above = math.nextafter(similarity, 1)
    assert (await verify(client, threshold=repr(above)))["decision"] == "different"


async def test_concurrent_requests_get_the_same_answer(settings: Settings, verifier: Verifier) -> None:
    images = [encode(portrait(person)) for person in range(17)]
    pairs = [(images[i], images[i + 1]) for i in range(16)]
    async with client_of(settings.model_copy(update={"queue": 32, "max_wait_s": 600.0}), verifier) as client:
        alone = [(await verify(client, *pair))["similarity"] for pair in pairs]
        together = await asyncio.gather(*(verify(client, *pair) for pair in pairs))
    assert [answer["similarity"] for answer in together] == pytest.approx(alone, abs=1e-5)
    assert len({round(similarity, 4) for similarity in alone}) > 8


async def test_smallest_allowed_image_is_accepted(client: httpx.AsyncClient, settings: Settings) -> None:
    smallest = encode(portrait(1, size=(settings.min_side_px, settings.min_side_px)))
    assert (await verify(client, smallest, smallest))["decision"] == "same"


async def test_parts_may_come_in_any_order(client: httpx.AsyncClient) -> None:
    turned = await client.post("/verify", files=pair()[::-1])
    assert turned.json()["similarity"] == (await verify(client))["similarity"]
