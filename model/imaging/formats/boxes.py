"""HEIF and AVIF files: how many pixels a decoder has to make of them.

Both are trees of boxes (ISO/IEC 14496-12, 4.2). Their picture is an item, possibly a grid of further items, each coded
by itself (ISO/IEC 23008-12). A small file can have many items, and state a size that its coded pixels do not have.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from model.errors import UndecodableImage
from model.imaging.formats.av1 import largest_frame_px

# Boxes, items, entries and units that are read, of the hundred or so of a photo.
MAX_STEPS = 10_000
# A picture, and the items of its grid.
MAX_DEPTH = 2


@dataclass
class _Items:
    """What the file's index says, by the items' numbers: their kinds, which properties they have, the items that they
    are made of and that belong to them (transparency), and where their data is; and the pixels that were counted.
    """

    primary: int = 0
    kinds: dict[int, bytes] = field(default_factory=dict)
    properties: list[tuple[bytes, bytes]] = field(default_factory=list)
    has: dict[int, list[int]] = field(default_factory=dict)
    parts: dict[int, list[int]] = field(default_factory=dict)
    belong: dict[int, list[int]] = field(default_factory=dict)
    places: dict[int, tuple[int, list[tuple[int, int]]]] = field(default_factory=dict)
    inside: bytes = b""
    coded: dict[int, int] = field(default_factory=dict)


def count_coded_pixels(data: bytes) -> int:
    """The pixels that are decoded for the primary picture, at least its own. Raises UndecodableImage."""
    reader = _Reader(data)
    try:
        items = _read_items(reader)
        pictures = [items.primary, *items.belong.get(items.primary, [])]
        return max(_coded_pixels(items, reader, each, MAX_DEPTH) for each in pictures)
    except (IndexError, ValueError) as error:
        raise UndecodableImage("the index of the HEIC or AVIF file is truncated or damaged") from error


class _Reader:
    """Big-endian numbers and boxes of the file's bytes; it raises ValueError beyond an end, and after MAX_STEPS."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self._left = MAX_STEPS

    def step(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise ValueError("too many parts")

    def number(self, at: int, size: int) -> int:
        if at + size > len(self.data):
            raise ValueError("beyond the end")
        return int.from_bytes(self.data[at : at + size], "big")

    def boxes(self, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
        """The kind of each box, and where its contents begin and end."""
        while start + 8 <= end:
            self.step()
            size, kind, body = self.number(start, 4), self.data[start + 4 : start + 8], start + 8
            if size == 1:
                size, body = self.number(start + 8, 8), start + 16
            stop = end if size == 0 else start + size
            if not body <= stop <= end:
                raise ValueError("a box beyond its parent's end")
            yield kind, body, stop
            start = stop


class _Fields:
    """Consecutive numbers from a place on."""

    def __init__(self, reader: _Reader, at: int) -> None:
        self._reader, self.at = reader, at

    def next(self, size: int) -> int:
        self.at += size
        return self._reader.number(self.at - size, size)


def _read_items(reader: _Reader) -> _Items:
    items = _Items()
    for kind, at, end in reader.boxes(0, len(reader.data)):
        if kind == b"meta":
            for name, start, stop in reader.boxes(at + 4, end):
                if name in _READERS:
                    _READERS[name](items, reader, start, stop)
            return items
    raise ValueError("no index")


def _read_primary(items: _Items, reader: _Reader, at: int, end: int) -> None:  # noqa: ARG001
    items.primary = reader.number(at + 4, 4 if reader.number(at, 1) else 2)


def _read_kinds(items: _Items, reader: _Reader, at: int, end: int) -> None:
    for _, start, _ in reader.boxes(at + (8 if reader.number(at, 1) else 6), end):
        size = 4 if reader.number(start, 1) == 3 else 2
        items.kinds[reader.number(start + 4, size)] = reader.data[start + 6 + size : start + 10 + size]


def _read_properties(items: _Items, reader: _Reader, at: int, end: int) -> None:
    for name, start, stop in reader.boxes(at, end):
        if name == b"ipco":
            items.properties = [(kind, reader.data[a : min(b, a + 12)]) for kind, a, b in reader.boxes(start, stop)]
        elif name == b"ipma":
            wide, fields = reader.number(start + 3, 1) & 1, _Fields(reader, start + 4)
            for _ in range(fields.next(4)):
                reader.step()
                item = fields.next(4 if reader.number(start, 1) else 2)
                numbers = [fields.next(2) & 0x7FFF if wide else fields.next(1) & 0x7F for _ in range(fields.next(1))]
                items.has.setdefault(item, []).extend(numbers)


def _read_references(items: _Items, reader: _Reader, at: int, end: int) -> None:
    size = 4 if reader.number(at, 1) else 2
    for kind, start, _ in reader.boxes(at + 4, end):
        fields = _Fields(reader, start)
        item, others = fields.next(size), []
        for _ in range(fields.next(2)):
            reader.step()
            others.append(fields.next(size))
        if kind == b"dimg":
            items.parts.setdefault(item, []).extend(others)
        elif kind == b"auxl":
            for other in others:
                items.belong.setdefault(other, []).append(item)


def _read_places(items: _Items, reader: _Reader, at: int, end: int) -> None:  # noqa: ARG001
    version, fields = reader.number(at, 1), _Fields(reader, at + 4)
    sizes = fields.next(2)
    offset_size, length_size, base_size, index_size = (sizes >> shift & 15 for shift in (12, 8, 4, 0))
    for _ in range(fields.next(4 if version == 2 else 2)):
        item = fields.next(4 if version == 2 else 2)
        method = fields.next(2) & 15 if version else 0
        fields.next(2)
        base, extents = fields.next(base_size), []
        for _ in range(fields.next(2)):
            reader.step()
            fields.next(index_size if version else 0)
            offset = base + fields.next(offset_size)
            extents.append((offset, offset + fields.next(length_size)))
        items.places[item] = (method, extents)


def _read_inside(items: _Items, reader: _Reader, at: int, end: int) -> None:
    items.inside = reader.data[at:end]


_READERS = {
    b"pitm": _read_primary,
    b"iinf": _read_kinds,
    b"iprp": _read_properties,
    b"iref": _read_references,
    b"iloc": _read_places,
    b"idat": _read_inside,
}


def _coded_pixels(items: _Items, reader: _Reader, item: int, depth: int) -> int:
    """The larger of the stated pixels and those that are decoded for it."""
    if item in items.coded:
        return items.coded[item]
    properties = [items.properties[number - 1] for number in items.has.get(item, []) if number]
    sizes = [_area(body) for kind, body in properties if kind == b"ispe"]
    if not sizes or depth == 0:
        raise ValueError("a picture without a size, or in too many grids")
    coded = sum(_coded_pixels(items, reader, part, depth - 1) for part in items.parts.get(item, []))
    if items.kinds.get(item) == b"av01":
        coded = max(coded, largest_frame_px(_data_of(items, reader.data, item)))
    items.coded[item] = max(*sizes, coded)
    return items.coded[item]


def _area(body: bytes) -> int:
    return int.from_bytes(body[4:8], "big") * int.from_bytes(body[8:12], "big")


def _data_of(items: _Items, data: bytes, item: int) -> memoryview:
    """Without a copy: many items can be the whole file."""
    method, extents = items.places.get(item, (0, []))
    [(start, end)] = extents
    return memoryview(items.inside if method == 1 else data)[start:end]
