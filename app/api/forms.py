"""The parts of a multipart/form-data body: which there may be, and what is kept of them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from python_multipart.multipart import parse_options_header

from app.api.admission import Reservation
from app.api.problems import Problem

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

MAX_FIELD_BYTES = 1024
# What clients append to the name of a part that comes several times; images are counted in the order of their arrival.
BRACKETS = re.compile(r"\[[0-9]{0,4}\]\Z")


@dataclass(frozen=True, kw_only=True)
class PartRule:
    """A part that a route takes: how many bytes it may have, and whether it is an image, which may come several times.

    In errors images have a number if there are several, and in any case if they are `numbered`.
    """

    max_bytes: int = MAX_FIELD_BYTES
    required: bool = False
    image: bool = False
    numbered: bool = False


@dataclass(frozen=True, kw_only=True)
class FormLimits:
    """How many images a body may have, and how many bytes in all. Every required image may come once in any case."""

    max_images: int
    max_bytes: int


@dataclass(frozen=True)
class Form:
    """The parts of a body in the order of their rules: images under the names that errors give them, and fields.

    `counts` is how often each part came.
    """

    images: dict[str, bytes] = field(default_factory=dict)
    fields: dict[str, bytes] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)


@dataclass
class _Part:
    name: str
    number: int  # from 0, among the parts of this name
    rule: PartRule
    data: bytearray = field(default_factory=bytearray)

    def label(self, count: int) -> str:
        """What an error calls it where `count` parts have its name."""
        return f"{self.name}[{self.number}]" if self.rule.numbered or count > 1 else self.name


class FormCollector:
    """Takes the parser's events and holds every part to its rule as soon as it can be judged."""

    def __init__(self, rules: Mapping[str, PartRule], max_images: int, reservation: Reservation) -> None:
        self._rules = rules
        self._max_images = max_images
        self._reservation = reservation
        self._parts: list[_Part] = []
        self._header_name = bytearray()
        self._header_value = bytearray()
        self._disposition = b""
        self.ended = False

    def callbacks(self) -> "MultipartCallbacks":
        """The events that python-multipart calls."""
        return {
            "on_part_begin": self._begin,
            "on_header_field": self._take_header_name,
            "on_header_value": self._take_header_value,
            "on_header_end": self._end_header,
            "on_headers_finished": self._open_part,
            "on_part_data": self._take_data,
            "on_end": self._end,
        }

    def finish(self) -> Form:
        """All parts, once the body has ended. Raises Problem if a required one is absent."""
        form = Form(counts={name: sum(part.name == name for part in self._parts) for name in self._rules})
        for name, rule in self._rules.items():
            if rule.required and not form.counts[name]:
                raise Problem("missing_part", f"the part {name} is missing", name)
        order = list(self._rules)
        for part in sorted(self._parts, key=lambda part: order.index(part.name)):
            taken = form.images if part.rule.image else form.fields
            taken[part.label(form.counts[part.name])] = bytes(part.data)
            part.data = bytearray()  # so that only one part at a time is in memory twice
        return form

    def _begin(self) -> None:
        self._disposition = b""

    def _take_header_name(self, data: bytes, start: int, end: int) -> None:
        self._header_name += data[start:end]

    def _take_header_value(self, data: bytes, start: int, end: int) -> None:
        self._header_value += data[start:end]

    def _end_header(self) -> None:
        if self._header_name.lower() == b"content-disposition":
            self._disposition = bytes(self._header_value)
        self._header_name.clear()
        self._header_value.clear()

    def _open_part(self) -> None:
        """Judges a part by its name before its bytes come; its file name, if there is one, is not read."""
        sent = parse_options_header(self._disposition)[1].get(b"name", b"").decode("utf-8", "replace")
        name = BRACKETS.sub("", sent)
        rule = self._rules.get(name)
        if rule is None or (name != sent and not rule.image):
            place, taken = len(self._parts) + 1, ", ".join(self._rules)
            raise Problem("unexpected_part", f"part {place} of the body has another name; this route takes {taken}")
        before = sum(part.name == name for part in self._parts)
        images = sum(part.rule.image for part in self._parts) + rule.image
        if before and not rule.image:
            raise Problem("duplicate_part", f"the part {name} may be given once", name)
        if images > self._max_images:
            raise Problem("too_many_images", f"a request may have {self._max_images} images; send fewer", name)
        self._parts.append(_Part(name, before, rule))
        self._reservation.begin_upload(images)

    def _take_data(self, data: bytes, start: int, end: int) -> None:
        part = self._parts[-1]
        if len(part.data) + end - start > part.rule.max_bytes:
            label = part.label(part.number + 1)  # of the parts so far
            raise Problem("too_many_bytes", f"the part {part.name} may have {part.rule.max_bytes:,} bytes", label)
        part.data += data[start:end]

    def _end(self) -> None:
        self.ended = True
