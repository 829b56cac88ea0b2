"""How many parts a picture file has: a small one may have so many that decoding it takes minutes.

JPEG: ITU-T T.81, annex B; PNG: W3C, Portable Network Graphics, third edition, 5.
"""

import re

from model.errors import UndecodableImage

MOST_SCANS = 100
"""A progressive JPEG has about ten; each may be of a few bytes and goes over all pixels again."""
MOST_PARTS = 20_000
"""Segments or chunks; a photograph has some dozen, and Pillow looks at each in Python."""

MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
"""What ends a scan's data, to which 0 and the restart markers belong; more bytes of 255 may stand before it."""
BARE = {0x01, *range(0xD0, 0xD9)}
"""Markers that no length follows."""
START_OF_SCAN, END_OF_IMAGE = 0xDA, 0xD9
PNG_SIGNATURE_BYTES, PNG_CHUNK_BYTES = 8, 12


def require_few_scans(data: bytes) -> None:
    """Raises UndecodableImage for a JPEG of more scans or segments than a photograph has."""
    at, scans = 2, 0
    for _ in range(MOST_PARTS):
        found = MARKER.search(data, at)
        if found is None or found[0][1] == END_OF_IMAGE:
            return
        at = found.end()
        if found[0][1] not in BARE:
            at += int.from_bytes(data[at : at + 2], "big")
        scans += found[0][1] == START_OF_SCAN
        if scans > MOST_SCANS:
            raise UndecodableImage(f"the JPEG has more than {MOST_SCANS} scans; save it anew")
    raise UndecodableImage(f"the JPEG has more than {MOST_PARTS:,} segments; save it anew")


def require_few_chunks(data: bytes) -> None:
    """Raises UndecodableImage for a PNG of more chunks than a photograph has."""
    at = PNG_SIGNATURE_BYTES
    for _ in range(MOST_PARTS):
        if at >= len(data):
            return
        at += PNG_CHUNK_BYTES + int.from_bytes(data[at : at + 4], "big")
    raise UndecodableImage(f"the PNG has more than {MOST_PARTS:,} chunks; save it anew")
