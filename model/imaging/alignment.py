"""Straightening a face: one similarity transform takes its landmarks to the template, and the picture with them.

H W pixels; points are (x, y), with the centre of the first pixel at 0.5
"""

import math
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image
from pydantic import BaseModel, ConfigDict, field_validator

from model.arrays import Pixels, Points

# The straightened picture is sampled this many times as finely as it is wanted, and then averaged.
OVERSAMPLING = 2


class Alignment(BaseModel):
    """Where the five landmarks go, as shares of the side of the data set's frame; and which detector finds them."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    template: tuple[tuple[float, float], ...]
    detector_sha256: str

    @field_validator("template")
    @classmethod
    def _check_landmarks(cls, template: tuple[tuple[float, float], ...]) -> tuple[tuple[float, float], ...]:
        if len(set(template)) != 5:
            raise ValueError("a template has five different points")
        return template

    def points(self, side_px: float, crop: float = 1.0) -> Points:
        """The template, float64 (5, 2), in a picture of that side which shows the middle `crop` of the frame."""
        return ((np.array(self.template) - 0.5) / crop + 0.5) * side_px


class SimilarityTransform(NamedTuple):
    """A similarity transform: p -> matrix p + shift; matrix float64 (2, 2) is scale times rotation, shift (2,)."""

    matrix: Points
    shift: Points

    @property
    def scale(self) -> float:
        return float(np.sqrt(np.linalg.det(self.matrix)))

    def __call__(self, points: Points) -> Points:
        """float64 (N, 2) -> float64 (N, 2)."""
        return points @ self.matrix.T + self.shift

    def inverse(self) -> "SimilarityTransform":
        matrix: Points = np.linalg.inv(self.matrix).astype(np.float64)
        return SimilarityTransform(matrix, -matrix @ self.shift)


def fit_similarity(source: Points, target: Points) -> SimilarityTransform:
    """The similarity transform of least squares from source (N, 2) to target (N, 2), without reflection.

    Umeyama, "Least-squares estimation of transformation parameters between two point patterns" (1991).
    """
    source_mean, target_mean = source.mean(axis=0), target.mean(axis=0)
    centred, wanted = source - source_mean, target - target_mean
    left, singular, right = np.linalg.svd(wanted.T @ centred / len(source))
    sign = np.array([1.0, np.sign(np.linalg.det(left) * np.linalg.det(right))])
    scale = float((singular * sign).sum() / (centred**2).sum(axis=1).mean())
    matrix: Points = scale * (left * sign) @ right
    shift: Points = target_mean - matrix @ source_mean
    return SimilarityTransform(matrix, shift)


def warp(picture: Image.Image, transform: SimilarityTransform, side_px: int) -> Pixels:
    """A picture (mode L or RGB) through the transform -> uint8 (H, W) or (H, W, 3) of that side, the edges repeated.

    A picture finer than what is wanted is first reduced by averaging whole pixels, only where it is needed and never
    below what is wanted; then it is sampled once.
    """
    fine = SimilarityTransform(transform.matrix * OVERSAMPLING, transform.shift * OVERSAMPLING)
    factor = math.ceil(1 / fine.scale)
    box = _box(fine, side_px * OVERSAMPLING, factor, picture.size)
    part = np.asarray(picture.reduce(factor, box) if factor > 1 else picture.crop(box))
    # pixels of `part` -> pixels of the fine picture, both with the first pixel's centre at 0 as OpenCV wants it
    matrix = fine.matrix * factor
    shift = fine.matrix @ np.array(box[:2]) + fine.shift + matrix @ np.array([0.5, 0.5]) - 0.5
    size = (side_px * OVERSAMPLING,) * 2
    sampled = cv2.warpAffine(part, np.column_stack([matrix, shift]), size, borderMode=cv2.BORDER_REPLICATE)
    return cv2.resize(sampled, (side_px, side_px), interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)


def _box(transform: SimilarityTransform, side_px: int, factor: int, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """The part of the picture that the transform shows, with a rim of two reduced pixels, inside the picture."""
    corners = transform.inverse()(np.array([[0, 0], [side_px, 0], [0, side_px], [side_px, side_px]], np.float64))
    rim, limit = 2 * factor, np.array(size)
    low = np.clip(np.floor(corners.min(axis=0)) - rim, 0, limit - 1).astype(int)
    high = np.clip(np.ceil(corners.max(axis=0)) + rim, low + 1, limit).astype(int)
    return int(low[0]), int(low[1]), int(high[0]), int(high[1])
