"""Measures of a face in a photo: size, sharpness, brightness and pose.

H W pixels
"""

import math
from dataclasses import dataclass
from typing import Self

import numpy as np
from pydantic import BaseModel, ConfigDict, model_validator

from model.arrays import Points

# Faces with a smaller distance between the eyes are refused.
MIN_INTER_EYE_PX = 10.0
# Faces below this share of the crop's resolution get a warning.
MIN_RESOLUTION_SHARE = 0.8
# Beyond this the detector begins to miss faces, and reports them as more upright than they are.
MAX_ROLL_DEG = 30.0

# How far the tip of the nose is in front of the eyes, in distances between the eyes: 35 mm of 63 mm in an adult.
NOSE_DEPTH = 0.55


@dataclass(frozen=True, kw_only=True)
class Quality:
    """The measures of one face. Yaw is an estimate from five points, to about 10 degrees; positive to the right."""

    inter_eye_px: float
    sharpness: float
    brightness: float
    roll_deg: float
    yaw_deg: float


class Range(BaseModel):
    """The middle 98% of a measure over the faces that a network was trained on."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    low: float
    high: float

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        if self.low > self.high:
            raise ValueError("a range's low end must not be above its high end")
        return self


class QualityRanges(BaseModel):
    """What a network was trained on: the measures of `Quality` that alignment does not equalise."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sharpness: Range
    brightness: Range
    yaw_deg: Range

    @classmethod
    def of(cls, qualities: list[Quality]) -> Self:
        """The ranges over one or more faces."""

        def middle(name: str) -> Range:
            low, high = np.percentile([getattr(quality, name) for quality in qualities], [1, 99])
            return Range(low=round(float(low), 2), high=round(float(high), 2))

        return cls(sharpness=middle("sharpness"), brightness=middle("brightness"), yaw_deg=middle("yaw_deg"))


def measure(landmarks: Points, *, sharpness: float, brightness: float) -> Quality:
    """The quality of a face from its landmarks, float64 (5, 2) in pixels of the image, and its grey crop's measures."""
    right_eye, left_eye, nose, right_mouth, left_mouth = (complex(x, y) for x, y in landmarks.tolist())
    across = left_eye - right_eye
    down = (right_mouth + left_mouth - right_eye - left_eye) / 2
    offset = nose - (right_eye + left_eye + right_mouth + left_mouth) / 4
    return Quality(
        inter_eye_px=abs(across),
        sharpness=sharpness,
        brightness=brightness,
        roll_deg=math.degrees(math.atan2(across.imag, across.real)),
        yaw_deg=_yaw_deg(across, down, offset),
    )


def _yaw_deg(across: complex, down: complex, offset: complex) -> float:
    """From the nose's offset between the sides of the face: tan(yaw) = offset / (distance of the eyes x NOSE_DEPTH).

    `across` is from eye to eye, `down` from the eyes to the mouth, `offset` from the middle of these four to the nose.
    """
    if not down:
        return 0.0
    sideways = -1j * down / abs(down)
    width = max(abs((across * sideways.conjugate()).real), 1e-6)
    return math.degrees(math.atan2((offset * sideways.conjugate()).real, NOSE_DEPTH * width))


def warnings_of(
    quality: Quality, ranges: QualityRanges | None, wanted_inter_eye_px: float, turned_deg: int = 0
) -> list[str]:
    """A message for each measure of a face that is outside what the network was trained on.

    The tilt is that in the photo after a clockwise turn by `turned_deg`.
    """
    found = []
    tilt_deg = abs((quality.roll_deg + turned_deg + 180) % 360 - 180)
    if quality.inter_eye_px < MIN_RESOLUTION_SHARE * wanted_inter_eye_px:
        found.append(
            f"the face is small: {quality.inter_eye_px:.0f} pixels between the eyes, the network sees "
            f"{wanted_inter_eye_px:.0f}; send a larger image"
        )
    if tilt_deg > MAX_ROLL_DEG:
        found.append(f"the head is tilted by {tilt_deg:.0f} degrees; turn the image upright")
    if ranges is None:
        return found
    if quality.sharpness < ranges.sharpness.low:
        found.append("the face is blurred more than those the network was trained on")
    if quality.brightness < ranges.brightness.low:
        found.append("the face is darker than those the network was trained on")
    if quality.brightness > ranges.brightness.high:
        found.append("the face is brighter than those the network was trained on")
    if not ranges.yaw_deg.low <= quality.yaw_deg <= ranges.yaw_deg.high:
        found.append(f"the head is turned by about {abs(quality.yaw_deg):.0f} degrees; a frontal image is better")
    return found
