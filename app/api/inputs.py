"""What the routes read from a request, checked; whatever is wrong ends the request as a Problem.

D embedding
"""

import asyncio
import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from math import isclose

import numpy as np
from fastapi import Request
from pydantic import ValidationError

from app.api.admission import Turn
from app.api.problems import Problem, from_domain
from app.api.schemas import CompareRequest
from app.api.uploads import Parts, read_body
from app.engine.inference import Inference
from app.settings import Settings
from model.arrays import Embeddings
from model.errors import ImageError
from model.imaging.analysis import Choice, FaceAllowance, ImageAnalysis, TooManyTogether
from model.networks.configurations import AnyNetworkConfig, ResidualConfig

# A float in JSON takes up to 25 bytes; two embeddings and the digest fit in this many bytes for each value.
JSON_BYTES_PER_VALUE = 64
JSON_BYTES_BESIDE = 4096
CHOICES: dict[bytes, Choice] = {b"largest": "largest", b"center": "center", b"only": "only", b"none": "none"}
CHOICES_OF_EMBED: dict[bytes, Choice] = {**CHOICES, b"all": "all"}
ENCODINGS = {b"": "float", b"float": "float", b"base64": "base64"}
LITTLE_ENDIAN = np.dtype("<f4")
# Far above what a network gives, and far enough below float32's end that differences and their sums cannot overflow.
LARGEST = 1e30
# Of embeddings of unit length; those that were stored in half precision are within it.
LENGTH_TOLERANCE = 0.01


@dataclass(frozen=True, kw_only=True)
class Rule:
    """From which similarity the decision is "same", and the operating point's name if one was asked for."""

    threshold: float
    operating_point: str | None = None


def parse_rule(parts: Parts, inference: Inference) -> Rule:
    """The parts `threshold` and `max_fmr`, of which one may be filled in, else the checkpoint's. Raises Problem."""
    return choose_rule(_number(parts, "threshold"), _number(parts, "max_fmr"), inference)


def choose_rule(threshold: float | None, max_fmr: float | None, inference: Inference) -> Rule:
    """A threshold, or the operating point of a false match rate, or the checkpoint's own. Raises Problem."""
    if max_fmr is None:
        return Rule(threshold=inference.header.threshold.value if threshold is None else threshold)
    if threshold is not None:
        raise Problem("invalid_field", "send threshold or max_fmr, not both", "max_fmr")
    for point in inference.header.operating_points:
        if isclose(point.max_fmr, max_fmr, rel_tol=1e-6):
            return Rule(threshold=point.threshold, operating_point=point.name)
    known = ", ".join(f"{point.max_fmr:g}" for point in inference.header.operating_points)
    points = f"its max_fmr are {known}; send one of these or" if known else "it has none; send"
    raise Problem("invalid_field", f"the model has no such operating point: {points} a threshold", "max_fmr")


def _number(parts: Parts, name: str) -> float | None:
    """A part that is a number from 0 to 1, or None where it was left blank. Raises Problem."""
    text = _text(parts, name)
    if not text:
        return None
    try:
        number = float(text)
    except ValueError:
        number = float("nan")
    if b"_" in text or not 0 <= number <= 1:  # Python reads 0_1 as 1
        raise Problem("invalid_field", f"{name} is a number from 0 to 1", name)
    return number


def parse_encoding(parts: Parts) -> str:
    """The part `encoding_format` if it was filled in, else "float". Raises Problem."""
    encoding = ENCODINGS.get(_text(parts, "encoding_format"))
    if encoding is None:
        raise Problem("invalid_field", "encoding_format is float or base64", "encoding_format")
    return encoding


def parse_choice(parts: Parts, inference: Inference, known: Mapping[bytes, Choice] = CHOICES) -> Choice:
    """The part `face`, if blank "largest"; a model of whole pictures takes only "none". Raises Problem."""
    text = _text(parts, "face")
    if inference.header.preprocessing.alignment is None and text in (b"", b"none"):
        return "none"
    choice = known.get(text or b"largest")
    if choice is None:
        raise Problem("invalid_field", f"face is one of {', '.join(name.decode() for name in known)}", "face")
    require_faces(inference, "face")
    return choice


def require_faces(inference: Inference, field: str | None = None) -> None:
    """Raises Problem if the model that is served sees whole pictures."""
    if inference.header.preprocessing.alignment is None:
        raise Problem("whole_pictures", "this is for models that were trained on straightened faces", field)


def name_images(images: list[bytes]) -> dict[str, bytes]:
    """The repeated part `image`, each under the name that an error calls it by."""
    return {f"image[{index}]": data for index, data in enumerate(images)}


def _text(parts: Parts, name: str) -> bytes:
    """A part that may come once, blank where it is absent; a browser sends an input that was left blank, too."""
    return parts[name][0].strip() if name in parts else b""


async def analyse_images(
    inference: Inference, images: dict[str, bytes], choice: Choice, settings: Settings, deadline: float
) -> list[ImageAnalysis]:
    """All images, seen side by side; the first that cannot be used ends the request under its own name."""
    faces = FaceAllowance(settings.max_faces)

    async def one(field: str, data: bytes) -> ImageAnalysis:
        try:
            return await inference.analyse(data, choice, faces, deadline)
        except TooManyTogether as error:
            raise Problem("too_many_faces", str(error), "image") from error
        except ImageError as error:
            raise from_domain(error, field) from error

    results = await asyncio.gather(*(one(*item) for item in images.items()), return_exceptions=True)
    analyses = []
    for result in results:
        if isinstance(result, BaseException):
            try:
                raise result
            finally:
                del result, results  # else the exception and this frame would hold each other, and the images
        analyses.append(result)
    return analyses


async def read_compare_request(request: Request, inference: Inference, turn: Turn) -> CompareRequest:
    """The JSON body of /compare, which counts as one image. Raises Problem."""
    limit = JSON_BYTES_BESIDE + JSON_BYTES_PER_VALUE * inference.header.network.dimension
    body = await read_body(request, limit, "application/json", turn)
    try:
        return CompareRequest.model_validate_json(body)
    except ValidationError as error:
        known = [str(e["loc"][0]) for e in error.errors() if e["loc"] and e["loc"][0] in CompareRequest.model_fields]
        detail = f"{known[0]} is missing or malformed" if known else "send the fields of the documentation, as JSON"
        raise Problem("malformed_json", detail, known[0] if known else None) from error


def encode_base64(embedding: Embeddings) -> str:
    """float32 (D,) -> base64 of its little-endian bytes."""
    return base64.b64encode(embedding.astype(LITTLE_ENDIAN).tobytes()).decode("ascii")


def decode_embedding(value: list[float] | str, network: AnyNetworkConfig, field: str) -> Embeddings:
    """Either form, which came as `field` -> float32 (D,) as that network gives them. Raises Problem."""
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
    if isinstance(network, ResidualConfig) and abs(np.linalg.norm(embedding.astype(np.float64)) - 1) > LENGTH_TOLERANCE:
        raise _malformed("of this model has length 1; send it as /embed gave it", field)
    return embedding


def _malformed(what: str, field: str) -> Problem:
    return Problem("malformed_embedding", f"an embedding {what}", field)
