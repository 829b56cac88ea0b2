"""What a file's header promises, without a decoder: its pixels, and how much work they are. A usual photo takes a few
microseconds.

`decode` judges each image by itself and trusts none of this. JPEG: ITU-T T.81, annex B; PNG: W3C, Portable Network
Graphics, third edition, 11.2.1; WebP: RFC 9649, 2.5 to 2.7; HEIF and AVIF: `formats.boxes`.
"""

from collections.abc import Iterator
from typing import NamedTuple

from model.errors import ImageError
from model.imaging.formats.boxes import count_coded_pixels
from model.imaging.formats.jpeg import (
    END_MARK,
    FRAME_HEADERS,
    MARKER,
    MARKERS_WITHOUT_LENGTH,
    MAX_SCANS,
    PROGRESSIVE,
    START_OF_SCAN,
)
from model.imaging.formats.recognition import sniff

# Segments and stray bytes before the frame header; a photo has some dozens.
MAX_PARTS = 2000
SCAN = bytes([0xFF, START_OF_SCAN])
# Decoding a PNG or WebP and searching it in vain for faces takes 17 to 34 ns of a core a pixel. A JPEG is decoded at
# a reduced size: 3 ns a pixel, and 0.4 to 1 ns a scan (measured with 49 megapixels).
WORK_OF_JPEG, WORK_OF_SCAN, WORK_OF_OTHERS = 3, 1, 32
# HEIC and AVIF take 9 to 12 ns a pixel without detail, and 80 to 87 ns more for each byte of detail (3 megapixels).
WORK_OF_PREDICTED, WORK_OF_PREDICTED_BYTE = 13, 85
# From this much work an image counts as large. It is about a tenth of a second of a core.
LARGE_WORK_PX = 4_000_000
# DEFLATE packs at most 1,032 pixels of a byte into a byte, and flat JPEG and lossy WebP had at most 377. A flat
# lossless WebP of 38 bytes has a million in each.
MAX_PIXELS_PER_BYTE = 2000
# An image of fewer pixels is too little work to refuse, however few bytes it has.
MIN_SUSPECT_PIXELS = 1_000_000


class Promise(NamedTuple):
    """Width times height, and the work of decoding and searching, in pixels of a PNG that take as long.

    Both are 0 if the bytes are not those of a supported image: decoding will say what is wrong.
    """

    pixels: int
    work: int


def read_header(data: bytes) -> Promise:
    """What the header of an image promises."""
    try:
        kind = sniff(data)
        if kind in ("HEIF", "AVIF"):
            pixels = count_coded_pixels(data)
            work = (pixels * WORK_OF_PREDICTED + len(data) * WORK_OF_PREDICTED_BYTE) // WORK_OF_OTHERS
            return Promise(pixels, work if pixels else 0)
    except ImageError:
        return Promise(0, 0)
    if kind == "JPEG":
        return _read_jpeg(data)
    pixels = _webp_pixels(data) if kind == "WEBP" else _big(data, 16, 4) * _big(data, 20, 4)
    return Promise(pixels, pixels)


def has_too_few_bytes(data: bytes, pixels: int) -> bool:
    """Whether a photograph with these pixels would have more bytes."""
    return pixels > max(MIN_SUSPECT_PIXELS, MAX_PIXELS_PER_BYTE * len(data))


def _read_jpeg(data: bytes) -> Promise:
    """The scans are at least as many as there are and at most the number that is decoded.

    A first scan of all components is the only one that is decoded, unless the JPEG is progressive.
    """
    pixels, components, scans = 0, 0, None
    for marker, at in _jpeg_segments(data):
        if marker in FRAME_HEADERS and not pixels:
            pixels = _big(data, at + 3, 2) * _big(data, at + 5, 2)
        if marker in PROGRESSIVE:
            break
        if marker in FRAME_HEADERS:
            components = _big(data, at + 7, 1)
        elif marker == START_OF_SCAN and _big(data, at + 2, 1) == components:
            scans = 1
    if scans is None:
        scans = min(data.count(SCAN), MAX_SCANS)
    times = 1 if data.rfind(SCAN) < data.rfind(END_MARK) else 2  # whether its pixels are all there is tried out
    return Promise(pixels, times * pixels * (WORK_OF_JPEG + WORK_OF_SCAN * scans) // WORK_OF_OTHERS)


def _jpeg_segments(data: bytes) -> Iterator[tuple[int, int]]:
    """The markers up to the first scan's, and where what follows each of them begins."""
    at, parts = 2, 0
    while parts < MAX_PARTS:
        found = MARKER.search(data, at, at + MAX_PARTS - parts)
        if found is None:
            return
        parts += found.end() - at
        at = found.end()
        yield found[0][1], at
        if found[0][1] == START_OF_SCAN:
            return
        if found[0][1] not in MARKERS_WITHOUT_LENGTH:
            at += max(2, _big(data, at, 2))


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
