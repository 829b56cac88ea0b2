"""/embed: images in, embeddings out."""

import base64

import httpx
import numpy as np
import pytest

from app.settings import Settings
from model.imaging.preprocessing import PreprocessingConfig
from model.verifier import Verifier
from tests.app.support.requests import ANNA, BERTA, embed
from tests.conftest import TINY, client_of
from tests.model.support.pictures import prepare

pytestmark = pytest.mark.anyio


async def test_answer_has_the_documented_fields(client: httpx.AsyncClient, verifier: Verifier) -> None:
    answer = await embed(client, ANNA)
    assert set(answer) == {"object", "data", "images", "problems", "model", "dimension", "request_id"}
    assert answer["object"] == "list"
    assert answer["dimension"] == TINY.dimension
    assert answer["model"] == {"name": "tiny", "embedding_sha256": verifier.header.embedding_sha256}
    [item] = answer["data"]
    assert set(item) == {"object", "index", "image", "face", "embedding", "conditions"}
    assert (item["object"], item["index"], item["image"], item["face"]) == ("embedding", 0, 0, None)
    assert len(item["embedding"]) == TINY.dimension


async def test_embedding_equals_the_network_s_bit_for_bit(client: httpx.AsyncClient, verifier: Verifier) -> None:
    expected = verifier.embed(np.stack([prepare(ANNA, PreprocessingConfig())]))[0]
    [item] = (await embed(client, ANNA))["data"]
    assert np.array(item["embedding"], np.float32).tobytes() == expected.tobytes()
    assert np.ptp(expected) > 0


async def test_base64_is_the_same_numbers_little_endian(client: httpx.AsyncClient) -> None:
    [plain] = (await embed(client, ANNA, encoding_format="float"))["data"]
    [packed] = (await embed(client, ANNA, encoding_format="base64"))["data"]
    assert np.frombuffer(base64.b64decode(packed["embedding"]), "<f4").tolist() == plain["embedding"]


async def test_blank_encoding_is_float(client: httpx.AsyncClient) -> None:
    assert (await embed(client, ANNA, encoding_format=""))["data"] == (await embed(client, ANNA))["data"]


async def test_several_images_come_back_in_order(client: httpx.AsyncClient) -> None:
    answer = await embed(client, ANNA, BERTA, ANNA)
    assert [item["index"] for item in answer["data"]] == [0, 1, 2]
    assert [image["field"] for image in answer["images"]] == ["image[0]", "image[1]", "image[2]"]
    for item, image in zip(answer["data"], (ANNA, BERTA, ANNA), strict=True):
        [alone] = (await embed(client, image))["data"]
        assert item["embedding"] == pytest.approx(alone["embedding"], abs=1e-5)
    assert answer["data"][0]["embedding"] != pytest.approx(answer["data"][1]["embedding"], abs=1e-5)


async def test_max_images_are_accepted(settings: Settings, verifier: Verifier) -> None:
    async with client_of(settings.model_copy(update={"max_images": 3}), verifier) as client:
        assert len((await embed(client, *[ANNA] * 3))["data"]) == 3
