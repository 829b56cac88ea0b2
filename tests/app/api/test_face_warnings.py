"""What is wrong with a photograph is said in plain words; a good one has no warnings."""

from collections.abc import Callable

import httpx
import pytest
from PIL import Image, ImageDraw, ImageFilter

from tests.app.support.crowds import ALONE
from tests.app.support.requests import detect, verify
from tests.drawing import encode
from tests.faces import head_at, scene

pytestmark = pytest.mark.anyio

GOOD = scene(head_at(0))


def covered() -> Image.Image:
    """The good picture with its right half covered."""
    picture = GOOD.copy()
    ImageDraw.Draw(picture).rectangle((320, 150, 400, 330), fill=(200, 210, 220))
    return picture


# What is done to a good picture, and the words of the one warning.
SPOILT: dict[str, tuple[Callable[[], Image.Image], str]] = {
    "blurred": (lambda: GOOD.filter(ImageFilter.GaussianBlur(3)), "the face is blurred more than"),
    "dark": (lambda: Image.eval(GOOD, lambda shade: shade - 60 if shade > 60 else 0), "the face is darker than"),
    "bright": (lambda: Image.eval(GOOD, lambda shade: min(shade + 95, 255)), "the face is brighter than"),
    "small": (lambda: scene(head_at(0, inter_eye_px=19)), "the face is small: "),
    "tilted": (lambda: scene(head_at(5, tilt_deg=44)), "the head is tilted by "),
    "another face": (lambda: scene(head_at(0, 200), head_at(1, 460)), "another face is nearly as large"),
    "upside down": (lambda: GOOD.rotate(180), "the photo was turned by 180 degrees to find the face"),
    "on its side": (lambda: GOOD.rotate(90, expand=True), "the photo was turned by 90 degrees clockwise to find"),
    "covered": (covered, "the face has a score of 0."),
    "at the edge": (lambda: scene(head_at(0, y=420)), "the face reaches beyond the image's edge"),
}


async def test_good_picture_has_no_warnings(aligned_client: httpx.AsyncClient) -> None:
    for image in (await verify(aligned_client, ALONE, encode(GOOD, "JPEG", quality=80)))["images"]:
        assert image["warnings"] == []


@pytest.mark.parametrize("name", SPOILT)
async def test_defects_are_reported_as_warnings(aligned_client: httpx.AsyncClient, name: str) -> None:
    spoil, words = SPOILT[name]
    good, spoilt = (await verify(aligned_client, ALONE, encode(spoil())))["images"]
    assert good["warnings"] == []
    [warning] = spoilt["warnings"]
    assert warning.startswith(words)
    assert warning.isprintable()


@pytest.mark.parametrize("name", sorted(SPOILT.keys() - {"another face"}))
async def test_detect_reports_warnings_of_the_face(aligned_client: httpx.AsyncClient, name: str) -> None:
    spoil, words = SPOILT[name]
    [image] = await detect(aligned_client, encode(spoil()))
    [warning] = image["faces"][0]["warnings"]
    assert warning.startswith(words)
