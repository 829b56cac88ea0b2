"""What routes read from a body with images, checked. Errors end the request as a Problem."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from app.api.problems import Problem
from model.checkpoint import Header
from model.errors import RuleError
from model.imaging.analysis import Choice
from model.rules import Rule

CHOICES: dict[bytes, Choice] = {b"largest": "largest", b"center": "center", b"only": "only", b"none": "none"}
CHOICES_OF_EMBED: dict[bytes, Choice] = {**CHOICES, b"all": "all"}
ENCODINGS = {b"": "float", b"float": "float", b"base64": "base64"}
ON_ERROR = {b"": "refuse", b"refuse": "refuse", b"report": "report"}
CROPS = {b"": "none", b"none": "none", b"png": "png"}
FACE_NUMBER = re.compile(rb"[0-9]{1,4}")

Fields = Mapping[str, bytes]


@dataclass(frozen=True, kw_only=True)
class ImagesUpload:
    """Images under the names that errors call them by, which of their faces to take, and how many faces in all.

    `refused` are the problems of images that are not to be decoded. If `report` is true, problems of single images are
    reported, and the others answered.
    """

    images: dict[str, bytes]
    choice: Choice
    max_faces: int
    refused: Mapping[str, Problem] = field(default_factory=dict)
    report: bool = False


@dataclass(frozen=True, kw_only=True)
class DetectUpload(ImagesUpload):
    """The images of /detect, and whether what the network sees of each face is part of the answer."""

    crops: bool


@dataclass(frozen=True, kw_only=True)
class PairUpload(ImagesUpload):
    """The images of the two sides of /verify; the first `left` of them are of one side."""

    left: int
    rule: Rule


@dataclass(frozen=True, kw_only=True)
class BatchUpload(ImagesUpload):
    """The images of /verify/batch, and the names of each pair's two."""

    pairs: list[tuple[str, str]]
    rule: Rule


@dataclass(frozen=True, kw_only=True)
class EmbedUpload(ImagesUpload):
    """The images of /embed; `encoding` is "float" or "base64"."""

    encoding: str


def pair_up(names: Sequence[str], left: int) -> list[tuple[str, str]]:
    """The pairs of the images of two sides, of which the first `left` are of one: those in the same place of both, or
    a side's only image with each of the other. Raises Problem.
    """
    one, other = list(names[:left]), list(names[left:])
    if len(one) != len(other) and 1 not in (len(one), len(other)):
        even = "send image1 and image2 equally often, or one of them once"
        raise Problem("uneven_pairs", f"there are {len(one)} and {len(other)}; {even}")
    count = max(len(one), len(other))
    return list(zip(one * (count // len(one)), other * (count // len(other)), strict=True))


def parse_rule(fields: Fields, header: Header) -> Rule:
    """The field `threshold` or `max_fmr`, not both, else the checkpoint's threshold. Raises Problem."""
    return choose_rule(_number(fields, "threshold"), _number(fields, "max_fmr"), header)


def choose_rule(threshold: float | None, max_fmr: float | None, header: Header) -> Rule:
    """A threshold, or that of a false match rate, or the checkpoint's own. Raises Problem."""
    try:
        points, curve = header.operating_points, header.false_match_curve
        return Rule.choose(threshold, max_fmr, header.threshold.value, points, curve)
    except RuleError as error:
        raise Problem("invalid_field", str(error), "max_fmr") from error


def parse_encoding(fields: Fields) -> str:
    """The field `encoding_format` if it was filled in, else "float". Raises Problem."""
    encoding = ENCODINGS.get(_text(fields, "encoding_format"))
    if encoding is None:
        raise Problem("invalid_field", "encoding_format is float or base64", "encoding_format")
    return encoding


def parse_on_error(fields: Fields) -> bool:
    """Whether the field `on_error` asks for a report of each image's problem. Raises Problem."""
    chosen = ON_ERROR.get(_text(fields, "on_error"))
    if chosen is None:
        raise Problem("invalid_field", "on_error is refuse or report", "on_error")
    return chosen == "report"


def parse_crops(fields: Fields) -> bool:
    """Whether the field `crops` asks for what the network sees. Raises Problem."""
    chosen = CROPS.get(_text(fields, "crops"))
    if chosen is None:
        raise Problem("invalid_field", "crops is none or png", "crops")
    return chosen == "png"


def parse_face_number(fields: Fields, name: str) -> int:
    """The number of a face of its image, if blank 0, the largest. Raises Problem."""
    text = _text(fields, name) or b"0"
    if not FACE_NUMBER.fullmatch(text):
        raise Problem("invalid_field", f"{name} is the number of a face, from 0 on", name)
    return int(text)


def parse_choice(fields: Fields, header: Header, known: Mapping[bytes, Choice]) -> Choice:
    """The field `face`, if blank "largest"; a model of whole pictures takes only "none". Raises Problem."""
    text = _text(fields, "face")
    if header.preprocessing.alignment is None and text in (b"", b"none"):
        return "none"
    choice = known.get(text or b"largest")
    if choice is None:
        raise Problem("invalid_field", f"face is one of {', '.join(name.decode() for name in known)}", "face")
    require_faces(header, "face")
    return choice


def require_faces(header: Header, field: str | None = None) -> None:
    """Raises Problem if the model that is served sees whole pictures."""
    if header.preprocessing.alignment is None:
        what = f"leave {field} out" if field else "use one that does for this route"
        raise Problem("whole_pictures", f"this model sees whole pictures and finds no faces; {what}", field)


def _number(fields: Fields, name: str) -> float | None:
    """A number from 0 to 1, or None if the field is blank. Raises Problem."""
    text = _text(fields, name)
    if not text:
        return None
    try:
        number = float(text)
    except ValueError:
        number = float("nan")
    if b"_" in text or not 0 <= number <= 1:  # Python reads 0_1 as 1
        raise Problem("invalid_field", f"{name} is a number from 0 to 1", name)
    return number


def _text(fields: Fields, name: str) -> bytes:
    """A field, blank where it is absent: browsers send inputs that were left blank."""
    return fields.get(name, b"").strip()
