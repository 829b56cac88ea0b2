"""Faces of real photographs: LFW where FACEPAIR_LFW names it, EXIF's test set where FACEPAIR_HOSTILE_IMAGES does."""

import io
import itertools
import tarfile
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image
from PIL.Image import Resampling, Transpose

from tests.app.support.requests import detect, verify
from tests.drawing import encode, encode_oriented

pytestmark = pytest.mark.anyio

PICTURES = 6
BOUND = 0.08
PLACE = 0.2  # of the distance between the eyes


@pytest.fixture(scope="module")
def exif_set(hostile: Path) -> Path:
    return hostile / "exif-orientation"


@pytest.fixture(scope="module")
def portraits(lfw: Path) -> list[Image.Image]:
    """The first deep-funneled pictures of different people."""
    found: dict[str, Image.Image] = {}
    with tarfile.open(lfw / "lfw-deepfunneled.tgz", "r|gz") as archive:
        for member in archive:
            file = archive.extractfile(member) if member.name.endswith(".jpg") else None
            if file:
                found.setdefault(Path(member.name).parent.name, Image.open(io.BytesIO(file.read())).convert("RGB"))
            if len(found) == PICTURES:
                break
    return list(found.values())


@pytest.mark.parametrize("name", ["Landscape", "Portrait"])
async def test_all_orientations_have_the_same_faces(
    aligned_client: httpx.AsyncClient, exif_set: Path, name: str
) -> None:
    first, *others = [
        image
        for number in range(9)
        for image in await detect(aligned_client, (exif_set / f"{name}_{number}.jpg").read_bytes())
    ]
    for image in others:
        assert image["faces_found"] == first["faces_found"]
        for one, other in zip(first["faces"], image["faces"], strict=True):
            apart = np.array(list(one["landmarks"].values())) - np.array(list(other["landmarks"].values()))
            assert np.abs(apart).max() < PLACE * one["quality"]["inter_eye_px"]


async def test_each_portrait_has_a_face_near_its_middle(
    aligned_client: httpx.AsyncClient, portraits: list[Image.Image]
) -> None:
    for image in await detect(aligned_client, *map(encode, portraits)):
        noses = [face["landmarks"]["nose"] for face in image["faces"]]
        assert min(abs(x - 125) + abs(y - 137) for x, y in noses) < 40


def placed(portrait: Image.Image, at: tuple[int, int], side: int, tilt_deg: float = 0) -> Image.Image:
    """The middle of a portrait in a larger picture."""
    canvas = Image.new("RGB", (900, 700), (100, 105, 110))
    turned = portrait.resize((side, side), Resampling.BICUBIC).rotate(tilt_deg, Resampling.BICUBIC)
    canvas.paste(turned, at)
    return canvas


async def test_similarity_hardly_changes_with_the_file(
    aligned_client: httpx.AsyncClient, portraits: list[Image.Image]
) -> None:
    for one, other in itertools.pairwise(portraits[:4]):
        right = encode(placed(other, (200, 150), 400))
        expected = (await verify(aligned_client, encode(placed(one, (200, 150), 400)), right))["similarity"]
        sent = {
            "shifted": encode(placed(one, (431, 77), 400)),
            "larger": encode(placed(one, (100, 50), 560)),
            "smaller": encode(placed(one, (300, 250), 300)),
            "tilted": encode(placed(one, (200, 150), 400, 20)),
            "as JPEG": encode(placed(one, (200, 150), 400), "JPEG", quality=75),
            "turned": encode_oriented(placed(one, (200, 150), 400), 6, "JPEG", quality=92),
            "upside down": encode(placed(one, (200, 150), 400).transpose(Transpose.ROTATE_180)),
            "on its side": encode(placed(one, (200, 150), 400).transpose(Transpose.ROTATE_90)),
            "on its other side": encode(placed(one, (200, 150), 400).transpose(Transpose.ROTATE_270)),
        }
        for name, data in sent.items():
            found = (await verify(aligned_client, data, right))["similarity"]
            assert found == pytest.approx(expected, abs=BOUND), name
