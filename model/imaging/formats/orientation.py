"""How an upright picture is stored in a file, as its metadata say: 1 to 8 (Exif 2.32, 4.6.4).

Broken metadata say nothing: many intact photos have some.
"""

import re
import zlib
from collections.abc import Iterable
from typing import Literal

from model.imaging.formats.jpeg import APPLICATION_1, segments

ORIENTATION_TAG = 0x0112
ORIENTATIONS = range(1, 9)
# The first bytes of a TIFF file, and the sizes of its kinds of whole numbers: bytes, short ones and long ones.
BYTE_ORDERS: dict[bytes, Literal["little", "big"]] = {b"II*\0": "little", b"MM\0*": "big"}
INTEGER_BYTES = {1: 1, 3: 2, 4: 4}
EXIF_PREFIX = re.compile(rb"\A(?:Exif\0\0){1,2}")
EXIF_SEGMENT, XMP_SEGMENT = b"Exif\0", b"http://ns.adobe.com/xap/1.0/\0"
XMP_TEXT, RAW_EXIF_TEXT = b"XML:com.adobe.xmp", b"Raw profile type exif"
XMP_ORIENTATION = re.compile(rb'tiff:Orientation(?:\s*=\s*["\']|>)([0-9])')
# Metadata of a photo, unpacked.
MAX_TEXT_BYTES = 2**20


def first_stated(exif: Iterable[bytes], xmp: Iterable[bytes]) -> int:
    """The first orientation that a block of EXIF states, else one of XMP; 1 if none does."""
    stated = (*map(_of_exif, exif), *map(_of_xmp, xmp))
    return next((each for each in stated if each is not None and each in ORIENTATIONS), 1)


def of_jpeg(data: bytes) -> int:
    """Of a JPEG file, which may have several segments of each kind."""
    found = [body for marker, body in segments(data) if marker == APPLICATION_1]
    return first_stated(
        [body for body in found if body.startswith(EXIF_SEGMENT)],
        [body for body in found if body.startswith(XMP_SEGMENT)],
    )


def of_png(descriptions: Iterable[tuple[bytes, bytes]]) -> int:
    """Of a PNG file's chunks, each its kind and its data. ImageMagick writes EXIF as text."""
    exif, xmp = [], []
    for kind, data in descriptions:
        keyword, _, rest = data.partition(b"\0")
        if kind == b"eXIf":
            exif.append(data)
        elif keyword == XMP_TEXT:
            xmp.append(_international_text(rest) if kind == b"iTXt" else rest)
        elif keyword == RAW_EXIF_TEXT:
            exif.append(_hexadecimal(_unpack(rest[1:]) if kind == b"zTXt" else rest))
    return first_stated(exif, xmp)


def _of_exif(block: bytes) -> int | None:
    """EXIF is a TIFF file; its first directory has entries of a tag, a type, a number of values, and the values."""
    data = EXIF_PREFIX.sub(b"", block)
    order = BYTE_ORDERS.get(data[:4])
    if order is None:
        return None
    at = int.from_bytes(data[4:8], order)
    for entry in range(int.from_bytes(data[at : at + 2], order)):
        tag, kind, values = (data[at + 2 + 12 * entry + start :][:size] for start, size in ((0, 2), (2, 2), (8, 4)))
        if int.from_bytes(tag, order) == ORIENTATION_TAG:
            return int.from_bytes(values[: INTEGER_BYTES.get(int.from_bytes(kind, order), 0)], order)
        if not values:
            return None
    return None


def _of_xmp(block: bytes) -> int | None:
    found = XMP_ORIENTATION.search(block)
    return int(found[1]) if found else None


def _international_text(data: bytes) -> bytes:
    """The text of an iTXt chunk after its keyword: a flag for compression, the method, a language, its keyword."""
    text = data[2:].split(b"\0", 2)[-1]
    return _unpack(text) if data[:1] == b"\1" else text


def _unpack(data: bytes) -> bytes:
    try:
        return zlib.decompressobj().decompress(data, MAX_TEXT_BYTES)
    except zlib.error:
        return b""


def _hexadecimal(text: bytes) -> bytes:
    """ImageMagick's form: a line with the kind, a line with the length, lines of hexadecimal digits."""
    try:
        return bytes.fromhex(b"".join(text.split()[2:]).decode("ascii"))
    except ValueError:
        return b""
