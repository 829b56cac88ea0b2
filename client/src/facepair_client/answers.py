"""The answers of the service, as its HTTP API describes them. Fields that are not here may be added to them."""

from typing import Any, Literal, NotRequired, TypedDict

Conditions = list[str] | None


class Model(TypedDict):
    """Which model answered; embeddings can be compared only under one digest."""

    name: str
    embedding_sha256: str


class Box(TypedDict):
    """Pixels of the upright image."""

    x: float
    y: float
    width: float
    height: float


class Quality(TypedDict):
    """What was measured of a face."""

    inter_eye_px: float
    sharpness: float
    brightness: float
    roll_deg: float
    yaw_deg: float


class Face(TypedDict):
    """A face; `index` 0 is the largest of its image."""

    index: int
    box: Box
    landmarks: dict[str, tuple[float, float]]
    score: float
    quality: Quality
    conditions: Conditions
    warnings: list[str]
    crop: NotRequired[str | None]  # PNG in base64, if asked for


class ImageReport(TypedDict):
    """What was found in an image that was sent as `field`."""

    field: str
    width: int
    height: int
    orientation: int
    format: str
    faces_found: int | None
    face: Face | None
    faces: list[Face] | None
    warnings: list[str]


class Problem(TypedDict):
    """An error: of a request, or of a single image."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    field: str | None
    request_id: str


class Timing(TypedDict):
    """Milliseconds."""

    decode: float
    face: float
    queue: float
    inference: float
    total: float


class Decided(TypedDict):
    """The decision about a pair."""

    decision: Literal["same", "different", "undecided"]
    verified: bool
    similarity: float
    threshold: float
    operating_point: str | None
    fmr_at_similarity: float | None
    fmr_is_upper_bound: bool | None
    conditions: Conditions


class Verification(Decided):
    """The answer of `verify`."""

    images: list[ImageReport]
    model: Model
    timing_ms: Timing
    request_id: str


class Pair(TypedDict):
    """A pair of a batch, by the names of its images: its decision, or the problem of one of them."""

    index: int
    image1: str
    image2: str
    decided: Decided | None
    problem: Problem | None


class BatchVerification(TypedDict):
    """The answer of `verify_batch`."""

    pairs: list[Pair]
    images: list[ImageReport]
    model: Model
    timing_ms: Timing
    request_id: str


class EmbeddedFace(TypedDict):
    """An embedding: numbers, or float32 little-endian in base64."""

    object: Literal["embedding"]
    index: int
    image: int
    face: int | None
    embedding: list[float] | str
    conditions: Conditions


class Embeddings(TypedDict):
    """The answer of `embed`."""

    object: Literal["list"]
    data: list[EmbeddedFace]
    images: list[ImageReport]
    problems: list[Problem]
    model: Model
    dimension: int
    request_id: str


class Detection(TypedDict):
    """The answer of `detect`."""

    images: list[ImageReport]
    problems: list[Problem]
    request_id: str


class Comparison(Decided):
    """The answer of `compare`."""

    warnings: list[str]
    model: Model
    request_id: str


class Info(TypedDict):
    """The answer of `info`; the HTTP API describes the inner objects."""

    version: str
    model: Model
    checkpoint_sha256: str
    device: str
    dimension: int
    network: dict[str, Any]
    preprocessing: dict[str, Any]
    calibration: dict[str, Any]
    rates_hold_for: str
    threshold: dict[str, Any]
    operating_points: list[dict[str, Any]]
    metrics: list[dict[str, Any]]
    provenance: dict[str, Any]
    limits: dict[str, int]
    sandbox: dict[str, Any]
