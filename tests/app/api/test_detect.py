"""/detect: every face of every image, in upright pixels of the file that was sent."""

from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image
from PIL.Image import Resampling

from app.settings import Settings
from model.verifier import Verifier
from tests.app.support.crowds import ALONE, CROWD, HEADS, NOBODY
from tests.app.support.requests import check_problem, detect, embed, files
from tests.conftest import client_of
from tests.drawing import STORED, encode, encode_oriented
from tests.faces import Placed, head_at, scene, too_small

pytestmark = pytest.mark.anyio

OFF = 0.2  # of the distance between the eyes, by which a landmark may be away from where it was drawn


def assert_where_drawn(face: dict[str, Any], head: Placed) -> None:
    found = np.array(list(face["landmarks"].values()))
    assert np.abs(found - head.landmarks).max() < OFF * head.inter_eye_px
    box = face["box"]
    low, high = np.array([box["x"], box["y"]]), np.array([box["x"] + box["width"], box["y"] + box["height"]])
    assert (low < head.landmarks.min(axis=0)).all()
    assert (head.landmarks.max(axis=0) < high).all()


async def test_detects_every_face_of_every_image(aligned_client: httpx.AsyncClient) -> None:
    response = await aligned_client.post("/detect", files=files(("image", CROWD), ("image", NOBODY), ("image", ALONE)))
    answer = response.json()
    assert set(answer) == {"images", "problems", "request_id"}
    assert [image["field"] for image in answer["images"]] == ["image[0]", "image[1]", "image[2]"]
    assert [image["faces_found"] for image in answer["images"]] == [3, 0, 1]
    assert [len(image["faces"]) for image in answer["images"]] == [3, 0, 1]
    assert [image["face"] for image in answer["images"]] == [None] * 3
    for face, head in zip(answer["images"][0]["faces"], HEADS, strict=True):
        assert_where_drawn(face, head)


async def test_image_without_a_face_has_an_empty_list(aligned_client: httpx.AsyncClient) -> None:
    [image] = await detect(aligned_client, NOBODY)
    assert (image["faces_found"], image["faces"], image["warnings"]) == (0, [], [])


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("orientation", STORED)
async def test_coordinates_are_those_of_the_upright_picture(
    aligned_client: httpx.AsyncClient, orientation: int, kind: str
) -> None:
    head = head_at(0, 200, 180, tilt_deg=12)
    [image] = await detect(aligned_client, encode_oriented(scene(head), orientation, kind, quality=92))
    assert (image["width"], image["height"], image["orientation"]) == (640, 480, orientation)
    [face] = image["faces"]
    assert_where_drawn(face, head)


@pytest.mark.parametrize("orientation", [1, 6])
async def test_coordinates_are_those_of_a_large_file(aligned_client: httpx.AsyncClient, orientation: int) -> None:
    large = scene(head_at(0, 420, 200, 50, tilt_deg=-10)).resize((4000, 3000), Resampling.BILINEAR)
    exif = {"quality": 85}
    data = encode_oriented(large, 6, "JPEG", **exif) if orientation == 6 else encode(large, "JPEG", **exif)
    [image] = await detect(aligned_client, data)
    assert (image["width"], image["height"]) == (4000, 3000)
    [face] = image["faces"]
    assert_where_drawn(face, head_at(0, 2625, 1250, 312.5, tilt_deg=-10))
    assert face["quality"]["inter_eye_px"] == pytest.approx(312.5, rel=0.1)
    assert face["quality"]["roll_deg"] == pytest.approx(-10, abs=5)


async def test_faces_are_reported_as_by_embed(aligned_client: httpx.AsyncClient) -> None:
    [detected] = await detect(aligned_client, CROWD)
    [embedded] = (await embed(aligned_client, CROWD, face="all"))["images"]
    assert detected == embedded


async def test_a_face_that_is_too_small_to_embed_is_listed(aligned_client: httpx.AsyncClient) -> None:
    [image] = await detect(aligned_client, encode(too_small()))
    assert image["faces"][0]["quality"]["inter_eye_px"] < 10


@pytest.mark.parametrize("size", [(1000, 60), (60, 1000), (12_000, 32), (32, 12_000), (32, 32)])
async def test_a_thin_picture_has_no_faces(aligned_client: httpx.AsyncClient, size: tuple[int, int]) -> None:
    data = encode(Image.new("L", size, 200))
    for _ in range(3):
        images = await detect(aligned_client, data, ALONE)
        assert [image["faces_found"] for image in images] == [0, 1]


async def test_max_faces_are_accepted(aligned_settings: Settings, aligned_verifier: Verifier) -> None:
    async with client_of(aligned_settings.model_copy(update={"max_faces": 4}), aligned_verifier) as client:
        assert [image["faces_found"] for image in await detect(client, CROWD, ALONE)] == [3, 1]
        response = await client.post("/detect", files=files(*[("image", CROWD)] * 2))
        check_problem(response, 422, "too_many_faces", "image")
