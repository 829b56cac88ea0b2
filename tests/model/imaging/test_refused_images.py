"""Unusable images are refused with the right error, before their pixels are decoded if possible."""

import re
import warnings
from typing import Literal

import pytest

from model.errors import EmptyImage, ImageError, ImageTooLarge, ImageTooSmall, UndecodableImage, UnsupportedImage
from model.imaging.decoding import ImageLimits, decode
from model.imaging.preprocessing import PreprocessingConfig
from tests.drawing import encode, portrait
from tests.model.support.pictures import SIGNATURE, chunk, png_header, several

CONFIG = PreprocessingConfig()
KINDS = ["JPEG", "PNG", "WEBP", "HEIF", "AVIF"]


def refused(data: bytes, limits: ImageLimits | None = None) -> type[ImageError]:
    with pytest.raises(ImageError) as caught:
        decode(data, CONFIG, limits)
    assert re.fullmatch(r"\S.*\S", str(caught.value))
    return type(caught.value)


def test_empty_file_is_refused() -> None:
    assert refused(b"") is EmptyImage


@pytest.mark.parametrize("kind", ["GIF", "BMP", "TIFF", "ICO", "PPM", "JPEG2000"])
def test_other_formats_are_refused(kind: str) -> None:
    assert refused(encode(portrait(1), kind)) is UnsupportedImage


GARBAGE = [
    b"x",
    b"\0" * 1000,
    b"<svg/>",
    b"%PDF-1.7",
    b"RIFF\x10\0\0\0WAVEfmt ",
    SIGNATURE[:-1],
    b"\xff\xd8",
    b" " + SIGNATURE,
]


@pytest.mark.parametrize("data", GARBAGE)
def test_garbage_is_refused(data: bytes) -> None:
    assert refused(data) is UnsupportedImage


@pytest.mark.parametrize("start", [SIGNATURE, b"\xff\xd8\xff", b"\xff\xd8\xff\xe0", b"RIFF\xff\0\0\0WEBP"])
@pytest.mark.parametrize("rest", [b"", b"\0" * 500, b"\xff" * 500, bytes(range(256))])
def test_garbage_after_a_signature_is_refused(start: bytes, rest: bytes) -> None:
    assert refused(start + rest) is UndecodableImage


@pytest.mark.parametrize("tenths", range(1, 10))
@pytest.mark.parametrize("kind", KINDS)
def test_truncated_file_is_refused(kind: str, tenths: int) -> None:
    data = encode(portrait(1), kind)
    assert refused(data[: len(data) * tenths // 10]) is UndecodableImage


def test_truncated_animation_is_refused() -> None:
    data = several("PNG", portrait(1), portrait(2))
    assert refused(data[: len(data) // 4]) is UndecodableImage


def test_png_with_a_wrong_checksum_is_refused() -> None:
    data = bytearray(encode(portrait(1)))
    data[-len(chunk(b"IEND", b"")) - 1] ^= 1  # the last byte of the checksum of the last pixels
    assert refused(bytes(data)) is UndecodableImage


@pytest.mark.parametrize("kind", KINDS)
def test_too_many_pixels_are_refused(kind: str) -> None:
    data = encode(portrait(1, size=(64, 64)), kind)
    assert decode(data, CONFIG, ImageLimits(max_pixels=4096)).width_px == 64
    assert refused(data, ImageLimits(max_pixels=4095)) is ImageTooLarge


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [(100, 40), (40, 100)])
def test_too_short_side_is_refused(kind: str, size: tuple[int, int]) -> None:
    data = encode(portrait(1, size=size), kind)
    assert decode(data, CONFIG, ImageLimits(min_side_px=40)).format == kind
    assert refused(data, ImageLimits(min_side_px=41)) is ImageTooSmall


# Just above the limit; where Pillow warns; where it raises; the largest that a header can have.
HUGE = [(8001, 8000), (10_000, 10_000), (20_000, 20_000), (2**31 - 1, 2**31 - 1)]


@pytest.mark.parametrize("action", ["error", "ignore"])
@pytest.mark.parametrize("size", HUGE)
def test_png_with_a_huge_size_is_refused(size: tuple[int, int], action: Literal["error", "ignore"]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter(action)
        assert refused(png_header(*size) + chunk(b"IDAT", b"never decoded")) is ImageTooLarge


def jpeg_of(width_px: int, height_px: int) -> bytes:
    """A JPEG with a false size in its header and with truncated pixels."""
    data = encode(portrait(1, size=(64, 64)), "JPEG")
    frame = data.index(b"\xff\xc0")
    size = height_px.to_bytes(2, "big") + width_px.to_bytes(2, "big")
    return data[: frame + 5] + size + data[frame + 9 : -200]


def webp_of(width_px: int, height_px: int) -> bytes:
    """A WebP whose canvas is larger than its frames."""
    data = several("WEBP", portrait(1), portrait(2))
    canvas = (width_px - 1).to_bytes(3, "little") + (height_px - 1).to_bytes(3, "little")
    return data[:24] + canvas + data[30:]


@pytest.mark.parametrize("size", [(9000, 9000), (16_000, 16_000), (65_535, 65_535)])
def test_jpeg_and_webp_with_a_huge_size_are_refused(size: tuple[int, int]) -> None:
    assert refused(jpeg_of(*size)) is ImageTooLarge
    assert refused(webp_of(*size)) is ImageTooLarge


def test_forged_files_are_damaged_only_in_their_size() -> None:
    assert refused(jpeg_of(64, 64)) is UndecodableImage
    assert decode(webp_of(160, 160), CONFIG).width_px == 160


def rescanned(width_px: int, scans: int) -> bytes:
    """A progressive JPEG that repeats its last scan `scans` times."""
    data = encode(portrait(1, size=(width_px, width_px)), "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    return data[:last] + (scans + 1) * data[last:-2] + data[-2:]


def test_jpeg_with_too_many_scans_is_refused() -> None:
    """They are counted before decoding, since a scan of a few bytes can cover fifty million pixels."""
    decode(rescanned(64, 20), CONFIG)
    with pytest.raises(UndecodableImage, match="more than 100 scans"):
        decode(rescanned(64, 200), CONFIG)


def test_markers_in_metadata_and_after_the_end_are_no_scans() -> None:
    data = encode(portrait(1), "JPEG")
    comment = b"\xff\xfe" + (2 + 60_000).to_bytes(2, "big") + b"\xff\xda" * 30_000
    decode(data[:2] + comment + data[2:] + b"\xff\xda" * 10_000, CONFIG)


@pytest.mark.parametrize(
    "stuffing",
    [
        b"\xff" * 30_000,
        b"\xff\x00" * 30_000,
        b"\xff\xd0" * 30_000,
        b"\xff\xe0\x00\x02" + b"\x00" * 30_000,
        b"\xff\xd9" + b"\xff\xfe\x00\x02" * 30_000,
        b"\xff\xf0\xff\xff" + b"\xff\xfe\x00\x02" * 30_000,
        b"\xff\xc8\xff\xff" + b"\xff\xfe\x00\x02" * 30_000,
    ],
    ids=["padding", "escaped", "restart", "nothing", "behind-an-end", "in-f0", "in-c8"],
)
def test_stray_bytes_before_the_header_are_limited(stuffing: bytes) -> None:
    jpeg = encode(portrait(1), "JPEG")
    with pytest.raises(UndecodableImage, match="stray bytes"):
        decode(jpeg[:2] + stuffing + jpeg[2:], CONFIG)
    with pytest.raises(UndecodableImage, match="stray bytes"):
        decode(jpeg[:2] + stuffing, CONFIG)
    decode(jpeg[:2] + b"\xff" * 1000 + jpeg[2:], CONFIG)


def test_jpeg_with_several_frame_headers_is_refused() -> None:
    """Pillow keeps a tuple for every three bytes of them: 20 MiB would take half a gigabyte."""
    jpeg = encode(portrait(1), "JPEG")
    frame = b"\xff\xc0" + (8 + 3 * 1000).to_bytes(2, "big") + b"\x08\x00\x10\x00\x10\x03" + b"\x01\x11\x00" * 1000
    with pytest.raises(UndecodableImage, match="more than one frame"):
        decode(jpeg[:2] + 2 * frame + jpeg[2:], CONFIG)


def test_files_with_too_many_small_parts_are_refused() -> None:
    jpeg, png = encode(portrait(1), "JPEG"), encode(portrait(1))
    assert refused(jpeg[:2] + b"\xff\xfe\x00\x02" * 30_000 + jpeg[2:]) is UndecodableImage
    assert refused(png[:8] + png[8:33] + chunk(b"teXt", b"") * 30_000 + png[33:]) is UndecodableImage
    decode(png[:33] + chunk(b"teXt", b"") * 1000 + png[33:], CONFIG)


@pytest.mark.parametrize("size", [(1, 1), (1, 5000), (31, 32)])
def test_tiny_image_is_refused_before_decoding(size: tuple[int, int]) -> None:
    assert refused(png_header(*size) + chunk(b"IDAT", b"never decoded")) is ImageTooSmall
