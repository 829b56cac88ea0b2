"""The bodies of requests and answers, but those of /info and the health routes."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from app.api import examples
from app.api.problems import KINDS
from model.checkpoint import Header
from model.conditions import decide_for_pair, rate_of_pair
from model.imaging.decoding import Format
from model.similarity import Decision

Similarity = Annotated[float, Field(ge=0, le=1, description="0 to 1, higher means closer")]
Rate = Annotated[
    float, Field(ge=0, le=1, description="false match rate: the share of impostor pairs that are accepted")
]


Conditions = Annotated[list[str], Field(description="what a picture is in, such as blurred or covered_eyes")]


class ModelName(BaseModel):
    """Which model answered; embeddings can be compared only under one digest."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.MODEL]})

    name: str
    embedding_sha256: str

    @classmethod
    def of(cls, header: Header) -> Self:
        """The model of a checkpoint."""
        return cls(name=header.name, embedding_sha256=header.embedding_sha256)


class Box(BaseModel):
    """Left and upper edge and size, in upright pixels of the image; it may reach beyond the image's edges."""

    x: float
    y: float
    width: float
    height: float


class QualityReport(BaseModel):
    """What was measured of a face. Sharpness (variance of the Laplacian) and brightness (0 to 255) are of what the
    network sees, in grey. Roll and yaw are estimated from the landmarks, in degrees: roll is positive clockwise, yaw to
    the picture's right.
    """

    inter_eye_px: float
    sharpness: float
    brightness: float
    roll_deg: float
    yaw_deg: float


Point = tuple[float, float]


class FaceReport(BaseModel):
    """A face: `index` 0 is the largest of its image; landmarks are (x, y) in pixels, right and left the person's own;
    `score` is how sure the detector is, 0 to 1; `conditions` are null for models that know none.
    """

    index: int
    box: Box
    landmarks: dict[str, Point]
    score: float
    quality: QualityReport
    conditions: Conditions | None
    warnings: list[str]


class ImageReport(BaseModel):
    """What was found in one uploaded image, after its orientation was applied.

    `face` is the one that was taken; `faces` has all of them where all were asked for; `warnings` are of the image and
    the taken face. With a model of whole pictures, and with face=none, no face was looked for.
    """

    field: str
    width: int
    height: int
    format: Format
    faces_found: int | None
    face: FaceReport | None
    faces: list[FaceReport] | None
    warnings: list[str]


class Timing(BaseModel):
    """Milliseconds: until all images are decoded and their faces straightened, with the wait for a free decoder; of it
    for the faces, in the image that took longest; waiting for the network; the network; the whole request.
    """

    decode: float
    face: float
    queue: float
    inference: float
    total: float


@dataclass(frozen=True, kw_only=True)
class Rule:
    """From which similarity the decision is "same", and the operating point's name and rate if one was asked for."""

    threshold: float
    operating_point: str | None = None
    max_fmr: float | None = None


class DecisionReport(BaseModel):
    """What /verify and /compare both say of a similarity.

    `conditions` are those that both sides share, null if they are not known. `fmr_at_similarity` is that of pairs that
    share them, null if it was not measured. "undecided" is only said with max_fmr.
    """

    decision: Decision
    verified: bool
    similarity: Similarity
    threshold: Similarity
    operating_point: str | None
    fmr_at_similarity: Rate | None
    conditions: Conditions | None

    @classmethod
    def of(cls, similarity: float, rule: Rule, header: Header, shared: list[str] | None, **answer: Any) -> Self:
        """The decision of a rule for a pair that shares these conditions, with the further fields of the answer."""
        rates, known = header.condition_rates, shared or []
        decision = decide_for_pair(similarity, rule.threshold, rule.max_fmr, rates, known)
        return cls(
            decision=decision,
            verified=decision == "same",
            similarity=similarity,
            threshold=rule.threshold,
            operating_point=rule.operating_point,
            fmr_at_similarity=rate_of_pair(similarity, header.false_match_curve, rates, known),
            conditions=shared,
            **answer,
        )


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


# Validation stops at the first value that is not a number: to list all would block the event loop for tenths of a
# second.
Values = Annotated[list[float], Field(fail_fast=True)]
Names = Annotated[list[str], Field(fail_fast=True)] | Annotated[list[list[str]], Field(fail_fast=True)]
Side = Values | str | Annotated[list[Values | str], Field(fail_fast=True)]


class CompareRequest(BaseModel):
    """Embeddings of one model, as /embed gives them, and the digest that came with them: one for each side, or a list
    of several of one person, which are averaged. `conditions1` and `conditions2` are the conditions that came with the
    embeddings of each side: a list for one embedding, or a list of lists.
    """

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={"examples": [examples.COMPARE_REQUEST, examples.COMPARE_REQUEST_OF_SEVERAL]},
    )

    embedding1: Side
    embedding2: Side
    embedding_sha256: str
    conditions1: Names | None = None
    conditions2: Names | None = None
    threshold: Similarity | None = None
    max_fmr: Rate | None = None


class Comparison(DecisionReport):
    """The answer of /compare: the decision that /verify gives for the two images, if their conditions were sent."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.COMPARISON]})

    warnings: list[str]
    model: ModelName
    request_id: str


class ProblemDetail(BaseModel):
    """Every error answer (RFC 9457)."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.PROBLEM]})

    type: str
    title: str
    status: int
    detail: str
    code: Annotated[str, Field(json_schema_extra={"enum": [kind.code for kind in KINDS]})]
    field: str | None
    request_id: str
