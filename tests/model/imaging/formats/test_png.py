"""PNG files of which only what the pixels need is decoded."""

import struct
import zlib

import numpy as np
import pytest

from model.errors import UndecodableImage
from model.imaging.decoding import MSG_NO_END, decode
from model.imaging.preprocessing import PreprocessingConfig
from tests.drawing import encode, portrait
from tests.model.support.pictures import chunk, difference, grey_values

CONFIG = PreprocessingConfig()
PICTURE = portrait(1)
PNG = encode(PICTURE)
HEADER_BYTES, END_BYTES = 33, 12


def damaged(kind: bytes, data: bytes) -> bytes:
    """A chunk with a wrong checksum."""
    return chunk(kind, data)[:-4] + b"\0\0\0\1"


def after_header(*chunks: bytes) -> bytes:
    return PNG[:HEADER_BYTES] + b"".join(chunks) + PNG[HEADER_BYTES:]


ANCILLARY = {
    "pHYs with a wrong checksum": [damaged(b"pHYs", bytes(9))],
    "tEXt with a wrong checksum": [damaged(b"tEXt", b"Comment\0hi")],
    "tRNS with a wrong checksum": [damaged(b"tRNS", bytes(6))],
    "eXIf with a wrong checksum": [damaged(b"eXIf", b"II*\0\x08\0\0\0\0\0")],
    "a small zTXt of 2 MB": [chunk(b"zTXt", b"Comment\0\0" + zlib.compress(b"x" * 2_000_000))],
    "a small zTXt of 100 MB": [chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(bytes(100_000_000)))],
    "a large private chunk": [chunk(b"prVt", bytes(3_000_000))],
    "a cut profile": [chunk(b"iCCP", b"profile\0\0" + zlib.compress(bytes(1000))[:9])],
    "two profiles": [chunk(b"iCCP", b"profile\0\0" + zlib.compress(bytes(1000)))] * 2,
    "two eXIf": [chunk(b"eXIf", b"II*\0\x08\0\0\0\0\0\0\0\0\0")] * 2,
    "a malformed gAMA": [chunk(b"gAMA", b"")],
    "a malformed iTXt": [chunk(b"iTXt", b"XML:com.adobe.xmp\0\1")],
}


@pytest.mark.parametrize("name", ANCILLARY)
def test_what_stands_beside_the_pixels_does_not_count(name: str) -> None:
    photo = decode(after_header(*ANCILLARY[name]), CONFIG)
    assert np.array_equal(np.asarray(photo.grey), grey_values(PICTURE))
    assert photo.warnings == ()


@pytest.mark.parametrize("rest", [b"", b"\0\0\0\0IE", chunk(b"tEXt", b"Comment\0hello")[:-6]])
def test_lack_of_the_end_chunk_alone_is_a_warning(rest: bytes) -> None:
    photo = decode(PNG[:-END_BYTES] + rest, CONFIG)
    assert np.array_equal(np.asarray(photo.grey), grey_values(PICTURE))
    assert photo.warnings == (MSG_NO_END,)


def split_data() -> list[bytes]:
    """The file's data as a chunk for every 200 bytes."""
    data = zlib.compress(b"".join(b"\0" + row.tobytes() for row in np.asarray(PICTURE)), 1)
    return [chunk(b"IDAT", data[at : at + 200]) for at in range(0, len(data), 200)]


def test_data_in_several_chunks_needs_all_of_them() -> None:
    parts = split_data()
    assert len(parts) > 3
    photo = decode(PNG[:HEADER_BYTES] + b"".join([*parts, chunk(b"IEND", b"")]), CONFIG)
    assert np.array_equal(np.asarray(photo.grey), grey_values(PICTURE))
    for left in ([*parts[:2], chunk(b"IEND", b"")], parts[:2], [*parts[:2], damaged(b"IDAT", b"x"), *parts[3:]], []):
        with pytest.raises(UndecodableImage):
            decode(PNG[:HEADER_BYTES] + b"".join(left), CONFIG)


def test_critical_damage_is_refused() -> None:
    palette = encode(PICTURE.quantize(8))
    at = palette.index(b"PLTE")
    for data in (
        PNG[:20] + b"\1" + PNG[21:],
        palette[: at + 4] + bytes([palette[at + 4] ^ 1]) + palette[at + 5 :],
        after_header(damaged(b"NEWx", b"critical and unknown")),
        chunk(b"tEXt", b"Comment\0first").join([PNG[:8], PNG[8:]]),
    ):
        with pytest.raises(UndecodableImage):
            decode(data, CONFIG)


def stored_on_its_side(*chunks: bytes) -> bytes:
    turned = encode(PICTURE.rotate(90, expand=True))
    return turned[:HEADER_BYTES] + b"".join(chunks) + turned[HEADER_BYTES:]


EXIF_6 = b"II" + struct.pack("<HIHHHIHHI", 42, 8, 1, 0x112, 3, 1, 6, 0, 0)
XMP_6 = b'<x:xmpmeta><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
RAW_6 = b"\nexif\n%8d\n%s\n" % (len(EXIF_6) + 6, (b"Exif\0\0" + EXIF_6).hex().encode())
STATED = {
    "eXIf": [chunk(b"eXIf", EXIF_6)],
    "eXIf behind an empty one": [chunk(b"eXIf", b"II*\0\x08\0\0\0\0\0"), chunk(b"eXIf", EXIF_6)],
    "ImageMagick's text": [chunk(b"tEXt", b"Raw profile type exif\0" + RAW_6)],
    "ImageMagick's packed text": [chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(RAW_6))],
    "XMP": [chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + XMP_6)],
    "packed XMP": [chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(XMP_6))],
}


@pytest.mark.parametrize("name", STATED)
def test_orientation_is_read_wherever_it_stands(name: str) -> None:
    photo = decode(stored_on_its_side(*STATED[name]), CONFIG)
    assert difference(np.asarray(photo.grey), grey_values(PICTURE)) == 0
