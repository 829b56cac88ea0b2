"""What routes read from a body, checked. Errors end the request as a Problem.

D embedding
"""

import base64
import binascii
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isclose
from typing import cast

import numpy as np
from pydantic import ValidationError

from app.api.problems import Problem
from app.api.schemas.compare_request import CompareRequest, Side
from app.api.schemas.decisions import Rule
from model.arrays import Embeddings
from model.averaging import mean_embedding
from model.checkpoint import Header
from model.conditions import shared_conditions
from model.errors import InferenceError
from model.imaging.analysis import Choice
from model.networks.configurations import AnyNetworkConfig

CHOICES: dict[bytes, Choice] = {b"largest": "largest", b"center": "center", b"only": "only", b"none": "none"}
CHOICES_OF_EMBED: dict[bytes, Choice] = {**CHOICES, b"all": "all"}
ENCODINGS = {b"": "float", b"float": "float", b"base64": "base64"}

# A float in JSON takes up to 25 bytes, with its comma and space 27.
JSON_BYTES_PER_VALUE = 32
JSON_BYTES_BESIDE = 4096
# More than the settings allow embeddings. A body of empty lists would block the event loop for a tenth of a second.
MAX_LISTS = 1100
MSG_NO_REQUEST = "send the fields of the documentation, as JSON"
LITTLE_ENDIAN = np.dtype("<f4")
# Far above what a network gives, and far enough below float32's end that differences and their sums cannot overflow.
LARGEST = 1e30
# Of embeddings of unit length; those that were stored in half precision are within it.
LENGTH_TOLERANCE = 0.01
FOREIGN = "these embeddings are of another model than the one served; embed the images again"

Fields = Mapping[str, bytes]


@dataclass(frozen=True, kw_only=True)
class ImagesUpload:
    """Images under the names that errors call them by, which of their faces to take, and how many faces in all."""

    images: dict[str, bytes]
    choice: Choice
    max_faces: int


@dataclass(frozen=True, kw_only=True)
class PairUpload(ImagesUpload):
    """The images of the two sides of /verify; the first `left` of them are of one side."""

    left: int
    rule: Rule


@dataclass(frozen=True, kw_only=True)
class EmbedUpload(ImagesUpload):
    """The images of /embed; `encoding` is "float" or "base64"."""

    encoding: str


@dataclass(frozen=True, kw_only=True)
class EmbeddingPair:
    """The two sides of /compare, float32 (D,), each an embedding or the mean of several.

    `shared` are the conditions that both are in, None if those of a side were not sent.
    """

    left: Embeddings
    right: Embeddings
    shared: list[str] | None
    rule: Rule


def parse_rule(fields: Fields, header: Header) -> Rule:
    """The field `threshold` or `max_fmr`, not both, else the checkpoint's threshold. Raises Problem."""
    return choose_rule(_number(fields, "threshold"), _number(fields, "max_fmr"), header)


def choose_rule(threshold: float | None, max_fmr: float | None, header: Header) -> Rule:
    """A threshold, or the operating point of a false match rate, or the checkpoint's own. Raises Problem."""
    if max_fmr is None:
        return Rule(threshold=header.threshold.value if threshold is None else threshold)
    if threshold is not None:
        raise Problem("invalid_field", "send threshold or max_fmr, not both", "max_fmr")
    for point in header.operating_points:
        if isclose(point.max_fmr, max_fmr, rel_tol=1e-6):
            return Rule(threshold=point.threshold, operating_point=point.name, max_fmr=point.max_fmr)
    known = ", ".join(f"{point.max_fmr:g}" for point in header.operating_points)
    points = f"its max_fmr are {known}; send one of these or" if known else "it has none; send"
    raise Problem("invalid_field", f"the model has no such operating point: {points} a threshold", "max_fmr")


def parse_encoding(fields: Fields) -> str:
    """The field `encoding_format` if it was filled in, else "float". Raises Problem."""
    encoding = ENCODINGS.get(_text(fields, "encoding_format"))
    if encoding is None:
        raise Problem("invalid_field", "encoding_format is float or base64", "encoding_format")
    return encoding


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
        raise Problem("whole_pictures", "this is for models that were trained on straightened faces", field)


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


def max_json_bytes(dimension: int, embeddings: int) -> int:
    """The largest body of /compare for embeddings of D values."""
    return JSON_BYTES_BESIDE + JSON_BYTES_PER_VALUE * dimension * embeddings


def parse_embedding_pair(body: bytes, header: Header, max_embeddings: int) -> EmbeddingPair:
    """The JSON body of /compare. Raises Problem."""
    request = _parse_compare_request(body)
    if request.embedding_sha256 != header.embedding_sha256:
        raise Problem("foreign_embedding", FOREIGN, "embedding_sha256")
    sides = {"embedding1": _embeddings_of(request.embedding1), "embedding2": _embeddings_of(request.embedding2)}
    if sum(map(len, sides.values())) > max_embeddings:
        longest = max(sides, key=lambda field: len(sides[field]))
        raise Problem("too_many_embeddings", f"a request may have {max_embeddings} embeddings; send fewer", longest)
    left, right = (_mean_of_side(values, header.network, field) for field, values in sides.items())
    named = [request.conditions1, request.conditions2]
    return EmbeddingPair(
        left=left,
        right=right,
        shared=None
        if None in named
        else shared_conditions(*(_lists_of(names) for names in named if names is not None)),
        rule=choose_rule(request.threshold, request.max_fmr, header),
    )


def _lists_of(names: list[str] | list[list[str]]) -> list[list[str]]:
    """The conditions of a side's pictures, from a list for one or a list of lists."""
    return [[name] if isinstance(name, str) else name for name in names]


def _embeddings_of(side: Side) -> list[list[float] | str]:
    """The embeddings of a side, at least one; each is a list of numbers, or base64."""
    several = isinstance(side, list) and side and not isinstance(side[0], float)
    return cast("list[list[float] | str]", side if several else [side])


def _mean_of_side(values: Sequence[list[float] | str], network: AnyNetworkConfig, field: str) -> Embeddings:
    """The mean of a side's embeddings, float32 (D,). Raises Problem."""
    names = [field] if len(values) == 1 else [f"{field}[{number}]" for number in range(len(values))]
    embeddings = [decode_embedding(each, network, name) for each, name in zip(values, names, strict=True)]
    try:
        return mean_embedding(np.stack(embeddings), unit_length=network.unit_length)
    except InferenceError as error:
        raise Problem("malformed_embedding", str(error), field) from error


def _parse_compare_request(body: bytes) -> CompareRequest:
    if body.count(b"[") > MAX_LISTS:
        raise Problem("malformed_json", MSG_NO_REQUEST, _side_with_most_lists(body))
    try:
        return CompareRequest.model_validate_json(body)
    except ValidationError as error:
        known = [str(e["loc"][0]) for e in error.errors() if e["loc"] and e["loc"][0] in CompareRequest.model_fields]
        detail = f"{known[0]} is missing or malformed" if known else MSG_NO_REQUEST
        raise Problem("malformed_json", detail, known[0] if known else None) from error


def _side_with_most_lists(body: bytes) -> str | None:
    """The side whose name is followed by the most lists, without parsing the body; None if no side is named."""
    _, *found = re.split(rb'"(embedding[12])"', body)
    sides = list(zip(found[::2], found[1::2], strict=True))
    return max(sides, key=lambda side: side[1].count(b"["))[0].decode() if sides else None


def encode_base64(embedding: Embeddings) -> str:
    """float32 (D,) -> base64 of its little-endian bytes."""
    return base64.b64encode(embedding.astype(LITTLE_ENDIAN).tobytes()).decode("ascii")


def decode_embedding(value: list[float] | str, network: AnyNetworkConfig, field: str) -> Embeddings:
    """Numbers or base64, sent as `field` -> float32 (D,) as the network gives them. Raises Problem."""
    try:
        raw = np.frombuffer(base64.b64decode(value, validate=True), LITTLE_ENDIAN) if isinstance(value, str) else value
        with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, and is refused below
            embedding: Embeddings = np.array(raw, dtype=np.float32)
    except (binascii.Error, ValueError, OverflowError) as error:
        raise _malformed("is a list of numbers, or base64 of float32 values", field) from error
    if embedding.shape != (network.dimension,):
        raise _malformed(f"of this model has {network.dimension} values", field)
    if not (np.abs(embedding) <= LARGEST).all():
        raise _malformed(f"has only finite values, none beyond {LARGEST:g}", field)
    if network.unit_length and abs(np.linalg.norm(embedding.astype(np.float64)) - 1) > LENGTH_TOLERANCE:
        raise _malformed("of this model has length 1; send it as /embed gave it", field)
    return embedding


def _malformed(what: str, field: str) -> Problem:
    return Problem("malformed_embedding", f"an embedding {what}", field)
