"""The bodies of requests and answers, each with an example."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

from model.architecture import AnyNetworkConfig
from model.checkpoint import Metric, Provenance
from model.photographs import Format
from model.preprocessing import PreprocessingConfig
from model.similarity import Decision, OperatingPoint, Threshold

DIGEST = "9f2c41d0" * 8
MODEL_EXAMPLE: JsonDict = {"name": "experiment-2", "embedding_sha256": DIGEST}

FACE_EXAMPLE: JsonDict = {
    "index": 0,
    "box": {"x": 76.1, "y": 61.9, "width": 98.2, "height": 131.0},
    "landmarks": {
        "right_eye": [103.4, 112.5],
        "left_eye": [146.6, 112.5],
        "nose": [125.0, 137.4],
        "right_mouth": [106.7, 156.9],
        "left_mouth": [143.3, 156.9],
    },
    "score": 0.93,
    "quality": {"inter_eye_px": 43.2, "sharpness": 310.5, "brightness": 121.3, "roll_deg": 0.4, "yaw_deg": -3.1},
    "warnings": [],
}
IMAGE_EXAMPLE: JsonDict = {
    "field": "image1",
    "width": 250,
    "height": 250,
    "format": "JPEG",
    "faces_found": 1,
    "face": FACE_EXAMPLE,
    "faces": None,
    "warnings": [],
}

Similarity = Annotated[float, Field(ge=0, le=1, description="0 to 1, higher means closer")]


Rate = Annotated[
    float, Field(ge=0, le=1, description="false match rate: the share of impostor pairs that are accepted")
]


class ModelName(BaseModel):
    """Which model answered; embeddings can be compared only under one digest."""

    model_config = ConfigDict(json_schema_extra={"examples": [MODEL_EXAMPLE]})

    name: str
    embedding_sha256: str


class Box(BaseModel):
    """Left and upper edge and size, in upright pixels of the image; it may reach beyond the image's edges."""

    x: float
    y: float
    width: float
    height: float


class QualityReport(BaseModel):
    """What was measured of a face. Sharpness (variance of the Laplacian) and brightness (0 to 255) are of what the
    network sees; roll and yaw are estimated from the landmarks, in degrees.
    """

    inter_eye_px: float
    sharpness: float
    brightness: float
    roll_deg: float
    yaw_deg: float


Point = tuple[float, float]


class FaceReport(BaseModel):
    """A face: `index` 0 is the largest of its image; landmarks are (x, y), right and left the person's own."""

    index: int
    box: Box
    landmarks: dict[str, Point]
    score: float
    quality: QualityReport
    warnings: list[str] = []


class ImageReport(BaseModel):
    """What was found in one uploaded image, after its orientation was applied.

    `face` is the one that was taken; `faces` has all of them where all were asked for; `warnings` are of the image and
    the taken face. With a model of whole pictures, and with face=none, no face was looked for.
    """

    field: str
    width: int
    height: int
    format: Format
    faces_found: int | None = None
    face: FaceReport | None = None
    faces: list[FaceReport] | None = None
    warnings: list[str] = []


class Timing(BaseModel):
    """Milliseconds: until both images are decoded and their faces straightened, with the wait for a free decoder; of it
    for the faces, the longer of the two; waiting for the network; the network; the whole request.
    """

    decode: float
    face: float
    queue: float
    inference: float
    total: float


class Verification(BaseModel):
    """The answer of /verify."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "decision": "same",
                    "verified": True,
                    "similarity": 0.91,
                    "threshold": 0.74,
                    "operating_point": "fmr_1e-2",
                    "fmr_at_similarity": 0.0021,
                    "images": [
                        IMAGE_EXAMPLE,
                        {**IMAGE_EXAMPLE, "field": "image2"},
                    ],
                    "model": MODEL_EXAMPLE,
                    "timing_ms": {"decode": 12.0, "face": 10.0, "queue": 0.1, "inference": 21.4, "total": 25.0},
                    "request_id": "5b0e1c8f",
                }
            ]
        }
    )

    decision: Decision
    verified: bool
    similarity: Similarity
    threshold: Similarity
    operating_point: str | None
    fmr_at_similarity: Rate | None
    images: list[ImageReport]
    model: ModelName
    timing_ms: Timing
    request_id: str


class Embedding(BaseModel):
    """An embedding: numbers, or float32 little-endian in base64; of which image, and which of its faces."""

    object: Literal["embedding"] = "embedding"
    index: int
    image: int
    face: int | None
    embedding: list[float] | str


class EmbeddingList(BaseModel):
    """The answer of /embed, in the order of the images and, with face=all, of each image's faces."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "object": "list",
                    "data": [{"object": "embedding", "index": 0, "image": 0, "face": 0, "embedding": [0.0, 0.25]}],
                    "images": [{**IMAGE_EXAMPLE, "field": "image[0]"}],
                    "model": MODEL_EXAMPLE,
                    "dimension": 4096,
                    "request_id": "5b0e1c8f",
                }
            ]
        }
    )

    object: Literal["list"] = "list"
    data: list[Embedding]
    images: list[ImageReport]
    model: ModelName
    dimension: int
    request_id: str


class Detection(BaseModel):
    """The answer of /detect: every face of every image."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "images": [{**IMAGE_EXAMPLE, "field": "image[0]", "face": None, "faces": [FACE_EXAMPLE]}],
                    "request_id": "5b0e1c8f",
                }
            ]
        }
    )

    images: list[ImageReport]
    request_id: str


class CompareRequest(BaseModel):
    """Two embeddings of one model, as /embed gives them, and the digest that came with them."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={
            "examples": [{"embedding1": [0.0, 0.25], "embedding2": "AAAAAAAAgD4=", "embedding_sha256": DIGEST}]
        },
    )

    embedding1: list[float] | str
    embedding2: list[float] | str
    embedding_sha256: str
    threshold: Similarity | None = None
    max_fmr: Rate | None = None


class Comparison(BaseModel):
    """The answer of /compare: the decision that /verify gives for the two images."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "decision": "different",
                    "verified": False,
                    "similarity": 0.12,
                    "threshold": 0.74,
                    "operating_point": "fmr_1e-2",
                    "fmr_at_similarity": 0.61,
                    "model": MODEL_EXAMPLE,
                    "request_id": "5b0e1c8f",
                }
            ]
        }
    )

    decision: Decision
    verified: bool
    similarity: Similarity
    threshold: Similarity
    operating_point: str | None
    fmr_at_similarity: Rate | None
    model: ModelName
    request_id: str


class Limits(BaseModel):
    """What an upload may be."""

    max_image_bytes: int
    max_pixels: int
    min_side_px: int
    max_images: int
    max_faces: int


class Info(BaseModel):
    """The answer of /info: the model that is served, what it scores, and the limits of a request."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "version": "0.1.0",
                    "model": MODEL_EXAMPLE,
                    "checkpoint_sha256": DIGEST,
                    "device": "cpu",
                    "dimension": 4096,
                    "network": {"batch_norm": True, "embedding_activation": "relu"},
                    "preprocessing": {"side_px": 105},
                    "threshold": {"value": 0.1742, "method": "highest accuracy", "split": "validation", "pairs": 440},
                    "operating_points": [
                        {
                            "name": "fmr_1e-2",
                            "max_fmr": 0.01,
                            "threshold": 0.74,
                            "fmr": 0.01,
                            "interval": [0.008, 0.012],
                            "split": "held-out people",
                            "pairs": 500000,
                            "people": 600,
                        }
                    ],
                    "metrics": [{"name": "accuracy at threshold", "split": "test", "value": 0.723, "pairs": 1000}],
                    "provenance": {
                        "experiment": "experiment-2",
                        "seed": 0,
                        "epochs": 20,
                        "data_sha256": DIGEST,
                        "code_version": "0.1.0",
                        "torch_version": "2.15.0",
                        "created_utc": "2026-01-31T12:00:00Z",
                    },
                    "limits": {
                        "max_image_bytes": 20971520,
                        "max_pixels": 50000000,
                        "min_side_px": 32,
                        "max_images": 16,
                        "max_faces": 64,
                    },
                }
            ]
        }
    )

    version: str
    model: ModelName
    checkpoint_sha256: str
    device: str
    dimension: int
    network: AnyNetworkConfig
    preprocessing: PreprocessingConfig
    threshold: Threshold
    operating_points: tuple[OperatingPoint, ...]
    metrics: tuple[Metric, ...]
    provenance: Provenance
    limits: Limits


class Health(BaseModel):
    """The answer of the health routes."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"status": "ready"}]})

    status: Literal["live", "ready"]


class ProblemDetail(BaseModel):
    """Every error answer (RFC 9457)."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "type": "urn:facepair:problem:missing_part",
                    "title": "A required part is missing",
                    "status": 400,
                    "detail": "the part image2 is missing",
                    "code": "missing_part",
                    "field": "image2",
                    "request_id": "5b0e1c8f",
                }
            ]
        }
    )

    type: str
    title: str
    status: int
    detail: str
    code: str
    field: str | None
    request_id: str
