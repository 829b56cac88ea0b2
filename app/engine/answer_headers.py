"""The headers of what a decoder says, which pydantic checks: the numbers' ranges and the lengths of texts.

H W pixels
"""

from typing import Annotated, Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from app.engine.sandbox.confinement import Sandbox
from model.arrays import Pixels
from model.imaging.analysis import AnalysedFace
from model.imaging.detection import Face
from model.imaging.formats.recognition import Format
from model.imaging.quality import Quality

# The end of a traceback has its cause.
FAULT_CHARACTERS = 4000

Text = Annotated[str, StringConstraints(max_length=1000)]
Texts = Annotated[list[Text], Field(max_length=50)]
Seconds = Annotated[float, Field(ge=0)]
Point = tuple[float, float]


class _Header(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class FaceHeader(_Header):
    """A face of an analysis, without its crop."""

    index: Annotated[int, Field(ge=0)]
    box: tuple[float, float, float, float]
    landmarks: tuple[Point, Point, Point, Point, Point]
    score: Annotated[float, Field(ge=0, le=1)]
    turned_deg: Literal[0, 90, 180, 270]
    inter_eye_px: float
    sharpness: float
    brightness: float
    roll_deg: float
    yaw_deg: float
    conditions: Texts | None
    warnings: Texts

    @classmethod
    def of(cls, face: AnalysedFace) -> Self:
        """Of an analysed face."""
        landmarks = face.face.landmarks.tolist()
        about = {"box": tuple(map(float, face.face.box)), "landmarks": landmarks, "score": float(face.face.score)}
        texts = {"conditions": face.conditions, "warnings": face.warnings}
        quality = {name: float(value) for name, value in vars(face.quality).items()}
        return cls.model_validate(
            {"index": face.index, "turned_deg": face.face.turned_deg, **about, **texts, **quality}
        )

    def with_crop(self, pixels: Pixels) -> AnalysedFace:
        """The face with its crop, uint8 (H, W) or (H, W, 3)."""
        face = Face(box=self.box, landmarks=np.array(self.landmarks), score=self.score, turned_deg=self.turned_deg)
        quality = Quality(**{name: getattr(self, name) for name in Quality.__dataclass_fields__})
        return AnalysedFace(
            index=self.index,
            face=face,
            quality=quality,
            pixels=pixels,
            conditions=self.conditions,
            warnings=self.warnings,
        )


class AnalysisHeader(_Header):
    """Of an analysis, whose crops follow it."""

    kind: Literal["analysis"] = "analysis"
    format: Format
    width_px: Annotated[int, Field(ge=1, lt=2**31)]
    height_px: Annotated[int, Field(ge=1, lt=2**31)]
    orientation: Annotated[int, Field(ge=1, le=8)]
    faces: list[FaceHeader]
    faces_found: Annotated[int, Field(ge=0, lt=2**31)] | None
    warnings: Texts
    face_s: Seconds
    decode_s: Seconds
    timed_face: bool


class RefusalHeader(_Header):
    """Of an image that cannot be used; `error` is the name of an ImageError."""

    kind: Literal["refusal"] = "refusal"
    error: str
    message: Text
    decode_s: Seconds | None


class FaultHeader(_Header):
    """Of a failure that is not the image's fault."""

    kind: Literal["fault"] = "fault"
    traceback: Annotated[str, StringConstraints(max_length=FAULT_CHARACTERS)]


class Ready(_Header):
    """A decoder's first message, before it has seen any image."""

    kind: Literal["ready"] = "ready"
    pid: Annotated[int, Field(gt=0, lt=2**31)]
    sandbox: Sandbox


class NotReady(_Header):
    """The first message of a decoder that cannot become ready."""

    kind: Literal["not_ready"] = "not_ready"
    error: Literal["DetectorError", "SandboxError"]
    message: Text
