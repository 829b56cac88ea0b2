"""The parts of a JPEG file, which are limited since a small file can have enough of them to take minutes, and whether
they were cut off or changed (ITU-T T.81, annex B).
"""

import re
from collections.abc import Iterator

from model.errors import UndecodableImage

# A progressive JPEG has about ten scans. Each can have as little as a few bytes, and decodes all pixels again.
MAX_SCANS = 100
# Segments and stray bytes: a photo has a few dozen, and Pillow handles each of them in Python.
MAX_PARTS = 20_000

MARKER = re.compile(rb"\xff[^\x00\xff]")
# A scan's data contains stuffed zeros and restart markers; any other marker ends it.
MARKER_AFTER_SCAN = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
# Markers after which Pillow reads no length.
MARKERS_WITHOUT_LENGTH = {0x01, 0xC8, *range(0xD0, 0xDA), *range(0xF0, 0xFE)}
FRAME_HEADERS = {*range(0xC0, 0xD0), 0xDE} - {0xC4, 0xC8, 0xCC}
PROGRESSIVE = {0xC2, 0xC6, 0xCA, 0xCE}
START_OF_SCAN, END_OF_IMAGE, APPLICATION_1, QUANTISATION = 0xDA, 0xD9, 0xE1, 0xDB
END_MARK = b"\xff\xd9"
COEFFICIENTS = 64
MSG_TEXT = "the JPEG was changed as if it were text, at its line ends; transfer it in binary mode"

# Chance does not explain that a byte never comes, or always behind another, if its neighbours come so often.
TELLING = 10
NEIGHBOURS = (b"\x08", b"\x0b", b"\x0c", b"\x0e")


def find_end(data: bytes) -> int | None:
    """Where the JPEG's end mark stands, None without one.

    Raises UndecodableImage if it has more scans, frames, segments or stray bytes than a photo has.
    """
    # Pillow skips stray bytes before the first scan one at a time, and keeps the components of all frame headers.
    at, parts, frames, scans, end = 2, 0, 0, 0, None
    while parts <= MAX_PARTS:
        found = (MARKER_AFTER_SCAN if scans else MARKER).search(data, at)
        if not scans:
            parts += (found.start() if found else len(data)) - at
        if found is None or (scans and found[0][1] == END_OF_IMAGE):
            end = found.start() if found else None
            break
        parts += 1
        at = found.end()
        if found[0][1] not in MARKERS_WITHOUT_LENGTH:
            at += max(2, int.from_bytes(data[at : at + 2], "big"))
        frames += found[0][1] in FRAME_HEADERS
        scans += found[0][1] == START_OF_SCAN
        if frames > 1:
            raise UndecodableImage("the JPEG has more than one frame header; save it again with an image editor")
        if scans > MAX_SCANS:
            raise UndecodableImage(f"the JPEG has more than {MAX_SCANS} scans; save it again with an image editor")
    if parts > MAX_PARTS:
        raise UndecodableImage(
            f"the JPEG has more than {MAX_PARTS:,} segments or stray bytes; save it again with an image editor"
        )
    return end


def require_binary(data: bytes) -> None:
    """Raises UndecodableImage if a transfer replaced line ends, which decodes to a picture without sense.

    In compressed data all bytes are about equally frequent. The searches end within some hundred bytes of a sound file.
    """
    replaced = b"\r" not in data or not _has_lone_line_feed(data)
    if replaced and all(data.count(each) >= TELLING for each in NEIGHBOURS):
        raise UndecodableImage(MSG_TEXT)


def may_lack_bytes(data: bytes) -> bool:
    """Whether every line feed behind a carriage return may have lost it: there are none, though some are expected."""
    return b"\r\n" not in data and data.count(b"\r") * data.count(b"\n") >= TELLING * len(data)


def may_be_text(data: bytes) -> bool:
    """Whether a transfer may have replaced line ends: all are alike, or those of two bytes are missing.

    That is so for most sound files of up to 50 KB, and for few above 300 KB.
    """
    return b"\r\n" not in data or not _has_lone_line_feed(data)


def _has_lone_line_feed(data: bytes) -> bool:
    """Whether a line feed comes that does not follow a carriage return."""
    at = data.find(b"\n")
    while at > 0 and data[at - 1] == ord("\r"):
        at = data.find(b"\n", at + 1)
    return at >= 0


def has_all_scans(data: bytes) -> bool:
    """Whether scans came for every bit of every coefficient of every component; not whether each scan is complete."""
    progressive, left = False, {}
    for marker, body in segments(data, through_scans=True):
        if marker in FRAME_HEADERS and len(body) >= 6:
            progressive = marker in PROGRESSIVE
            left = {component: [True] * COEFFICIENTS for component in body[6 : 6 + 3 * body[5] : 3]}
        elif marker == START_OF_SCAN and body and len(body) >= 4 + 2 * body[0]:
            components = body[1 : 1 + 2 * body[0] : 2]
            first, last, bits = body[1 + 2 * body[0] : 4 + 2 * body[0]]
            if not progressive:
                first, last, bits = 0, COEFFICIENTS - 1, 0
            for component in components:
                for each in range(first, min(last, COEFFICIENTS - 1) + 1):
                    left.get(component, [True] * COEFFICIENTS)[each] = bool(bits & 15)
    return bool(left) and not any(map(any, left.values()))


def isolate_means(data: bytes, step: int = 1) -> tuple[bytes, list[int]]:
    """The file with all quantisation steps 0 but those of the blocks' means, which are `step`; and what these were.

    It decodes to the means alone, times `step` and divided by these steps, one for each component. Raises ValueError
    without tables for the components.
    """
    changed, steps, tables = bytearray(data), dict[int, int](), b""
    for marker, at, body in _located_segments(data, through_scans=False):
        if marker in FRAME_HEADERS and len(body) >= 6:
            tables = body[8 : 6 + 3 * body[5] : 3]
        while marker == QUANTISATION and body:
            wide, table = body[0] >> 4, body[0] & 15
            size = 2 if wide else 1
            steps[table] = int.from_bytes(body[1 : 1 + size], "big")
            table_end = 1 + COEFFICIENTS * size
            if len(body) < table_end:
                raise ValueError("a quantisation table is cut off")
            changed[at + 1 : at + table_end] = step.to_bytes(size, "big") + bytes((COEFFICIENTS - 1) * size)
            body, at = body[table_end:], at + table_end
    if not tables or not set(tables) <= set(steps):
        raise ValueError("a component has no quantisation table")
    return bytes(changed), [steps[table] for table in tables]


def segments(data: bytes, *, through_scans: bool = False) -> Iterator[tuple[int, bytes]]:
    """The markers before the first scan, or of the whole file, each with the bytes of its segment."""
    return ((marker, body) for marker, _, body in _located_segments(data, through_scans=through_scans))


def _located_segments(data: bytes, *, through_scans: bool) -> Iterator[tuple[int, int, bytes]]:
    """As `segments`, with the place of the bytes in the file."""
    at, scans = 2, 0
    for _ in range(MAX_PARTS):
        found = (MARKER_AFTER_SCAN if scans else MARKER).search(data, at)
        if found is None or (scans and (not through_scans or found[0][1] == END_OF_IMAGE)):
            return
        marker, at = found[0][1], found.end()
        length = 0 if marker in MARKERS_WITHOUT_LENGTH else max(2, int.from_bytes(data[at : at + 2], "big"))
        yield marker, at + 2, data[at + 2 : at + length]
        at += length
        scans += marker == START_OF_SCAN
