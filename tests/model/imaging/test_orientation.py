"""Photos are upright for every EXIF orientation."""

from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from model.arrays import Pixels
from model.imaging.decoding import decode
from model.imaging.preprocessing import PreprocessingConfig
from tests.drawing import encode, portrait
from tests.model.support.pictures import difference, grey_values

CONFIG = PreprocessingConfig()
ORIENTATION = 0x0112
UPRIGHT = portrait(3, size=(120, 80)).rotate(17)

# How a file of each orientation stores the upright picture.
STORED: dict[int, Callable[[Pixels], Pixels]] = {
    1: lambda up: up,
    2: lambda up: up[:, ::-1],
    3: lambda up: up[::-1, ::-1],
    4: lambda up: up[::-1],
    5: lambda up: up.swapaxes(0, 1),
    6: lambda up: up[:, ::-1].swapaxes(0, 1),
    7: lambda up: up[::-1, ::-1].swapaxes(0, 1),
    8: lambda up: up[::-1].swapaxes(0, 1),
}


def stored(kind: str, orientation: int, picture: Image.Image = UPRIGHT) -> bytes:
    stored_picture = Image.fromarray(np.ascontiguousarray(STORED[orientation](np.asarray(picture))))
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    return encode(stored_picture, kind, exif=exif.tobytes(), quality=95)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "HEIF", "AVIF"])
@pytest.mark.parametrize("orientation", STORED)
def test_every_orientation_becomes_upright(kind: str, orientation: int) -> None:
    photograph = decode(stored(kind, orientation), CONFIG)
    assert (photograph.width_px, photograph.height_px) == photograph.grey.size == UPRIGHT.size
    assert difference(np.asarray(photograph.grey), grey_values(UPRIGHT)) < 3
    coloured = decode(stored(kind, orientation), CONFIG.model_copy(update={"colour": "rgb"}))
    assert np.array_equal(np.asarray(coloured.grey), np.asarray(photograph.grey))
    assert difference(np.asarray(coloured.picture), np.asarray(UPRIGHT)) < 5


def test_reduced_jpeg_is_upright_and_reports_its_full_size() -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    photograph = decode(encode(portrait(3, size=(2400, 1800)), "JPEG", exif=exif), CONFIG)
    assert (photograph.width_px, photograph.height_px) == (1800, 2400)
    assert photograph.grey.width < photograph.grey.height < 2400


@pytest.mark.parametrize("place", [(40, 35), (2400, 1805)])
@pytest.mark.parametrize("orientation", STORED)
def test_points_of_a_reduced_jpeg_are_where_they_were(orientation: int, place: tuple[int, int]) -> None:
    """The sides are no multiples of the reduction, so the decoder rounds them up."""
    picture = Image.new("L", (2437, 1835))
    picture.paste(255, (place[0] - 16, place[1] - 16, place[0] + 16, place[1] + 16))
    photograph = decode(stored("JPEG", orientation, picture), CONFIG)
    assert photograph.reduction == 4
    values = np.asarray(photograph.grey, float)
    rows, columns = np.indices(values.shape) + 0.5
    centre = np.array([[(values * columns).sum(), (values * rows).sum()]]) / values.sum()
    assert np.abs(photograph.in_image(centre) - place).max() < 0.3


def exif_with(value: int) -> bytes:
    exif = Image.Exif()
    exif[ORIENTATION] = value
    return exif.tobytes()


BROKEN = {
    "empty": b"Exif\0\0",
    "garbage": b"Exif\0\0garbage",
    "cut off in the directory": exif_with(6)[:20],
    "directory beyond the end": b"Exif\0\0MM\0*\xff\xff\xff\xff",
    "directory that names itself": b"Exif\0\0II*\0\x08\0\0\0\xff\xff",
    "orientation 0": exif_with(0),
    "orientation 9": exif_with(9),
    "orientation in words": b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x02\0\x03\0\0\0up\0\0\0\0\0\0",
}


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's, about the EXIF data
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("name", BROKEN)
def test_broken_exif_is_ignored(kind: str, name: str) -> None:
    photograph = decode(encode(UPRIGHT, kind, exif=BROKEN[name], quality=95), CONFIG)
    assert difference(np.asarray(photograph.grey), grey_values(UPRIGHT)) < 3
