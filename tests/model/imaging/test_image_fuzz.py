"""Damaged files of every kind are decoded or refused with an ImageError."""

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from model.errors import ImageError
from model.imaging.crops import resize
from model.imaging.decoding import ImageLimits, decode
from model.imaging.preprocessing import PreprocessingConfig
from tests.drawing import encode, portrait
from tests.model.support.pictures import several

CONFIG = PreprocessingConfig()
LIMITS = ImageLimits(max_pixels=1_000_000)
PICTURE = portrait(1, size=(64, 64))
EXIF = Image.Exif()
EXIF[0x0112] = 6
FILES = [
    encode(PICTURE, "JPEG", exif=EXIF),
    encode(PICTURE, "JPEG", progressive=True),
    encode(PICTURE.convert("CMYK"), "JPEG"),
    encode(PICTURE, exif=EXIF),
    encode(PICTURE.quantize(8), transparency=b"\x00\x80\xff"),
    encode(PICTURE.convert("L").convert("I;16")),
    encode(PICTURE.convert("RGBA"), "WEBP", exif=EXIF),
    encode(PICTURE, "WEBP", lossless=True),
    encode(PICTURE, "HEIF", quality=30),
    encode(PICTURE.convert("RGBA"), "AVIF", speed=9),
    several("MPO", PICTURE, portrait(2, size=(64, 64))),
    several("PNG", PICTURE, portrait(2, size=(64, 64))),
    several("WEBP", PICTURE, portrait(2, size=(64, 64))),
    several("AVIF", PICTURE, portrait(2, size=(64, 64))),
]


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A valid file with up to eight cuts, insertions and overwritten parts."""
    data = bytearray(draw(st.sampled_from(FILES)))
    for _ in range(draw(st.integers(1, 8))):
        # Headers are short but decide most, so half of the positions are near the start.
        start = draw(st.integers(0, 200) | st.integers(0, len(data)))
        removed = draw(st.sampled_from([0, 1, 1, 1, 2, 4, 50, 10_000]))
        data[start : start + removed] = draw(st.binary(max_size=8))
    return bytes(data)


def decode_or_refuse(data: bytes) -> None:
    with contextlib.suppress(ImageError):
        photograph = decode(data, CONFIG, LIMITS)
        assert photograph.grey.mode == "L"
        assert resize(photograph, CONFIG).shape == (105, 105)


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's, about damaged metadata
@settings(max_examples=400, deadline=None, derandomize=True, database=None)
@given(damaged())
def test_damaged_files(data: bytes) -> None:
    decode_or_refuse(data)


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(st.sampled_from([b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF\0\0\0\0WEBP"]), st.binary(max_size=300))
def test_random_bytes_are_decoded_or_refused(start: bytes, rest: bytes) -> None:
    decode_or_refuse(start + rest)


def test_undamaged_files_decode() -> None:
    for data in FILES:
        assert decode(data, CONFIG, LIMITS).grey.size == (64, 64)
