"""The bodies of the answers of the routes that work on images and embeddings."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

from app.api.schemas import examples
from app.api.schemas.decisions import Conditions, DecisionReport, ModelName
from app.api.schemas.images import ImageReport, Timing


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


class Embedding(BaseModel):
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
    """The answer of /embed, in the order of the images and, with face=all, of each image's faces."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.EMBEDDING_LIST]})

    object: Literal["list"]
    data: list[Embedding]
    images: list[ImageReport]
    model: ModelName
    dimension: int
    request_id: str


class Detection(BaseModel):
    """The answer of /detect: every face of every image."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.DETECTION]})

    images: list[ImageReport]
    request_id: str


class Comparison(DecisionReport):
    """The answer of /compare: the decision that /verify gives for the two images, if their conditions were sent."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.COMPARISON]})

    warnings: list[str]
    model: ModelName
    request_id: str
