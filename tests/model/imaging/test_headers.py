"""The number of pixels, read from the header."""

import io

import pytest
from PIL import Image

from model.imaging.headers import count_pixels
from tests.drawing import encode, portrait

SIZE = (321, 123)
FORMS: dict[str, tuple[str, str, dict[str, object]]] = {
    "JPEG": ("RGB", "JPEG", {}),
    "progressive": ("RGB", "JPEG", {"progressive": True}),
    "with a comment": ("RGB", "JPEG", {"comment": b"\xff\xc0" * 3000}),
    "PNG": ("RGBA", "PNG", {}),
    "WebP": ("RGB", "WEBP", {}),
    "lossless WebP": ("RGB", "WEBP", {"lossless": True}),
    "transparent WebP": ("RGBA", "WEBP", {}),
}


@pytest.mark.parametrize("form", FORMS)
def test_it_equals_the_decoded_picture_s(form: str) -> None:
    mode, kind, options = FORMS[form]
    picture = portrait(1, size=SIZE).convert(mode)
    if mode == "RGBA":
        picture.putalpha(100)
    data = encode(picture, kind, **options)
    assert Image.open(io.BytesIO(data)).size == SIZE
    assert count_pixels(data) == 321 * 123


def test_stray_bytes_before_the_frame_header_are_skipped() -> None:
    data = encode(portrait(1, size=SIZE), "JPEG")
    assert count_pixels(data[:20] + bytes(1000) + b"\xff\xff" + data[20:]) == 321 * 123


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_cut_files_count_no_more_than_the_whole(kind: str) -> None:
    data = encode(portrait(1, size=SIZE), kind)
    assert max(count_pixels(data[:length]) for length in range(len(data))) == 321 * 123


@pytest.mark.parametrize("data", [b"", b"GIF89a", b"\xff\xd8\xff", b"\xff\xd8" + b"\xff\xe0\x00\x02" * 5000])
def test_what_is_no_image_counts_nothing(data: bytes) -> None:
    assert count_pixels(data) == 0
