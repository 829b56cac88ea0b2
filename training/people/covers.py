"""Draws glasses, masks and hats on the straightened crops of several people, the same on all.

G pictures, C channels, H W pixels; lengths are in distances between the eyes
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Self

import torch
from torch import Tensor

from model.arrays import Points
from model.imaging.preprocessing import PreprocessingConfig

Between = Callable[[float, float], float]
# The least half width of a soft edge, in distances between the eyes: about a pixel of the crop.
SOFT = 0.03


@dataclass(frozen=True, kw_only=True)
class Eyes:
    """The middle between the eyes and their distance, as shares of the crop's side."""

    x: float
    y: float
    distance: float

    @classmethod
    def of(cls, preprocessing: PreprocessingConfig) -> Self:
        """Where alignment puts them. Raises ValueError without alignment."""
        if preprocessing.alignment is None:
            raise ValueError("without alignment the eyes are anywhere")
        return cls.at(preprocessing.alignment.points(1, preprocessing.crop))

    @classmethod
    def at(cls, landmarks: Points) -> Self:
        """Landmarks (5, 2) as shares of the crop's sides, the right and the left eye first, on one height."""
        right, left = landmarks[:2].tolist()
        return cls(x=(right[0] + left[0]) / 2, y=(right[1] + left[1]) / 2, distance=left[0] - right[0])


def cover(images: Tensor, kind: int, eyes: Eyes, between: Between) -> Tensor:
    """float32 (G, C, H, W), 0..1 -> the same shape with that kind of cover, below COVERS."""
    height, width = images.shape[2:]
    y = ((torch.arange(height) + 0.5) / height - eyes.y)[:, None] / eyes.distance
    x = ((torch.arange(width) + 0.5) / width - eyes.x)[None, :] / eyes.distance
    return KINDS[kind](images, x, y, between)


def glasses(images: Tensor, x: Tensor, y: Tensor, between: Between, *, dark: bool) -> Tensor:
    """Two lenses, a frame around each, a bridge, and temples to the sides."""
    half_width, half_height = between(0.33, 0.49), between(0.22, 0.5)
    power, rim, y = between(2, 5), between(0.02, 0.14), y - between(-0.03, 0.1)
    lens_x = x.abs() - between(0.47, 0.54)
    inner = _superellipse(lens_x, y, half_width, half_height, power)
    outer = _superellipse(lens_x, y, half_width + rim, half_height + rim, power)
    bar = _box(y + between(0, half_height / 2), between(0.015, 0.07)) * _outside(lens_x.abs(), half_width)
    frame = torch.maximum((outer - inner).clamp_min(0), bar)
    opacity = between(0.7, 1) if dark else between(0, 0.25)
    tint = _colour(images, 0.0, 0.25, between) if dark else _colour(images, 0.3, 1, between)
    reflection = between(0, 0.5) * _superellipse(lens_x - between(-0.2, 0.2), y - between(-0.2, 0), 0.12, 0.1, 2)
    seen = _blend(images, _blend_colour(tint, reflection), inner * opacity)
    return _blend(seen, _colour(images, 0, 0.5, between), frame)


def mask(images: Tensor, x: Tensor, y: Tensor, between: Between) -> Tensor:
    """A mask over nose and mouth, with its folds and straps."""
    top, drop = between(0.3, 0.85), between(0, 0.3)
    half_width, bottom = between(0.75, 1.15), between(1.9, 2.6)
    below = _smooth(y - top - drop * (x / half_width) ** 2)
    narrowing = half_width * (1 - between(0.1, 0.5) * ((y - top) / (bottom - top)).clamp(0, 1) ** 2)
    inside = below * _smooth(narrowing - x.abs()) * _smooth(bottom - y)
    strap = _box(y - top - between(0, 0.4) + between(0, 0.4) * x.abs(), 0.03) * _outside(x.abs(), half_width)
    folds = 1 + between(0, 0.15) * torch.sin(between(4, 20) * y) - between(0, 0.25) * x.abs()
    cloth = (_colour(images, 0, 1, between) * folds).clamp(0, 1)
    return _blend(images, cloth, torch.maximum(inside, strap))


def hat(images: Tensor, x: Tensor, y: Tensor, between: Between) -> Tensor:
    """A cap or hair over the forehead, or a shadow of either."""
    edge = -between(0.35, 0.9) + between(-0.2, 0.25) * x**2
    return _blend(images, _colour(images, 0, 0.6, between), _smooth(edge - y) * between(0.7, 1))


KINDS: tuple[Callable[[Tensor, Tensor, Tensor, Between], Tensor], ...] = (
    partial(glasses, dark=True), partial(glasses, dark=False), mask, hat,
)  # fmt: skip
COVERS = len(KINDS)


def _smooth(inside: Tensor) -> Tensor:
    """1 where the distance is positive, 0 where it is negative, with a soft edge."""
    return (inside / (2 * SOFT) + 0.5).clamp(0, 1)


def _box(distance: Tensor, half: float) -> Tensor:
    return _smooth(half - distance.abs())


def _outside(distance: Tensor, edge: float) -> Tensor:
    return _smooth(distance - edge)


def _superellipse(x: Tensor, y: Tensor, half_width: float, half_height: float, power: float) -> Tensor:
    inside = 1 - ((x.abs() / half_width) ** power + (y.abs() / half_height) ** power) ** (1 / power)
    return _smooth(inside * min(half_width, half_height))


def _colour(images: Tensor, low: float, high: float, between: Between) -> Tensor:
    """(C, 1, 1): a shade from low to high, with less or more colour."""
    shade, strength = between(low, high), between(0, 0.5) * between(0, 0.5)
    parts = [shade + strength * between(-1, 1) for _ in range(images.shape[1])]
    return images.new_tensor(parts).clamp(0, 1)[:, None, None]


def _blend_colour(colour: Tensor, light: Tensor) -> Tensor:
    return colour + (1 - colour) * light


def _blend(images: Tensor, over: Tensor, opacity: Tensor) -> Tensor:
    return images + (over - images) * opacity
