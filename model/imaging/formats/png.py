"""The chunks of a PNG file (W3C, Portable Network Graphics, third edition, 5).

Its pixels need only the critical chunks and the transparency. Whatever else stands in it may be large or damaged.
"""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from model.errors import UndecodableImage
from model.imaging.formats.recognition import PNG_SIGNATURE

# A photo has a few dozen.
MAX_CHUNKS = 20_000
# What decoding needs, each once but for the data; whatever else is kept is read for the orientation alone.
HEADER, PALETTE, TRANSPARENCY, DATA, END = b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"
DESCRIPTIONS = {b"eXIf", b"iTXt", b"zTXt", b"tEXt"}
# Chunks that describe, at most so many and each at most so long; others are left out.
MAX_DESCRIPTIONS, MAX_DESCRIPTION_BYTES = 16, 2**20


@dataclass(frozen=True, kw_only=True)
class PngParts:
    """A PNG of its sound critical chunks, chunks that may state an orientation, and whether the end chunk was there."""

    pixels: bytes
    descriptions: list[tuple[bytes, bytes]]
    ended: bool


def split(data: bytes) -> PngParts:
    """Raises UndecodableImage if a critical chunk is cut off or damaged, or if there are too many chunks."""
    kept: list[bytes | memoryview] = [PNG_SIGNATURE]
    descriptions: list[tuple[bytes, bytes]] = []
    met: set[bytes] = set()
    ended = False
    for kind, chunk, sound in _chunks(data):
        ended = kind == END
        if not met and kind != HEADER:
            raise UndecodableImage("the PNG header is damaged")
        if not sound:
            if kind[:1].isupper():
                raise UndecodableImage("the PNG data is truncated or damaged")
        elif kind in (HEADER, PALETTE, TRANSPARENCY, DATA):
            if kind == DATA or kind not in met:
                kept.append(chunk)
            met.add(kind)
        elif kind in DESCRIPTIONS and len(chunk) <= MAX_DESCRIPTION_BYTES and len(descriptions) < MAX_DESCRIPTIONS:
            descriptions.append((kind, bytes(chunk[8:-4])))
    return PngParts(pixels=b"".join([*kept, _END]), descriptions=descriptions, ended=ended)


def _chunks(data: bytes) -> Iterator[tuple[bytes, memoryview, bool]]:
    """The kind of each chunk up to the end chunk, its bytes, and whether it is whole and has the right checksum."""
    view, at = memoryview(data), len(PNG_SIGNATURE)
    for _ in range(MAX_CHUNKS):
        if at + 8 > len(data):
            return
        end = at + 12 + int.from_bytes(data[at : at + 4], "big")
        kind = data[at + 4 : at + 8]
        sound = end <= len(data) and zlib.crc32(view[at + 4 : end - 4]) == int.from_bytes(data[end - 4 : end], "big")
        yield kind, view[at:end], sound
        if kind == END:
            return
        at = end
    raise UndecodableImage(f"the PNG has more than {MAX_CHUNKS:,} chunks; save it again with an image editor")


_END = bytes(4) + END + zlib.crc32(END).to_bytes(4, "big")
