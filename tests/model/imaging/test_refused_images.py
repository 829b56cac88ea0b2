"""What cannot be used is refused with the error that says why, and before its pixels are decoded where that can be."""

import re
import warnings
import zlib
from typing import Literal

import pytest

from model.errors import EmptyImage, ImageError, ImageTooLarge, ImageTooSmall, UndecodableImage, UnsupportedImage
from model.imaging.decoding import ImageLimits, decode
from model.imaging.preprocessing import PreprocessingConfig
from tests.drawing import encode, portrait
from tests.model.support.pictures import SIGNATURE, chunk, png_header, several

CONFIG = PreprocessingConfig()
KINDS = ["JPEG", "PNG", "WEBP"]


def refused(data: bytes, limits: ImageLimits | None = None) -> type[ImageError]:
    with pytest.raises(ImageError) as caught:
        decode(data, CONFIG, limits)
    assert re.fullmatch(r"\S.*\S", str(caught.value))
    return type(caught.value)


def test_no_bytes() -> None:
    assert refused(b"") is EmptyImage


@pytest.mark.parametrize("kind", ["GIF", "BMP", "TIFF", "ICO", "PPM", "JPEG2000"])
def test_other_formats(kind: str) -> None:
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
def test_garbage(data: bytes) -> None:
    assert refused(data) is UnsupportedImage


@pytest.mark.parametrize("start", [SIGNATURE, b"\xff\xd8\xff", b"\xff\xd8\xff\xe0", b"RIFF\xff\0\0\0WEBP"])
@pytest.mark.parametrize("rest", [b"", b"\0" * 500, b"\xff" * 500, bytes(range(256))])
def test_a_good_start_and_then_garbage(start: bytes, rest: bytes) -> None:
    assert refused(start + rest) is UndecodableImage


@pytest.mark.parametrize("tenths", range(1, 10))
@pytest.mark.parametrize("kind", KINDS)
def test_truncated(kind: str, tenths: int) -> None:
    data = encode(portrait(1), kind)
    assert refused(data[: len(data) * tenths // 10]) is UndecodableImage


def test_truncated_animation() -> None:
    data = several("PNG", portrait(1), portrait(2))
    assert refused(data[: len(data) // 4]) is UndecodableImage


def test_a_png_whose_checksum_is_wrong() -> None:
    data = bytearray(encode(portrait(1)))
    data[-len(chunk(b"IEND", b"")) - 1] ^= 1  # the last byte of the checksum of the last pixels
    assert refused(bytes(data)) is UndecodableImage


@pytest.mark.parametrize("kind", KINDS)
def test_more_pixels_than_the_limit(kind: str) -> None:
    data = encode(portrait(1, size=(64, 50)), kind)
    assert decode(data, CONFIG, ImageLimits(max_pixels=3200)).width_px == 64
    assert refused(data, ImageLimits(max_pixels=3199)) is ImageTooLarge


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [(100, 40), (40, 100)])
def test_a_side_shorter_than_the_limit(kind: str, size: tuple[int, int]) -> None:
    data = encode(portrait(1, size=size), kind)
    assert decode(data, CONFIG, ImageLimits(min_side_px=40)).format == kind
    assert refused(data, ImageLimits(min_side_px=41)) is ImageTooSmall


# Just above our limit; where Pillow warns; where it raises; the largest that a header can say.
HUGE = [(7072, 7072), (10_000, 10_000), (20_000, 20_000), (2**31 - 1, 2**31 - 1)]


@pytest.mark.parametrize("action", ["error", "ignore"])
@pytest.mark.parametrize("size", HUGE)
def test_a_png_that_announces_a_huge_picture(size: tuple[int, int], action: Literal["error", "ignore"]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter(action)
        assert refused(png_header(*size) + chunk(b"IDAT", b"which nobody decodes")) is ImageTooLarge


def jpeg_of(width_px: int, height_px: int) -> bytes:
    """A JPEG whose header lies; its pixels are cut off."""
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
def test_a_jpeg_or_webp_that_announces_a_huge_picture(size: tuple[int, int]) -> None:
    assert refused(jpeg_of(*size)) is ImageTooLarge
    assert refused(webp_of(*size)) is ImageTooLarge


def test_the_forgeries_are_damaged_only_in_their_size() -> None:
    assert refused(jpeg_of(64, 64)) is UndecodableImage
    assert decode(webp_of(160, 160), CONFIG).width_px == 160


def rescanned(width_px: int, scans: int) -> bytes:
    """A progressive JPEG whose last scan comes again so often."""
    data = encode(portrait(1, size=(width_px, width_px)), "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    return data[:last] + (scans + 1) * data[last:-2] + data[-2:]


def test_a_jpeg_of_endless_scans() -> None:
    """Before any is decoded: one of a few bytes may go over fifty million pixels."""
    decode(rescanned(64, 20), CONFIG)
    with pytest.raises(UndecodableImage, match="more than 100 scans"):
        decode(rescanned(64, 200), CONFIG)


def test_what_follows_a_jpeg_or_stands_in_its_metadata_is_no_scan() -> None:
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
def test_what_pillow_reads_byte_by_byte_before_the_header(stuffing: bytes) -> None:
    jpeg = encode(portrait(1), "JPEG")
    with pytest.raises(UndecodableImage, match="stray bytes"):
        decode(jpeg[:2] + stuffing + jpeg[2:], CONFIG)
    with pytest.raises(UndecodableImage, match="stray bytes"):
        decode(jpeg[:2] + stuffing, CONFIG)
    decode(jpeg[:2] + b"\xff" * 1000 + jpeg[2:], CONFIG)


def test_a_jpeg_of_many_frame_headers() -> None:
    """Pillow keeps a tuple for each three bytes of them: 20 MiB would take half a gigabyte."""
    jpeg = encode(portrait(1), "JPEG")
    frame = b"\xff\xc0" + (8 + 3 * 1000).to_bytes(2, "big") + b"\x08\x00\x10\x00\x10\x03" + b"\x01\x11\x00" * 1000
    with pytest.raises(UndecodableImage, match="more than one frame"):
        decode(jpeg[:2] + 2 * frame + jpeg[2:], CONFIG)


def test_files_of_endless_small_parts() -> None:
    jpeg, png = encode(portrait(1), "JPEG"), encode(portrait(1))
    assert refused(jpeg[:2] + b"\xff\xfe\x00\x02" * 30_000 + jpeg[2:]) is UndecodableImage
    assert refused(png[:8] + png[8:33] + chunk(b"teXt", b"") * 30_000 + png[33:]) is UndecodableImage
    decode(png[:33] + chunk(b"teXt", b"") * 1000 + png[33:], CONFIG)


@pytest.mark.parametrize("kind", [b"iCCP", b"eXIf"])
def test_a_png_of_several_colour_profiles_or_exif_data(kind: bytes) -> None:
    png = encode(portrait(1))
    one = chunk(kind, b"profile\0\0" + zlib.compress(bytes(1000)) if kind == b"iCCP" else b"II*\0\x08\0\0\0\0\0")
    decode(png[:33] + one + png[33:], CONFIG)
    with pytest.raises(UndecodableImage, match=f"more than one {kind.decode()}"):
        decode(png[:33] + 2 * one + png[33:], CONFIG)


def test_a_png_whose_comment_unpacks_to_a_hundred_megabytes() -> None:
    comment = chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(100_000_000)))
    data = encode(portrait(1))
    first = len(png_header(160, 160))
    assert refused(data[:first] + comment + data[first:]) is UndecodableImage


@pytest.mark.parametrize("size", [(1, 1), (1, 5000), (31, 32)])
def test_a_tiny_picture_is_refused_before_its_pixels_are_decoded(size: tuple[int, int]) -> None:
    assert refused(png_header(*size) + chunk(b"IDAT", b"which nobody decodes")) is ImageTooSmall
