"""Each way in which a photograph's faces cannot be used, and nothing of the photograph in the answer or the log."""

import logging

import httpx
import pytest

from app.settings import Settings
from model.verifier import Verifier
from tests.app.support.crowds import ALONE, CROWD, NOBODY
from tests.app.support.requests import SECRET, check_problem, detect, embed, files, log_lines, pair, verify
from tests.conftest import client_of
from tests.drawing import encode, portrait
from tests.faces import too_small

pytestmark = pytest.mark.anyio

SMALL = encode(too_small())
# An image, the option, and the code of the error.
CASES = [
    *((NOBODY, choice, "no_face") for choice in ("", "largest", "center", "only")),
    (encode(portrait(1)), "largest", "no_face"),
    (CROWD, "only", "several_faces"),
    *((SMALL, choice, "face_too_small") for choice in ("largest", "center", "only")),
]


@pytest.mark.parametrize(("image", "choice", "code"), CASES, ids=lambda value: value if isinstance(value, str) else "")
async def test_the_field_and_the_reason_are_named(
    aligned_client: httpx.AsyncClient, image: bytes, choice: str, code: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    fields = {"face": choice}
    for body, field in ((pair(image, ALONE), "image1"), (pair(ALONE, image), "image2")):
        check_problem(await aligned_client.post("/verify", files=body, data=fields), 422, code, field)
    body = files(("image", ALONE), ("image", image))
    check_problem(await aligned_client.post("/embed", files=body, data=fields), 422, code, "image[1]")
    assert SECRET not in "".join(log_lines(caplog))


async def test_the_first_of_two_bad_images_is_named(aligned_client: httpx.AsyncClient) -> None:
    check_problem(await aligned_client.post("/verify", files=pair(NOBODY, SMALL)), 422, "no_face", "image1")


async def test_embed_all_without_a_face_is_refused(aligned_client: httpx.AsyncClient) -> None:
    response = await aligned_client.post("/embed", files=files(("image", NOBODY)), data={"face": "all"})
    check_problem(response, 422, "no_face", "image[0]")


async def test_undecodable_image_is_refused(aligned_client: httpx.AsyncClient) -> None:
    check_problem(await aligned_client.post("/detect", files=files(("image", b""))), 422, "empty_image", "image[0]")


async def test_max_faces_in_one_image(aligned_settings: Settings, aligned_verifier: Verifier) -> None:
    async with client_of(aligned_settings.model_copy(update={"max_faces": 2}), aligned_verifier) as client:
        for path, fields in (("/embed", {"face": "all"}), ("/detect", {})):
            response = await client.post(path, files=files(("image", ALONE), ("image", CROWD)), data=fields)
            check_problem(response, 422, "too_many_faces", "image[1]")
        assert (await embed(client, CROWD))["images"][0]["faces_found"] == 3


async def test_max_faces_in_all_images(aligned_settings: Settings, aligned_verifier: Verifier) -> None:
    async with client_of(aligned_settings.model_copy(update={"max_faces": 5}), aligned_verifier) as client:
        response = await client.post("/embed", files=files(*[("image", CROWD)] * 2), data={"face": "all"})
        check_problem(response, 422, "too_many_faces", "image")
        images = files(*[("image", ALONE)] * 6)
        assert len((await client.post("/embed", files=images, data={"face": "largest"})).json()["data"]) == 6


@pytest.mark.parametrize(("path", "choice"), [("/verify", SECRET), ("/verify", "all"), ("/verify", "any"),
                                              ("/embed", SECRET), ("/embed", "any"), ("/embed", "ALL")])  # fmt: skip
async def test_unknown_choice_is_refused(aligned_client: httpx.AsyncClient, path: str, choice: str) -> None:
    body = pair(ALONE, ALONE) if path == "/verify" else files(("image", ALONE))
    response = await aligned_client.post(path, files=body, data={"face": choice})
    check_problem(response, 400, "invalid_field", "face")


async def test_repeated_choice_is_refused(aligned_client: httpx.AsyncClient) -> None:
    response = await aligned_client.post("/verify", files=pair(), data={"face": ["largest", "only"]})
    check_problem(response, 400, "duplicate_part", "face")


async def test_detect_takes_no_choice(aligned_client: httpx.AsyncClient) -> None:
    response = await aligned_client.post("/detect", files=files(("image", ALONE)), data={"face": "all"})
    check_problem(response, 400, "unexpected_part")


async def test_faces_are_never_logged(aligned_client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    await verify(aligned_client, ALONE, CROWD)
    await embed(aligned_client, CROWD, face="all")
    [image] = await detect(aligned_client, CROWD)
    written = "".join(log_lines(caplog))
    assert written.count("/verify") == written.count("/embed") == written.count("/detect") == 1
    assert "nose" not in written
    assert not any(f"{value}" in written for face in image["faces"] for value in face["landmarks"]["nose"])
