"""/explain, and the crops of /detect."""

import base64
import io
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image
from prometheus_client.parser import text_string_to_metric_families

from app.engine.inference import Inference
from app.engine.occlusion import GRID
from app.settings import Settings
from model.verifier import Verifier
from tests.app.support.requests import check_problem, detect, files, verify
from tests.app.support.requests import pair as whole_pair
from tests.conftest import client_of
from tests.drawing import encode
from tests.faces import head_at, scene

pytestmark = pytest.mark.anyio

ANNA = encode(scene(head_at(1)))
BERTA = encode(scene(head_at(3)))
BOTH = encode(scene(head_at(1, x=180, inter_eye_px=70), head_at(3, x=470)))
NOBODY = encode(Image.new("RGB", (320, 240), (90, 120, 140)))


async def explain(client: httpx.AsyncClient, left: bytes, right: bytes, **fields: str) -> dict[str, Any]:
    response = await client.post("/v1/explain", files=whole_pair(left, right), data=fields)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def pixels_of(crop: str) -> np.ndarray[Any, Any]:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(crop))))


async def batched_images(client: httpx.AsyncClient) -> float:
    shown = (await client.get("/metrics")).text
    samples = [sample for family in text_string_to_metric_families(shown) for sample in family.samples]
    return sum(sample.value for sample in samples if sample.name == "facepair_batch_images_sum")


async def test_each_part_of_both_crops_has_an_influence(aligned_client: httpx.AsyncClient) -> None:
    before = await batched_images(aligned_client)
    answer = await explain(aligned_client, ANNA, BERTA)
    assert answer["similarity"] == pytest.approx((await verify(aligned_client, ANNA, BERTA))["similarity"], abs=1e-5)
    assert [image["field"] for image in answer["images"]] == ["image1", "image2"]
    for image in answer["images"]:
        grid = np.array(image["influence"])
        assert grid.shape == (GRID, GRID)
        assert np.isfinite(grid).all()
        assert np.count_nonzero(grid) > GRID
    # Each copy once, and the pair itself with each batch of them.
    assert 2 * GRID * GRID < await batched_images(aligned_client) - before < 3 * GRID * GRID


async def test_the_sides_are_explained_alike(aligned_client: httpx.AsyncClient) -> None:
    one = await explain(aligned_client, ANNA, BERTA)
    other = await explain(aligned_client, BERTA, ANNA)
    for image, same in zip(one["images"], reversed(other["images"]), strict=True):
        assert image["crop"] == same["crop"]
        assert np.array(image["influence"]) == pytest.approx(np.array(same["influence"]), abs=1e-3)


async def test_the_face_that_is_meant_is_explained(aligned_client: httpx.AsyncClient) -> None:
    answer = await explain(aligned_client, BOTH, BERTA, face1="1")
    assert [image["face"] for image in answer["images"]] == [1, 0]
    response = await aligned_client.post(
        "/v1/detect", files=files(("image", BOTH), ("image", BERTA)), data={"crops": "png"}
    )
    both, berta = (image["faces"] for image in response.json()["images"])
    assert [image["crop"] for image in answer["images"]] == [both[1]["crop"], berta[0]["crop"]]
    assert both[0]["crop"] != both[1]["crop"]


async def test_face_0_is_the_first_that_detect_finds(
    aligned_client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A search for the largest face alone may miss small ones, and begin with another."""
    asked: list[str] = []
    analyse = Inference.analyse

    async def note(self: Inference, image: bytes, choice: Any, *arguments: Any) -> Any:
        asked.append(choice)
        return await analyse(self, image, choice, *arguments)

    monkeypatch.setattr(Inference, "analyse", note)
    await explain(aligned_client, BOTH, BERTA)
    await explain(aligned_client, BOTH, BERTA, face1="0")
    assert asked == ["largest", "largest", "all", "all"]


async def test_a_model_of_whole_pictures_has_no_face_to_choose(client: httpx.AsyncClient) -> None:
    response = await client.post("/v1/explain", files=whole_pair(ANNA, BERTA), data={"face1": "7"})
    check_problem(response, 409, "whole_pictures", "face1")


async def test_a_model_of_whole_pictures_is_explained(client: httpx.AsyncClient) -> None:
    answer = await explain(client, ANNA, BERTA)
    assert [image["face"] for image in answer["images"]] == [None, None]


@pytest.mark.parametrize(
    ("fields", "name"),
    [({"face1": "2"}, "face1"), ({"face2": "1"}, "face2"), ({"face1": "-1"}, "face1"), ({"face2": "x"}, "face2")],
)
async def test_a_face_that_there_is_not_is_refused(
    aligned_client: httpx.AsyncClient, fields: dict[str, str], name: str
) -> None:
    response = await aligned_client.post("/v1/explain", files=whole_pair(BOTH, BERTA), data=fields)
    check_problem(response, 400, "invalid_field", name)


async def test_more_faces_than_a_request_may_have_are_no_single_image_s(
    aligned_settings: Settings, aligned_verifier: Verifier
) -> None:
    async with client_of(aligned_settings.model_copy(update={"max_faces": 2}), aligned_verifier) as client:
        response = await client.post("/v1/explain", files=whole_pair(BOTH, BERTA), data={"face1": "1"})
    check_problem(response, 422, "too_many_faces")
    assert response.json()["field"] is None


async def test_what_cannot_be_explained_is_refused(aligned_client: httpx.AsyncClient) -> None:
    response = await aligned_client.post("/v1/explain", files=whole_pair(ANNA, NOBODY))
    check_problem(response, 422, "no_face", "image2")
    several = [*whole_pair(ANNA, BERTA), *files(("image2", ANNA))]
    check_problem(await aligned_client.post("/v1/explain", files=several), 400, "too_many_images", "image2")


async def test_detect_gives_crops_if_asked(aligned_client: httpx.AsyncClient) -> None:
    [image] = await detect(aligned_client, ANNA)
    assert "crop" not in image["faces"][0]
    answer = await aligned_client.post("/v1/detect", files=files(("image", ANNA)), data={"crops": "png"})
    side = (await aligned_client.get("/v1/info")).json()["preprocessing"]["side_px"]
    assert pixels_of(answer.json()["images"][0]["faces"][0]["crop"]).shape[:2] == (side, side)
    wrong = await aligned_client.post("/v1/detect", files=files(("image", ANNA)), data={"crops": "gif"})
    check_problem(wrong, 400, "invalid_field", "crops")
