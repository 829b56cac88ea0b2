"""The parts of a body, whatever its form: which there may be, and what is kept of them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from app.api.admission import Reservation
from app.api.problems import Problem

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

    `counts` is how often each part came. Images that could not be read are empty, and `refused` has their problems.
    """

    images: dict[str, bytes] = field(default_factory=dict)
    refused: dict[str, Problem] = field(default_factory=dict)
    fields: dict[str, bytes] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)


@dataclass
class Part:
    """A part that has begun to arrive; `number` counts those of its name, from 0."""

    name: str
    number: int
    rule: PartRule
    data: bytearray = field(default_factory=bytearray)
    refusal: tuple[str, str] | None = None
    """The code and the detail of the problem with what was sent in place of an image."""

    def label(self, count: int) -> str:
        """What an error calls it where `count` parts have its name."""
        return f"{self.name}[{self.number}]" if self.rule.numbered or count > 1 else self.name

    def label_so_far(self) -> str:
        """What an error calls it before the rest of the body has come."""
        return self.label(self.number + 1)

    def require_room(self, size: int) -> None:
        """Raises Problem if `size` bytes more are too many."""
        if len(self.data) + size > self.rule.max_bytes:
            most = f"the part {self.name} may have {self.rule.max_bytes:,} bytes"
            raise Problem("too_many_bytes", most, self.label_so_far())

    def add(self, data: bytes) -> None:
        """Takes further bytes. Raises Problem if they are too many."""
        self.require_room(len(data))
        self.data += data

    def refuse(self, code: str, detail: str) -> None:
        """Says that what was sent is no image. The request may want the others answered."""
        self.refusal, self.data = (code, detail), bytearray()


class Parts:
    """The parts of one body, each held to its rule as soon as it can be judged."""

    def __init__(self, rules: Mapping[str, PartRule], max_images: int, reservation: Reservation) -> None:
        self._rules = rules
        self._max_images = max_images
        self._reservation = reservation
        self._parts: list[Part] = []

    def open(self, sent: str, place: int) -> Part:
        """A part by the name that was sent, the one at this `place` of the body, before its bytes come.

        Raises Problem.
        """
        name = BRACKETS.sub("", sent)
        rule = self._rules.get(name)
        if rule is None or (name != sent and not rule.image):
            taken = ", ".join(self._rules)
            raise Problem("unexpected_part", f"part {place} of the body has another name; this route takes {taken}")
        before = sum(part.name == name for part in self._parts)
        images = sum(part.rule.image for part in self._parts) + rule.image
        if before and not rule.image:
            raise Problem("duplicate_part", f"the part {name} may be given once", name)
        if images > self._max_images:
            raise Problem("too_many_images", f"a request may have {self._max_images} images; send fewer", name)
        part = Part(name, before, rule)
        self._parts.append(part)
        self._reservation.begin_upload(images)
        return part

    def is_of_images(self, sent: str) -> bool:
        """Whether parts of this name are images."""
        rule = self._rules.get(BRACKETS.sub("", sent))
        return rule is not None and rule.image

    def expect(self, images: int) -> None:
        """Takes slots for images that have begun to arrive, before their names are known. Raises Problem."""
        self._reservation.begin_upload(min(images, self._max_images))

    def finish(self) -> Form:
        """All parts, once the body has ended. Raises Problem if a required one is absent."""
        form = Form(counts={name: sum(part.name == name for part in self._parts) for name in self._rules})
        for name, rule in self._rules.items():
            if rule.required and not form.counts[name]:
                raise Problem("missing_part", f"the part {name} is missing", name)
        order = list(self._rules)
        for part in sorted(self._parts, key=lambda part: order.index(part.name)):
            taken, label = form.images if part.rule.image else form.fields, part.label(form.counts[part.name])
            taken[label] = bytes(part.data)
            if part.refusal:
                form.refused[label] = Problem(*part.refusal, label)
            part.data = bytearray()  # so that only one part at a time is in memory twice
        return form


class FormParser(Protocol):
    """Reads a body of one form, chunk by chunk. Both methods raise Problem."""

    def feed(self, chunk: bytes) -> None:
        """Takes the next chunk."""

    async def finish(self) -> Form:
        """All parts, once the body has ended."""
