"""How many parts a picture file has: a small one may have so many that decoding it takes minutes.

JPEG: ITU-T T.81, annex B; PNG: W3C, Portable Network Graphics, third edition, 5.
"""

import re

from model.errors import UndecodableImage

# A progressive JPEG has about ten; each may be of a few bytes and goes over all pixels again.
MAX_SCANS = 100
# Segments, chunks, or bytes that belong to none; a photo has some dozen, and Pillow looks at each in Python.
MAX_PARTS = 20_000

MARKER = re.compile(rb"\xff[^\x00\xff]")
# What ends a scan's data, to which 0 and the restart markers belong; more bytes of 255 may stand before it.
MARKER_AFTER_SCAN = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
# Markers after which Pillow expects no length.
BARE = {0x01, 0xC8, *range(0xD0, 0xDA), *range(0xF0, 0xFE)}
FRAME_HEADERS = {*range(0xC0, 0xD0), 0xDE} - {0xC4, 0xC8, 0xCC}
START_OF_SCAN, END_OF_IMAGE = 0xDA, 0xD9
PNG_SIGNATURE_BYTES, PNG_CHUNK_BYTES = 8, 12
# The standard allows one of each, and Pillow unpacks every colour profile to as much as a megabyte.
AT_MOST_ONE = {b"iCCP", b"eXIf"}


def require_few_scans(data: bytes) -> None:
    """Raises UndecodableImage for a JPEG of more scans, frames, segments or stray bytes than a photo has.

    Until the first scan it goes from marker to marker as Pillow does, which passes over stray bytes one at a time and
    keeps all components of all frame headers.
    """
    at, parts, frames, scans = 2, 0, 0, 0
    while parts <= MAX_PARTS:
        found = (MARKER_AFTER_SCAN if scans else MARKER).search(data, at)
        if not scans:
            parts += (found.start() if found else len(data)) - at
        if found is None or (scans and found[0][1] == END_OF_IMAGE):
            break
        parts += 1
        at = found.end()
        if found[0][1] not in BARE:
            at += max(2, int.from_bytes(data[at : at + 2], "big"))
        frames += found[0][1] in FRAME_HEADERS
        scans += found[0][1] == START_OF_SCAN
        if frames > 1:
            raise UndecodableImage("the JPEG has more than one frame header; save it anew")
        if scans > MAX_SCANS:
            raise UndecodableImage(f"the JPEG has more than {MAX_SCANS} scans; save it anew")
    if parts > MAX_PARTS:
        raise UndecodableImage(f"the JPEG has more than {MAX_PARTS:,} segments or stray bytes; save it anew")


def require_few_chunks(data: bytes) -> None:
    """Raises UndecodableImage for a PNG of more chunks, colour profiles or EXIF data than a photo has."""
    at, met = PNG_SIGNATURE_BYTES, set()
    for _ in range(MAX_PARTS):
        if at >= len(data):
            return
        kind = data[at + 4 : at + 8]
        if kind in met:
            raise UndecodableImage(f"the PNG has more than one {kind.decode()} chunk; save it anew")
        met |= {kind} & AT_MOST_ONE
        at += PNG_CHUNK_BYTES + int.from_bytes(data[at : at + 4], "big")
    raise UndecodableImage(f"the PNG has more than {MAX_PARTS:,} chunks; save it anew")
