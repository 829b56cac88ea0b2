"""A pair's similarity stays nearly what it is wherever a face stands in a photograph, and however it was sent."""

import functools
from collections.abc import Callable

import httpx
import pytest
from PIL.Image import Resampling

from tests.app.support.requests import verify
from tests.drawing import STORED, encode, encode_oriented
from tests.faces import head_at, scene

pytestmark = pytest.mark.anyio

# By how much a similarity may change; those of different pairs of drawn people are 0.2 apart and more.
BOUND = 0.08
PEOPLE = (0, 1, 4)
PAIRS = ((0, 1), (4, 0))
SENT: dict[str, Callable[[int], bytes]] = {
    "shifted": lambda person: encode(scene(head_at(person, 433, 171))),
    "larger": lambda person: encode(scene(head_at(person, 330, 230, 84))),
    "smaller": lambda person: encode(scene(head_at(person, inter_eye_px=36))),
    "tilted right": lambda person: encode(scene(head_at(person, tilt_deg=20))),
    "tilted left": lambda person: encode(scene(head_at(person)).rotate(20, Resampling.BICUBIC, expand=True)),
    "as JPEG": lambda person: encode(scene(head_at(person)), "JPEG", quality=75),
    "as WebP": lambda person: encode(scene(head_at(person)), "WEBP", quality=75),
    "among others": lambda person: encode(scene(head_at(person), head_at(7, 80, 100, 24), head_at(8, 560, 380, 30))),
    "of 12 megapixels": lambda person: encode(scene(head_at(person)).resize((4000, 3000)), "JPEG", quality=85),
}


async def similarity(client: httpx.AsyncClient, left: bytes, right: bytes, face: str = "largest") -> float:
    found: float = (await verify(client, left, right, face=face))["similarity"]
    return found


@functools.cache
def plain(person: int) -> bytes:
    return encode(scene(head_at(person)))


@pytest.mark.parametrize("name", SENT)
async def test_similarity_hardly_changes_with_the_image(aligned_client: httpx.AsyncClient, name: str) -> None:
    for one, other in PAIRS:
        expected = await similarity(aligned_client, plain(one), plain(other))
        found = await similarity(aligned_client, SENT[name](one), plain(other))
        assert found == pytest.approx(expected, abs=BOUND)


@pytest.mark.parametrize("orientation", STORED)
async def test_exif_orientation_changes_nothing(aligned_client: httpx.AsyncClient, orientation: int) -> None:
    expected = await similarity(aligned_client, plain(0), plain(1))
    oriented = encode_oriented(scene(head_at(0)), orientation)
    assert await similarity(aligned_client, oriented, plain(1)) == expected


async def test_the_same_face_elsewhere_is_closer_than_any_other(aligned_client: httpx.AsyncClient) -> None:
    for name in ("shifted", "tilted left"):
        same = [await similarity(aligned_client, SENT[name](person), plain(person)) for person in PEOPLE]
        others = [await similarity(aligned_client, SENT[name](one), plain(other)) for one, other in PAIRS]
        assert min(same) > max(others)


async def test_whole_pictures_exceed_the_bound(aligned_client: httpx.AsyncClient) -> None:
    changes = []
    for one, other in PAIRS:
        expected = await similarity(aligned_client, plain(one), plain(other), "none")
        changes += [
            abs(await similarity(aligned_client, SENT[name](one), plain(other), "none") - expected)
            for name in ("shifted", "larger", "tilted left")
        ]
    assert max(changes) > BOUND
