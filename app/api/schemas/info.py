"""The bodies of the answers of /info and the health routes."""

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict

from app.api.schemas import examples
from app.api.schemas.decisions import ModelName
from app.engine.sandbox.confinement import Sandbox
from model.checkpoint import Header, Provenance
from model.imaging.preprocessing import PreprocessingConfig
from model.networks.configurations import AnyNetworkConfig
from model.similarity import Metric, OperatingPoint, Threshold


class Limits(BaseModel):
    """What an upload may be: an image, and a request."""

    max_image_bytes: int
    max_pixels: int
    min_side_px: int
    max_images: int
    max_request_bytes: int
    max_request_pixels: int
    max_faces: int


class CalibrationReport(BaseModel):
    """How similarities were fitted to photographs after training: `centred` if a mean embedding is subtracted, the
    scale and bias of logits, and the pictures that it was made on; null if the thresholds are of the training run.
    """

    centred: bool
    scale: float
    bias: float
    made_on: str | None

    @classmethod
    def of(cls, header: Header) -> Self:
        """The calibration of a checkpoint."""
        found = header.calibration
        return cls(centred=bool(found.mean), scale=found.scale, bias=found.bias, made_on=found.made_on or None)


class Info(BaseModel):
    """The answer of /info: the model that is served, what it scores and for which photographs its rates hold, the
    limits of a request, and what the processes that decode images cannot do.
    """

    model_config = ConfigDict(json_schema_extra={"examples": [examples.INFO]})

    version: str
    model: ModelName
    checkpoint_sha256: str
    device: str
    dimension: int
    network: AnyNetworkConfig
    preprocessing: PreprocessingConfig
    calibration: CalibrationReport
    rates_hold_for: str
    threshold: Threshold
    operating_points: tuple[OperatingPoint, ...]
    metrics: tuple[Metric, ...]
    provenance: Provenance
    limits: Limits
    sandbox: Sandbox


class Health(BaseModel):
    """The answer of the health routes."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.HEALTH]})

    status: Literal["live", "ready"]
