"""/verify/batch, and reports of single images: what one image is to blame for, the others do not pay for."""

import base64
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from app.settings import Settings
from model.verifier import Verifier
from tests.app.support.requests import check_problem, files
from tests.conftest import client_of
from tests.drawing import encode, portrait
from tests.faces import head_at, scene

pytestmark = pytest.mark.anyio

FIRST, SECOND, THIRD = (encode(scene(head_at(person))) for person in range(3))
FACELESS = encode(portrait(1))
BROKEN = FIRST[:1000]
DECISION = (
    "decision", "verified", "similarity", "threshold", "operating_point", "fmr_at_similarity", "fmr_is_upper_bound",
    "conditions",
)  # fmt: skip


@pytest.fixture
async def client(aligned_settings: Settings, aligned_verifier: Verifier) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(aligned_settings, aligned_verifier) as client:
        yield client


async def batch(client: httpx.AsyncClient, one: list[bytes], other: list[bytes], **fields: str) -> dict[str, Any]:
    parts = files(*(("image1", image) for image in one), *(("image2", image) for image in other))
    response = await client.post("/v1/verify/batch", files=parts, data=fields)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


async def decided(client: httpx.AsyncClient, left: bytes, right: bytes, **fields: str) -> dict[str, Any]:
    """What /verify says of one pair."""
    response = await client.post("/v1/verify", files=files(("image1", left), ("image2", right)), data=fields)
    return {name: response.json()[name] for name in DECISION}


def same(one: dict[str, Any], other: dict[str, Any]) -> None:
    close = {"similarity": pytest.approx(other["similarity"], abs=1e-5)}
    assert one == other | close


async def test_one_reference_is_compared_with_each_photograph(client: httpx.AsyncClient) -> None:
    for one, other in (([FIRST], [FIRST, SECOND, THIRD]), ([FIRST, SECOND, THIRD], [FIRST])):
        answer = await batch(client, one, other, threshold="0.4")
        assert [pair["index"] for pair in answer["pairs"]] == [0, 1, 2]
        for pair, image in zip(answer["pairs"], (FIRST, SECOND, THIRD), strict=True):
            assert pair["problem"] is None
            same(pair["decided"], await decided(client, FIRST, image, threshold="0.4"))
    assert [(pair["image1"], pair["image2"]) for pair in answer["pairs"]] == [
        (f"image1[{number}]", "image2") for number in range(3)
    ]


async def test_images_in_the_same_place_make_pairs(client: httpx.AsyncClient) -> None:
    answer = await batch(client, [FIRST, SECOND], [THIRD, SECOND])
    for pair, images in zip(answer["pairs"], ((FIRST, THIRD), (SECOND, SECOND)), strict=True):
        same(pair["decided"], await decided(client, *images))
    assert [pair["decided"]["decision"] for pair in answer["pairs"]][1] == "same"
    assert [image["field"] for image in answer["images"]] == ["image1[0]", "image1[1]", "image2[0]", "image2[1]"]


async def test_json_and_a_single_pair_are_taken(client: httpx.AsyncClient) -> None:
    body = {f"image{side}": base64.b64encode(image).decode() for side, image in ((1, FIRST), (2, SECOND))}
    [pair] = (await client.post("/v1/verify/batch", json=body)).json()["pairs"]
    assert (pair["image1"], pair["image2"]) == ("image1", "image2")
    same(pair["decided"], await decided(client, FIRST, SECOND))


async def test_a_pair_that_cannot_be_decided_has_its_problem(client: httpx.AsyncClient) -> None:
    answer = await batch(client, [FIRST], [SECOND, FACELESS, BROKEN, b"GIF89a", b""])
    codes = [pair["problem"] and (pair["problem"]["code"], pair["problem"]["field"]) for pair in answer["pairs"]]
    assert codes == [
        None,
        ("no_face", "image2[1]"),
        ("undecodable_image", "image2[2]"),
        ("unsupported_image", "image2[3]"),
        ("empty_image", "image2[4]"),
    ]
    assert [pair["decided"] is None for pair in answer["pairs"]] == [False, True, True, True, True]
    assert [image["field"] for image in answer["images"]] == ["image1", "image2[0]"]
    assert answer["pairs"][1]["problem"]["request_id"] == answer["request_id"]


async def test_images_that_are_none_in_json_are_reported_too(client: httpx.AsyncClient) -> None:
    right, wrong = base64.b64encode(FIRST).decode(), ["http://example.org/a.jpg", "###", "AA=A"]
    answer = (await client.post("/v1/verify/batch", json={"image1": right, "image2": [right, *wrong]})).json()
    problems = [pair["problem"] for pair in answer["pairs"]]
    assert problems[0] is None
    assert [(each["code"], each["field"]) for each in problems[1:]] == [
        ("unsupported_image", "image2[1]"),
        ("invalid_field", "image2[2]"),
        ("invalid_field", "image2[3]"),
    ]
    for path in ("/v1/embed", "/v1/detect"):
        body = {"image": [right, wrong[0], right]}
        check_problem(await client.post(path, json=body), 415, "unsupported_image", "image[1]")
        reported = (await client.post(path, json=body | {"on_error": "report"})).json()
        assert [(each["code"], each["field"]) for each in reported["problems"]] == [("unsupported_image", "image[1]")]
        assert [each["field"] for each in reported["images"]] == ["image[0]", "image[2]"]


async def test_a_batch_may_have_no_usable_pair(client: httpx.AsyncClient) -> None:
    answer = await batch(client, [FACELESS], [FIRST, SECOND])
    assert {pair["problem"]["field"] for pair in answer["pairs"]} == {"image1"}


async def test_sides_of_two_and_three_make_no_pairs(client: httpx.AsyncClient) -> None:
    parts = files(*[("image1", FIRST)] * 2, *[("image2", FIRST)] * 3)
    response = await client.post("/v1/verify/batch", files=parts)
    check_problem(response, 400, "uneven_pairs")
    assert "there are 2 and 3" in response.json()["detail"]


async def test_limits_of_a_request_hold_for_a_batch(aligned_settings: Settings, aligned_verifier: Verifier) -> None:
    limits = {"max_images": 3, "max_request_pixels": 1024}
    async with client_of(aligned_settings.model_copy(update=limits), aligned_verifier) as client:
        many = await client.post("/verify/batch", files=files(("image1", FIRST), *[("image2", FIRST)] * 3))
        check_problem(many, 400, "too_many_images", "image2")
        large = await client.post("/verify/batch", files=files(("image1", FIRST), ("image2", FIRST)))
        check_problem(large, 422, "too_many_pixels")


@pytest.mark.parametrize("path", ["/v1/embed", "/v1/detect"])
async def test_problems_of_single_images_are_reported_on_request(client: httpx.AsyncClient, path: str) -> None:
    parts = files(("image", FIRST), ("image", BROKEN), ("image", SECOND))
    refused = await client.post(path, files=parts)
    check_problem(refused, 422, "undecodable_image", "image[1]")
    refused = await client.post(path, files=parts, data={"on_error": "refuse"})
    check_problem(refused, 422, "undecodable_image", "image[1]")
    answer = (await client.post(path, files=parts, data={"on_error": "report"})).json()
    assert [image["field"] for image in answer["images"]] == ["image[0]", "image[2]"]
    assert [(each["code"], each["field"]) for each in answer["problems"]] == [("undecodable_image", "image[1]")]
    if path == "/v1/embed":
        assert [(face["index"], face["image"]) for face in answer["data"]] == [(0, 0), (1, 2)]


async def test_without_a_problem_none_is_reported(client: httpx.AsyncClient) -> None:
    for fields in ({}, {"on_error": "report"}):
        answer = (await client.post("/v1/embed", files=files(("image", FIRST)), data=fields)).json()
        assert answer["problems"] == []


async def test_a_picture_without_a_face_is_reported_by_embed_alone(client: httpx.AsyncClient) -> None:
    parts, fields = files(("image", FACELESS)), {"on_error": "report"}
    embedded = (await client.post("/v1/embed", files=parts, data=fields)).json()
    assert (embedded["data"], [each["code"] for each in embedded["problems"]]) == ([], ["no_face"])
    assert (await client.post("/v1/detect", files=parts, data=fields)).json()["problems"] == []


async def test_too_many_faces_together_are_the_request_s_own(
    aligned_settings: Settings, aligned_verifier: Verifier
) -> None:
    async with client_of(aligned_settings.model_copy(update={"max_faces": 1}), aligned_verifier) as client:
        parts = files(("image", FIRST), ("image", SECOND))
        answer = await client.post("/v1/detect", files=parts, data={"on_error": "report"})
    check_problem(answer, 422, "too_many_faces", "image")


@pytest.mark.parametrize("path", ["/verify", "/verify/batch", "/embed", "/detect", "/compare"])
async def test_bare_paths_are_aliases(client: httpx.AsyncClient, path: str) -> None:
    answers = [(await client.post(prefix + path, files=files(("face", b"x")))).json() for prefix in ("", "/v1")]
    for answer in answers:
        answer.pop("request_id")
    assert answers[0] == answers[1]
    document = (await client.get("/openapi.json")).json()
    assert f"/v1{path}" in document["paths"]
    assert path not in document["paths"]


async def test_info_has_both_paths(client: httpx.AsyncClient) -> None:
    assert (await client.get("/v1/info")).json() == (await client.get("/info")).json()
    assert (await client.head("/v1/info")).status_code == 200


async def test_images_of_one_side_are_not_averaged(client: httpx.AsyncClient) -> None:
    """/verify averages them; the batch has a pair for each."""
    averaged = await client.post("/v1/verify", files=files(("image1", FIRST), ("image2", SECOND), ("image2", THIRD)))
    answer = await batch(client, [FIRST], [SECOND, THIRD])
    assert averaged.json()["similarity"] not in [pair["decided"]["similarity"] for pair in answer["pairs"]]
