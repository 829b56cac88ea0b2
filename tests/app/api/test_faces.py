"""/verify and /embed on photographs: which face is taken, and what is said of it."""

import base64
from typing import Any

import httpx
import numpy as np
import pytest

from app.settings import Settings
from model.imaging.crops import FaceChoice
from model.verifier import Verifier
from tests.app.support.crowds import ALONE, CROWD, EACH_ALONE, HEADS, NOBODY, OTHER
from tests.app.support.requests import check_problem, detect, embed, files, pair, verify
from tests.conftest import client_of
from tests.drawing import encode
from tests.faces import head_at, scene, too_small
from tests.model.support.pictures import prepare
from training.learning.experiments import ALIGNED

pytestmark = pytest.mark.anyio

EXACT = 1e-5
REPORT = {"field", "width", "height", "orientation", "format", "faces_found", "face", "faces", "warnings"}
FACE = {"index", "box", "landmarks", "score", "quality", "conditions", "warnings"}
QUALITY = {"inter_eye_px", "sharpness", "brightness", "roll_deg", "yaw_deg"}
LANDMARKS = {"right_eye", "left_eye", "nose", "right_mouth", "left_mouth"}
NOT_LOOKED_FOR = "no face was looked for"


def nose(face: dict[str, Any]) -> tuple[float, float]:
    x, y = face["landmarks"]["nose"]
    return x, y


async def embedding(client: httpx.AsyncClient, image: bytes, **fields: str) -> list[float]:
    [item] = (await embed(client, image, **fields))["data"]
    values: list[float] = item["embedding"]
    return values


async def test_answer_reports_the_chosen_face_of_each_image(aligned_client: httpx.AsyncClient) -> None:
    answer = await verify(aligned_client, ALONE, CROWD)
    assert [set(image) for image in answer["images"]] == [REPORT, REPORT]
    assert [image["faces_found"] for image in answer["images"]] == [1, 3]
    for image in answer["images"]:
        assert set(image["face"]) == FACE
        assert set(image["face"]["quality"]) == QUALITY
        assert set(image["face"]["landmarks"]) == LANDMARKS
        assert image["face"]["index"] == 0
        assert image["faces"] is None
        assert 0.8 < image["face"]["score"] <= 1
        assert image["warnings"] == image["face"]["warnings"] == []


@pytest.mark.parametrize("fields", [{}, {"face": "largest"}, {"face": ""}, {"face": " "}])
async def test_default_is_the_largest_face(aligned_client: httpx.AsyncClient, fields: dict[str, str]) -> None:
    image = (await verify(aligned_client, CROWD, ALONE, **fields))["images"][0]
    assert nose(image["face"]) == pytest.approx(tuple(HEADS[0].landmarks[2]), abs=8)


async def test_center_chooses_the_face_nearest_the_centre(aligned_client: httpx.AsyncClient) -> None:
    image = (await verify(aligned_client, CROWD, ALONE, face="center"))["images"][0]
    assert image["face"]["index"] == 1
    assert nose(image["face"]) == pytest.approx(tuple(HEADS[1].landmarks[2]), abs=8)


async def test_only_chooses_the_only_face(aligned_client: httpx.AsyncClient) -> None:
    only = await verify(aligned_client, ALONE, OTHER, face="only")
    assert only["similarity"] == (await verify(aligned_client, ALONE, OTHER))["similarity"]


async def test_small_faces_count_for_only_and_detect(aligned_client: httpx.AsyncClient) -> None:
    two = encode(scene(head_at(0, 700, 800, 300), head_at(1, 2000, 300, 42), size=(2400, 1600)), "JPEG")
    refused = await aligned_client.post("/verify", files=pair(two, ALONE), data={"face": "only"})
    check_problem(refused, 422, "several_faces", "image1")
    [seen] = await detect(aligned_client, two)
    assert (seen["faces_found"], len(seen["faces"])) == (2, 2)
    taken = (await verify(aligned_client, two, ALONE))["images"][0]
    assert taken["face"]["box"] == seen["faces"][0]["box"]


async def test_none_takes_the_whole_picture_with_a_warning(aligned_client: httpx.AsyncClient) -> None:
    answer = await verify(aligned_client, CROWD, NOBODY, face="none")
    for image in answer["images"]:
        assert (image["faces_found"], image["face"], image["faces"]) == (None, None, None)
        [warning] = image["warnings"]
        assert warning.startswith(NOT_LOOKED_FOR)
    taken = await verify(aligned_client, CROWD, CROWD)
    assert taken["images"][0]["warnings"] == []


async def test_a_picture_already_in_the_frame_may_be_sent_with_none(
    aligned_client: httpx.AsyncClient, aligned_verifier: Verifier
) -> None:
    frame = scene(HEADS[0]).crop((0, 70, 250, 320))
    found = await embed(aligned_client, encode(frame), face="none")
    whole = ALIGNED.model_copy(update={"alignment": None})
    expected = aligned_verifier.embed(np.stack([prepare(encode(frame), whole)]))[0]
    assert found["data"][0]["embedding"] == pytest.approx(expected.tolist(), abs=EXACT)
    assert (found["data"][0]["image"], found["data"][0]["face"]) == (0, None)


@pytest.mark.parametrize("choice", ["largest", "center"])
async def test_embedding_is_the_network_s_for_the_chosen_face(
    aligned_client: httpx.AsyncClient, aligned_verifier: Verifier, choice: FaceChoice
) -> None:
    expected = aligned_verifier.embed(np.stack([prepare(CROWD, ALIGNED, choice=choice)]))[0]
    found = await embedding(aligned_client, CROWD, face=choice)
    assert np.array(found, np.float32).tobytes() == expected.tobytes()


async def test_a_face_in_a_crowd_embeds_nearly_as_it_does_alone(aligned_client: httpx.AsyncClient) -> None:
    crowd = np.array(await embedding(aligned_client, CROWD))
    alone, other = [np.array(await embedding(aligned_client, image)) for image in (EACH_ALONE[0], EACH_ALONE[2])]
    assert np.abs(crowd - alone).sum() < np.abs(crowd - other).sum() / 4


@pytest.mark.parametrize("choice", ["largest", "center", "none"])
async def test_verify_equals_embed_and_compare(aligned_client: httpx.AsyncClient, choice: str) -> None:
    both = await embed(aligned_client, CROWD, ALONE, face=choice)
    left, right = (item["embedding"] for item in both["data"])
    body = {"embedding1": left, "embedding2": right, "embedding_sha256": both["model"]["embedding_sha256"]}
    compared = (await aligned_client.post("/compare", json=body)).json()
    verified = await verify(aligned_client, CROWD, ALONE, face=choice)
    assert compared["similarity"] == pytest.approx(verified["similarity"], abs=EXACT)
    assert (compared["decision"], compared["model"]) == (verified["decision"], verified["model"])
    assert [image | {"field": ""} for image in both["images"]] == [
        image | {"field": ""} for image in verified["images"]
    ]


async def test_all_faces_come_in_the_order_of_images_and_sizes(aligned_client: httpx.AsyncClient) -> None:
    answer = await embed(aligned_client, ALONE, CROWD, face="all")
    places = [(item["index"], item["image"], item["face"]) for item in answer["data"]]
    assert places == [(0, 0, 0), (1, 1, 0), (2, 1, 1), (3, 1, 2)]
    assert [image["face"] for image in answer["images"]] == [None, None]
    assert [image["faces_found"] for image in answer["images"]] == [1, 3]
    faces = answer["images"][1]["faces"]
    assert [face["index"] for face in faces] == [0, 1, 2]
    for face, head in zip(faces, HEADS, strict=True):
        assert nose(face) == pytest.approx(tuple(head.landmarks[2]), abs=8)


async def test_each_of_all_faces_embeds_as_it_does_when_it_is_chosen(aligned_client: httpx.AsyncClient) -> None:
    largest, middle, _ = (item["embedding"] for item in (await embed(aligned_client, CROWD, face="all"))["data"])
    assert largest == pytest.approx(await embedding(aligned_client, CROWD), abs=EXACT)
    assert middle == pytest.approx(await embedding(aligned_client, CROWD, face="center"), abs=EXACT)


async def test_all_faces_in_base64(aligned_client: httpx.AsyncClient) -> None:
    plain, packed = [
        (await embed(aligned_client, CROWD, face="all", encoding_format=encoding))["data"]
        for encoding in ("float", "base64")
    ]
    unpacked = [np.frombuffer(base64.b64decode(item["embedding"]), "<f4").tolist() for item in packed]
    assert unpacked == [item["embedding"] for item in plain]


async def test_a_face_that_is_too_small_is_listed_and_not_embedded(aligned_client: httpx.AsyncClient) -> None:
    answer = await embed(aligned_client, encode(too_small()), ALONE, face="all")
    assert [(item["index"], item["image"], item["face"]) for item in answer["data"]] == [(0, 1, 0)]
    [small] = answer["images"][0]["faces"]
    assert small["quality"]["inter_eye_px"] < 10
    assert any("small" in warning for warning in small["warnings"])


async def test_an_image_with_only_faces_that_are_too_small_has_no_embeddings(aligned_client: httpx.AsyncClient) -> None:
    assert (await embed(aligned_client, encode(too_small()), face="all"))["data"] == []


async def test_more_faces_than_max_batch(aligned_settings: Settings, aligned_verifier: Verifier) -> None:
    async with client_of(aligned_settings, aligned_verifier) as client:
        answer = await embed(client, *[CROWD] * 7, face="all")
    assert [item["index"] for item in answer["data"]] == list(range(21))
    for item in answer["data"]:
        assert item["embedding"] == pytest.approx(answer["data"][item["face"]]["embedding"], abs=EXACT)


async def test_faces_are_timed_by_one_more_stage(aligned_client: httpx.AsyncClient) -> None:
    await aligned_client.post("/verify", files=pair(ALONE, OTHER))
    await aligned_client.post("/detect", files=files(("image", ALONE)))
    metrics = (await aligned_client.get("/metrics")).text
    assert 'facepair_stage_seconds_count{stage="face"} 3.0' in metrics
