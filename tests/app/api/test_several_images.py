"""Several photographs of a person: what their parts are called, what their mean is, and how many there may be."""

from collections.abc import AsyncIterator

import httpx
import numpy as np
import pytest

from app.settings import Settings
from model.averaging import mean_embedding
from model.verifier import Verifier
from tests.app.support.crowds import ALONE, OTHER
from tests.app.support.requests import ANNA, BERTA, MULTIPART, check_problem, embed, files, multipart, verify
from tests.app.support.stopped_decoders import stopped
from tests.conftest import app_of, client_of
from tests.drawing import encode, portrait

pytestmark = pytest.mark.anyio

CARLA = encode(portrait(3))
NAMES = [("", "", ""), ("[]", "[]", "[]"), ("[0]", "[1]", "[2]"), ("", "[]", "[0]"), ("[7]", "[7]", "[7]")]
# A route with the names that its images may have.
ROUTES = [("/verify", ("image1", "image2")), ("/embed", ("image",)), ("/detect", ("image",))]
PIXELS = 640 * 480


def images(names: tuple[str, ...], count: int) -> list[tuple[str, tuple[str, bytes]]]:
    """That many drawn faces of 640x480 under the names of the route's parts, by turns."""
    return files(*((names[number % len(names)], (ALONE, OTHER)[number % 2]) for number in range(count)))


@pytest.mark.parametrize("endings", NAMES)
@pytest.mark.parametrize("side", ["image1", "image2"])
async def test_names_of_repeated_parts_are_equal(
    client: httpx.AsyncClient, side: str, endings: tuple[str, ...]
) -> None:
    other = "image2" if side == "image1" else "image1"
    several = [(side + ending, image) for ending, image in zip(endings, (ANNA, BERTA, CARLA), strict=True)]
    answer = (await client.post("/verify", files=files((other, CARLA), *several))).json()
    plain = files((other, CARLA), (side, ANNA), (side, BERTA), (side, CARLA))
    assert answer["similarity"] == (await client.post("/verify", files=plain)).json()["similarity"]
    numbered = [f"{side}[{number}]" for number in range(3)]
    fields = [*numbered, other] if side == "image1" else [other, *numbered]
    assert [image["field"] for image in answer["images"]] == fields


@pytest.mark.parametrize("endings", NAMES)
async def test_names_of_images_to_embed_are_equal(client: httpx.AsyncClient, endings: tuple[str, ...]) -> None:
    parts = [(f"image{ending}", image) for ending, image in zip(endings, (ANNA, BERTA, CARLA), strict=True)]
    answer = (await client.post("/embed", files=files(*parts))).json()
    assert answer["data"] == (await embed(client, ANNA, BERTA, CARLA))["data"]
    assert [image["field"] for image in answer["images"]] == ["image[0]", "image[1]", "image[2]"]


@pytest.mark.parametrize("ending", ["", "[]", "[0]", "[12]"])
async def test_one_image_of_a_side_has_no_number(client: httpx.AsyncClient, ending: str) -> None:
    sent = files(("image1" + ending, ANNA), ("image2" + ending, BERTA))
    answer, plain = (await client.post("/verify", files=sent)).json(), await verify(client)
    for each in (answer, plain):
        del each["timing_ms"], each["request_id"]
    assert answer == plain
    broken = await client.post("/verify", files=files(("image1", ANNA), ("image2" + ending, ANNA[:50])))
    check_problem(broken, 422, "undecodable_image", "image2")


@pytest.mark.parametrize("name", ["image", "image3[]", "image2[x]", "image2[-1]", "image2[][]", "image2[]x", "[]"])
async def test_other_names_are_refused_by_their_place(client: httpx.AsyncClient, name: str) -> None:
    answer = await client.post("/verify", files=files(("image1", ANNA), ("image2", BERTA), (name, ANNA)))
    check_problem(answer, 400, "unexpected_part")
    assert answer.json()["detail"].startswith("part 3 of the body has another name; this route takes image1, image2,")


async def test_the_one_that_cannot_be_used_is_named(client: httpx.AsyncClient) -> None:
    sent = files(("image2", ANNA), ("image1", BERTA), ("image2", ANNA[:50]), ("image1", BERTA))
    check_problem(await client.post("/verify", files=sent), 422, "undecodable_image", "image2[1]")


async def test_the_one_with_too_many_bytes_is_named(settings: Settings, verifier: Verifier) -> None:
    async with client_of(settings.model_copy(update={"max_image_bytes": 20_000}), verifier) as client:
        sent = files(("image1", ANNA), ("image2", ANNA), ("image2", bytes(20_001)))
        check_problem(await client.post("/verify", files=sent), 413, "too_many_bytes", "image2[1]")


async def test_embeddings_of_a_side_are_averaged(client: httpx.AsyncClient, verifier: Verifier) -> None:
    stored = np.array([item["embedding"] for item in (await embed(client, ANNA, BERTA, CARLA))["data"]], np.float32)
    sides = (stored[1:2], stored[[0, 2]])
    one, other = (mean_embedding(side, ())[None] for side in sides)
    expected = verifier.compare(one, other)[0]
    sent = files(("image1", BERTA), ("image2", ANNA), ("image2", CARLA))
    answer = (await client.post("/verify", files=sent)).json()
    assert answer["similarity"] == pytest.approx(expected, abs=1e-6)
    assert abs(expected - verifier.compare(one, stored[:1])[0]) > 1e-3


async def test_the_order_of_sides_and_images_does_not_matter(client: httpx.AsyncClient) -> None:
    forth = files(("image1", ANNA), ("image1", BERTA), ("image2", CARLA))
    back = files(("image1", CARLA), ("image2", BERTA), ("image2", ANNA))
    answers = [(await client.post("/verify", files=sent)).json()["similarity"] for sent in (forth, back)]
    assert answers[0] == pytest.approx(answers[1], abs=1e-6)


@pytest.fixture
async def limited(aligned_settings: Settings, aligned_verifier: Verifier) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a service that takes 3 images, together as large as three drawn faces and a little more."""
    size = 3 * max(len(ALONE), len(OTHER)) + 2000
    limits = {"max_images": 3, "max_request_bytes": size, "max_request_pixels": 3 * PIXELS - 1}
    async with client_of(aligned_settings.model_copy(update=limits), aligned_verifier) as client:
        yield client


@pytest.mark.parametrize(("route", "names"), ROUTES)
async def test_more_images_than_a_request_may_have_are_refused(
    limited: httpx.AsyncClient, route: str, names: tuple[str, ...]
) -> None:
    answer = await limited.post(route, files=images(names, 4))
    check_problem(answer, 400, "too_many_images", names[-1])
    assert answer.json()["detail"] == "a request may have 3 images; send fewer"
    assert (await limited.post(route, files=images(names, 2))).status_code == 200


@pytest.mark.parametrize(("route", "names"), ROUTES)
async def test_more_bytes_than_a_request_may_have_are_refused(
    limited: httpx.AsyncClient, route: str, names: tuple[str, ...]
) -> None:
    size = 3 * max(len(ALONE), len(OTHER)) + 2000
    parts = [(name, ALONE + bytes(size // len(names))) for name in names]
    answer = await limited.post(route, content=multipart(*parts), headers=MULTIPART)
    check_problem(answer, 413, "too_many_bytes")
    assert f"{size:,} bytes" in answer.json()["detail"]


@pytest.mark.parametrize(("route", "names"), ROUTES)
async def test_more_pixels_than_a_request_may_have_are_refused_before_any_is_decoded(
    aligned_settings: Settings, aligned_verifier: Verifier, route: str, names: tuple[str, ...]
) -> None:
    limits = {"max_request_pixels": 3 * PIXELS - 1}
    async with app_of(aligned_settings.model_copy(update=limits), aligned_verifier) as (app, client):
        with stopped(app.state.inference.decoders):
            answer = await client.post(route, files=images(names, 3))
        check_problem(answer, 422, "too_many_pixels")
        assert "may have 921,599 pixels together; these have 921,600" in answer.json()["detail"]
        assert app.state.admission.work.taken == 0
        assert (await client.post(route, files=images(names, 2))).status_code == 200


async def test_one_image_with_too_many_pixels_is_named(aligned_settings: Settings, aligned_verifier: Verifier) -> None:
    limits = {"max_pixels": PIXELS - 1, "max_request_pixels": PIXELS}
    async with client_of(aligned_settings.model_copy(update=limits), aligned_verifier) as client:
        check_problem(await client.post("/verify", files=images(("image1", "image2"), 3)), 422, "too_many_pixels",
                      "image1[0]")  # fmt: skip


async def test_a_pair_is_taken_whatever_the_number_of_images(settings: Settings, verifier: Verifier) -> None:
    async with client_of(settings.model_copy(update={"max_images": 1}), verifier) as client:
        assert (await verify(client))["images"][1]["field"] == "image2"
        sent = files(("image1", ANNA), ("image2", BERTA), ("image2", BERTA))
        check_problem(await client.post("/verify", files=sent), 400, "too_many_images", "image2")
