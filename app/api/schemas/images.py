"""What answers say of an image and its faces."""

from typing import Annotated

from pydantic import BaseModel, Field

from app.api.schemas.decisions import Conditions
from model.imaging.formats.recognition import Format


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
    `score` is how sure the detector is, 0 to 1; `conditions` are null for models that know none. `crop`, if asked
    for, is what the network sees, as a PNG in base64.
    """

    index: int
    box: Box
    landmarks: dict[str, Point]
    score: float
    quality: QualityReport
    conditions: Conditions | None
    warnings: list[str]
    crop: Annotated[str | None, Field(exclude_if=lambda crop: crop is None)] = None


class ImageReport(BaseModel):
    """What was found in one uploaded image, after its orientation was applied.

    `orientation` is how the file stores the upright picture, 1 to 8 as in Exif; for HEIF and AVIF it is 1, since their
    decoders apply it. `face` is the one that was taken; `faces` has all of them where all were asked for; `warnings`
    are of the image and the taken face. With a model of whole pictures, and with face=none, no face was looked for.
    """

    field: str
    width: int
    height: int
    orientation: Annotated[int, Field(ge=1, le=8)]
    format: Format
    faces_found: int | None
    face: FaceReport | None
    faces: list[FaceReport] | None
    warnings: list[str]


def milliseconds(seconds: float) -> float:
    """A time as answers have it."""
    return round(seconds * 1000, 2)


class Timing(BaseModel):
    """Milliseconds: until all images are decoded and their faces straightened, with the wait for a free decoder; of it
    for the faces, in the image that took longest; waiting for the network; the network; the whole request.
    """

    decode: float
    face: float
    queue: float
    inference: float
    total: float
