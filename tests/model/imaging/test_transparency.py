"""Transparent pixels become white, in every way that a file can store transparency."""

import struct
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image

from model.imaging.decoding import decode
from model.imaging.preprocessing import PreprocessingConfig
from tests.drawing import encode
from tests.model.support.pictures import chunk, deep_png, png_header

CONFIG = PreprocessingConfig()
SIDE_PX = 40
CLEAR, SHOWN = 60, 120


def halves(mode: str, left: int | tuple[int, ...], right: int | tuple[int, ...]) -> Image.Image:
    picture = Image.new(mode, (SIDE_PX, SIDE_PX), right)
    picture.paste(left, (0, 0, SIDE_PX // 2, SIDE_PX))
    return picture


def sides(data: bytes) -> list[int]:
    """The grey levels that occur in the left half, then those in the right half."""
    grey = np.asarray(decode(data, CONFIG).grey)
    coloured = np.asarray(decode(data, CONFIG.model_copy(update={"colour": "rgb"})).picture)
    assert (coloured == grey[..., None]).all()
    left, right = np.unique(grey[:, : SIDE_PX // 2]), np.unique(grey[:, SIDE_PX // 2 :])
    return [*left.tolist(), *right.tolist()]


def palette(transparency: int | bytes) -> bytes:
    picture = halves("P", 0, 1)
    picture.putpalette([CLEAR] * 3 + [SHOWN] * 3)
    return encode(picture, transparency=transparency)


def deep(clear: int, shown: int, channels: int) -> bytes:
    values = np.full((SIDE_PX, SIDE_PX, channels), shown * 257, dtype=np.uint16)
    values[:, : SIDE_PX // 2] = clear * 257
    values[:, : SIDE_PX // 2, -1] = 0
    values[:, SIDE_PX // 2 :, -1] = 65535
    return deep_png(values)


FILES: dict[str, bytes] = {
    "grey and alpha": encode(halves("LA", (CLEAR, 0), (SHOWN, 255))),
    "colour and alpha": encode(halves("RGBA", (CLEAR, CLEAR, CLEAR, 0), (SHOWN, SHOWN, SHOWN, 255))),
    "colour and alpha, webp": encode(halves("RGBA", (CLEAR,) * 3 + (0,), (SHOWN,) * 3 + (255,)), "WEBP", lossless=True),
    "one grey level": encode(halves("L", CLEAR, SHOWN), transparency=CLEAR),
    "one colour": encode(halves("RGB", (CLEAR,) * 3, (SHOWN,) * 3), transparency=(CLEAR,) * 3),
    "one palette entry": palette(0),
    "alpha of each palette entry": palette(b"\x00\xff"),
    "one 16-bit grey level": encode(halves("I;16", CLEAR * 257, SHOWN * 257), transparency=CLEAR * 257),
    "16-bit grey and alpha": deep(CLEAR, SHOWN, channels=2),
    "16-bit colour and alpha": deep(CLEAR, SHOWN, channels=4),
}


@pytest.mark.parametrize("name", FILES)
def test_transparent_pixels_become_white_and_others_stay(name: str) -> None:
    assert sides(FILES[name]) == [255, SHOWN]


@pytest.mark.parametrize("bits", [2, 4])
def test_a_transparent_grey_of_few_bits_becomes_white(bits: int) -> None:
    """Pillow would leave it: findings/pillow-clear-grey-of-few-bits.sh."""
    most = 2**bits - 1
    row = int(f"{most - 1:0{bits}b}" * (SIDE_PX // 2) + f"{1:0{bits}b}" * (SIDE_PX // 2), 2).to_bytes(
        SIDE_PX * bits // 8
    )
    parts = (b"tRNS", struct.pack(">H", most - 1)), (b"IDAT", zlib.compress((b"\0" + row) * SIDE_PX)), (b"IEND", b"")
    data = png_header(SIDE_PX, SIDE_PX, bits) + b"".join(chunk(*part) for part in parts)
    assert sides(data) == [255, 255 // most]


def test_bilevel_image_with_transparent_black_is_white() -> None:
    assert sides(encode(halves("1", 0, 1), transparency=0)) == [255, 255]


@pytest.mark.parametrize("alpha", [0, 1, 64, 128, 254, 255])
@pytest.mark.parametrize("level", [0, 100, 255])
def test_translucent_pixels_are_blended_with_white(alpha: int, level: int) -> None:
    expected = alpha / 255 * level + (1 - alpha / 255) * 255
    pictures: list[tuple[str, Any]] = [("LA", (level, alpha)), ("RGBA", (level, level, level, alpha))]
    for mode, colour in pictures:
        left, right = sides(encode(Image.new(mode, (SIDE_PX, SIDE_PX), colour)))
        assert left == right == pytest.approx(expected, abs=1)
