"""The number of pixels, read from the header."""

import io

import pytest
from PIL import Image

from model.imaging.headers import LARGE_WORK_PX, has_too_few_bytes, read_header
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
    "AVIF": ("RGB", "AVIF", {}),
    "transparent AVIF": ("RGBA", "AVIF", {}),
}


@pytest.mark.parametrize("form", FORMS)
def test_it_equals_the_decoded_picture_s(form: str) -> None:
    mode, kind, options = FORMS[form]
    picture = portrait(1, size=SIZE).convert(mode)
    if mode == "RGBA":
        picture.putalpha(100)
    data = encode(picture, kind, **options)
    assert Image.open(io.BytesIO(data)).size == SIZE
    assert read_header(data).pixels == 321 * 123


def test_stray_bytes_before_the_frame_header_are_skipped() -> None:
    data = encode(portrait(1, size=SIZE), "JPEG")
    assert read_header(data[:20] + bytes(1000) + b"\xff\xff" + data[20:]).pixels == 321 * 123


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF"])
def test_cut_files_count_no_more_than_the_whole(kind: str) -> None:
    data = encode(portrait(1, size=SIZE), kind)
    assert max(read_header(data[:length]).pixels for length in range(len(data))) == 321 * 123


@pytest.mark.parametrize("data", [b"", b"GIF89a", b"\xff\xd8\xff", b"\xff\xd8" + b"\xff\xe0\x00\x02" * 5000])
def test_what_is_no_image_counts_nothing(data: bytes) -> None:
    assert read_header(data).pixels == 0


def scans_of(count: int, size: tuple[int, int] = (1600, 1600)) -> bytes:
    """A progressive JPEG whose last scan stands there again and again."""
    data = encode(portrait(1, size=size).convert("RGB"), "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    return data[:last] + data[last:-2] * (count - data.count(b"\xff\xda") + 1) + data[-2:]


def test_work_of_each_form_is_counted_in_pixels_of_a_png() -> None:
    picture = portrait(1, size=(800, 400)).convert("RGB")
    assert read_header(encode(picture)).work == read_header(encode(picture, "WEBP")).work == 320_000
    assert read_header(encode(picture, "JPEG")).work == 40_000
    progressive = encode(picture, "JPEG", progressive=True)
    assert read_header(progressive).work == 320_000 * (3 + progressive.count(b"\xff\xda")) // 32
    assert read_header(encode(picture, "JPEG")[:-2]).work == 80_000  # it may be decoded twice
    for kind in ("HEIF", "AVIF"):
        predicted = encode(picture, kind)
        assert read_header(predicted).work == (320_000 * 13 + len(predicted) * 85) // 32
    assert read_header(b"GIF89a").work == 0


def test_jpeg_of_many_scans_is_large() -> None:
    pixels = 1600 * 1600
    assert read_header(scans_of(10)).work == pixels * 13 // 32 < LARGE_WORK_PX
    assert read_header(scans_of(90)).work == pixels * 93 // 32 >= LARGE_WORK_PX
    assert read_header(scans_of(500)).work == pixels * 103 // 32  # more are not decoded


def test_scans_of_separate_components_are_counted() -> None:
    data = encode(portrait(1, size=(800, 400)).convert("RGB"), "JPEG")
    first = data.index(b"\xff\xda")
    alone = data[: first + 4] + b"\1" + data[first + 5 :]  # the header of a scan of one component of three
    assert read_header(alone + data[first:] * 6).work == 320_000 * (3 + 7) // 32
    assert read_header(data + data[first:] * 6).work == 320_000 * (3 + 1) // 32


@pytest.mark.parametrize(
    ("kind", "options", "absurd"),
    [
        ("JPEG", {}, False),
        ("JPEG", {"progressive": True}, False),
        ("PNG", {}, False),
        ("WEBP", {}, False),
        ("WEBP", {"lossless": True}, True),
    ],
)
def test_only_a_flat_lossless_webp_has_too_few_bytes(kind: str, options: dict[str, object], absurd: bool) -> None:
    data = encode(Image.new("L" if kind != "WEBP" else "RGB", (2000, 1000), 90), kind, **options)
    assert has_too_few_bytes(data, read_header(data).pixels) is absurd


def test_heic_counts_what_is_coded() -> None:
    """Its coder pads them to even sides."""
    assert read_header(encode(portrait(1, size=SIZE).convert("RGB"), "HEIF")).pixels == 322 * 124


def test_small_pictures_never_have_too_few_bytes() -> None:
    assert not has_too_few_bytes(b"", 1_000_000)
