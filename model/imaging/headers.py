"""The number of pixels that a file's header promises, without a decoder: a few microseconds for a usual photo.

`decode` judges each image by itself and trusts none of this. JPEG: ITU-T T.81, annex B; PNG: W3C, Portable Network
Graphics, third edition, 11.2.1; WebP: RFC 9649, 2.5 to 2.7.
"""

from typing import assert_never

from model.errors import ImageError
from model.imaging.decoding import FRAME_HEADERS, MARKER, MARKERS_WITHOUT_LENGTH, START_OF_SCAN, sniff

# Segments and stray bytes before the frame header; a photo has some dozens.
MAX_PARTS = 2000


def count_pixels(data: bytes) -> int:
    """Width times height, or 0 if the bytes are not those of a supported image: decoding will say what is wrong."""
    try:
        kind = sniff(data)
    except ImageError:
        return 0
    if kind == "PNG":
        return _big(data, 16, 4) * _big(data, 20, 4)
    if kind == "WEBP":
        return _webp_pixels(data)
    if kind == "JPEG":
        return _jpeg_pixels(data)
    assert_never(kind)


def _jpeg_pixels(data: bytes) -> int:
    at, parts = 2, 0
    while parts < MAX_PARTS:
        found = MARKER.search(data, at, at + MAX_PARTS - parts)
        if found is None or found[0][1] == START_OF_SCAN:
            break
        parts += found.end() - at
        at = found.end()
        if found[0][1] in FRAME_HEADERS:
            return _big(data, at + 3, 2) * _big(data, at + 5, 2)
        if found[0][1] not in MARKERS_WITHOUT_LENGTH:
            at += max(2, _big(data, at, 2))
    return 0


def _webp_pixels(data: bytes) -> int:
    kind = data[12:16]
    if kind == b"VP8X":
        return (1 + _little(data, 24, 3)) * (1 + _little(data, 27, 3))
    if kind == b"VP8L":
        sides = _little(data, 21, 4)
        return (1 + (sides & 0x3FFF)) * (1 + (sides >> 14 & 0x3FFF))
    return (_little(data, 26, 2) & 0x3FFF) * (_little(data, 28, 2) & 0x3FFF)


def _big(data: bytes, at: int, size: int) -> int:
    return int.from_bytes(data[at : at + size], "big")


def _little(data: bytes, at: int, size: int) -> int:
    return int.from_bytes(data[at : at + size], "little")
