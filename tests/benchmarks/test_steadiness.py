"""The changes of the steadiness benchmark move points as they say."""

import io

import numpy as np
import pytest
from PIL import Image, ImageOps

from benchmarks.steadiness import CHANGES, turn


@pytest.mark.parametrize("clockwise_deg", [90, 180, 270])
def test_turn_moves_pixels_to_where_its_transform_says(clockwise_deg: int) -> None:
    picture = Image.new("L", (40, 30))
    picture.putpixel((7, 3), 255)
    data, moved = turn(picture, clockwise_deg)
    found = np.argwhere(np.asarray(Image.open(io.BytesIO(data))) == 255)
    assert moved(np.array([[7.5, 3.5]])) == pytest.approx(found[:, ::-1] + 0.5)


def test_turned_picture_is_clockwise() -> None:
    picture = ImageOps.expand(Image.new("L", (20, 10), 200), (0, 10, 0, 0))  # the upper half is black
    data, _ = CHANGES["turned by 90 degrees"](picture, np.random.default_rng(0))
    turned = np.asarray(Image.open(io.BytesIO(data)))
    assert (turned[:, 10:] == 0).all()
    assert (turned[:, :10] == 200).all()
