"""Damaged and misleading image files, drawn and damaged here. They harm no decoder that checks what it reads."""

import random
import struct
import zlib
from collections.abc import Iterator
from io import BytesIO

from PIL import Image

from tests.drawing import encode
from tests.faces import head_at, scene

SEED = 20261129
FLAT_SIDE_PX = 7000
LARGE_SIZE = (6000, 4000)


def damaged_files(count: int) -> Iterator[bytes]:
    """So many different files, each a drawn picture with a damage; the same ones every time."""
    draws = random.Random(SEED)
    whole = _whole_files()
    for _ in range(count):
        file = bytearray(draws.choice(whole))
        for _ in range(draws.choice((1, 1, 2, 8))):
            draws.choice(DAMAGES)(file, draws)
        yield bytes(file)


def _whole_files() -> list[bytes]:
    picture = scene(head_at(0), size=(320, 240))
    colours = picture.convert("RGB")
    return [
        encode(colours, "JPEG", quality=90),
        encode(colours, "JPEG", quality=60, progressive=True),
        encode(picture.convert("L"), "JPEG", quality=80),
        encode(colours, "PNG"),
        encode(picture.convert("L"), "PNG"),
        encode(colours.convert("P"), "PNG"),
        encode(picture.convert("RGBA"), "PNG"),
        encode(colours, "WEBP", quality=80),
        encode(colours, "WEBP", lossless=True, quality=20),
    ]


def _flip(file: bytearray, draws: random.Random) -> None:
    file[draws.randrange(len(file))] ^= 1 << draws.randrange(8)


def _overwrite(file: bytearray, draws: random.Random) -> None:
    start, length = draws.randrange(len(file)), draws.choice((1, 2, 4, 64, 1024))
    file[start : start + length] = draws.randbytes(len(file[start : start + length]))


def _truncate(file: bytearray, draws: random.Random) -> None:
    del file[draws.randrange(1, len(file) + 1) :]


def _remove(file: bytearray, draws: random.Random) -> None:
    start = draws.randrange(len(file))
    if len(file) > 1100:
        del file[start : start + draws.choice((1, 16, 1024))]


def _repeat(file: bytearray, draws: random.Random) -> None:
    start = draws.randrange(len(file))
    part = file[start : start + draws.choice((1, 16, 1024))]
    file[start:start] = part * draws.choice((1, 3, 50))


def _damage_head(file: bytearray, draws: random.Random) -> None:
    """Most of what a decoder believes stands in the first bytes."""
    file[draws.randrange(min(64, len(file)))] = draws.choice((0, 1, 0x7F, 0x80, 0xFF))


DAMAGES = (_flip, _overwrite, _truncate, _remove, _repeat, _damage_head, _damage_head)


def flat_png() -> bytes:
    """49 megapixels of one colour in some 60 KB, as far as PNG packs them."""
    return encode(Image.new("L", (FLAT_SIDE_PX, FLAT_SIDE_PX)), "PNG")


def promising_png() -> bytes:
    """A header that promises 49 megapixels, and no pixels."""
    head = struct.pack(">IIBBBBB", FLAT_SIDE_PX, FLAT_SIDE_PX, 8, 0, 0, 0, 0)
    chunks = b"".join(_chunk(kind, data) for kind, data in ((b"IHDR", head), (b"IDAT", b""), (b"IEND", b"")))
    return b"\x89PNG\r\n\x1a\n" + chunks


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def large_progressive() -> bytes:
    """A drawn photograph of 24 megapixels as progressive JPEG, which is decoded as a whole."""
    small = scene(head_at(0), size=(600, 400)).convert("RGB")
    file = BytesIO()
    small.resize(LARGE_SIZE, Image.Resampling.BILINEAR).save(file, "JPEG", quality=85, progressive=True)
    return file.getvalue()
