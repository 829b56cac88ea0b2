"""The bodies of the answers of the routes that work on images and embeddings."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

from app.api.schemas import examples
from app.api.schemas.decisions import Conditions, DecisionReport, ModelName
from app.api.schemas.images import ImageReport, Timing
from app.api.schemas.problem import ProblemDetail


class Verification(DecisionReport):
    """The answer of /verify."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [examples.VERIFICATION, examples.VERIFICATION_UNDECIDED, examples.VERIFICATION_OF_SEVERAL]
        }
    )

    images: list[ImageReport]
    model: ModelName
    timing_ms: Timing
    request_id: str


class PairReport(BaseModel):
    """A pair of /verify/batch, by the names of its images: its decision, or the problem of one of its images."""

    index: int
    image1: str
    image2: str
    decided: DecisionReport | None
    problem: ProblemDetail | None


class BatchVerification(BaseModel):
    """The answer of /verify/batch: a report of each pair in the order in which they came, and of each usable image."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.BATCH_VERIFICATION]})

    pairs: list[PairReport]
    images: list[ImageReport]
    model: ModelName
    timing_ms: Timing
    request_id: str


class EmbeddedFace(BaseModel):
    """An embedding: numbers, or float32 little-endian in base64; of which image, and which of its faces.

    Store its `conditions` with it, for /compare.
    """

    object: Literal["embedding"]
    index: int
    image: int
    face: int | None
    embedding: list[float] | str
    conditions: Conditions | None


class EmbeddingList(BaseModel):
    """The answer of /embed, in the order of the images and, with face=all, of each image's faces.

    With on_error=report `problems` are those of images that could not be used; `images` has the others.
    """

    model_config = ConfigDict(json_schema_extra={"examples": [examples.EMBEDDING_LIST]})

    object: Literal["list"]
    data: list[EmbeddedFace]
    images: list[ImageReport]
    problems: list[ProblemDetail]
    model: ModelName
    dimension: int
    request_id: str


class Detection(BaseModel):
    """The answer of /detect: every face of every image. With on_error=report `problems` are those of images that could
    not be read; `images` has the others.
    """

    model_config = ConfigDict(json_schema_extra={"examples": [examples.DETECTION]})

    images: list[ImageReport]
    problems: list[ProblemDetail]
    request_id: str


class Comparison(DecisionReport):
    """The answer of /compare: the decision that /verify gives for the two images, if their conditions were sent."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.COMPARISON]})

    warnings: list[str]
    model: ModelName
    request_id: str
