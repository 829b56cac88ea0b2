"""A named change of a photograph, its parameters, and coordinates in the face.

A change takes the photograph's pixels and the face's landmarks in the unchanged photograph. Lengths are in distances
between the eyes, so that a change looks the same in a photograph of any size.

H W pixels
"""

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from zlib import crc32

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from model.arrays import Array, Pixels, Points

Values = Mapping[str, float]
Spans = Mapping[str, "Span"]
Grid = NDArray[np.float32]
Apply = Callable[[Pixels, Points, Values, np.random.Generator], Pixels]


@dataclass(frozen=True)
class Span:
    """A parameter: its value in a typical bad photograph, and the range from which it is drawn evenly."""

    usual: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Change:
    """A named change, which leaves pictures of the `condition`; its generator draws what no parameter says: grain."""

    name: str
    condition: str
    apply: Apply
    spans: Spans

    @property
    def usual(self) -> dict[str, float]:
        """The parameters of a shared change: the same for all pictures."""
        return {name: span.usual for name, span in self.spans.items()}

    def draw(self, draws: np.random.Generator) -> dict[str, float]:
        """Parameters for one picture."""
        return {name: float(draws.uniform(span.low, span.high)) for name, span in self.spans.items()}

    def __call__(self, pixels: Pixels, landmarks: Points, values: Values, draws: np.random.Generator) -> Pixels:
        """RGB uint8 (H, W, 3) with a face at the landmarks float64 (5, 2) -> the changed photograph, of any size."""
        return self.apply(pixels, landmarks, values, draws)


def generator_for(seed: int, *names: str) -> np.random.Generator:
    """A generator that depends only on the seed and the names, such as those of a change and a picture."""
    return np.random.default_rng([seed, *(crc32(name.encode()) for name in names)])


def inter_eye_px(landmarks: Points) -> float:
    """The distance between the eyes."""
    return float(np.hypot(*(landmarks[1] - landmarks[0])))


def face_coordinates(pixels: Pixels, landmarks: Points) -> tuple[Grid, Grid]:
    """x and y (H, W) of every pixel in the face: the eyes at (-0.5, 0) and (0.5, 0), the mouth's middle at (0, 1).

    The face is mapped without perspective, so a turned head is sheared and narrowed.
    """
    eyes, mouth = landmarks[:2].mean(axis=0), landmarks[3:].mean(axis=0)
    axes = np.column_stack([landmarks[1] - landmarks[0], mouth - eyes])
    if abs(np.linalg.det(axes)) < 0.2 * np.square(axes[:, 0]).sum():  # the mouth lies beside the eyes
        axes[:, 1] = [-axes[1, 0], axes[0, 0]]
    inverse = np.linalg.inv(axes)
    height, width = pixels.shape[:2]
    places = np.arange(width)[None] + 0.5 - eyes[0], np.arange(height)[:, None] + 0.5 - eyes[1]
    x, y = (sum(axis * place for axis, place in zip(row, places, strict=True)) for row in inverse)
    return x.astype(np.float32), y.astype(np.float32)


def encode(pixels: Pixels, quality: int) -> bytes:
    """RGB uint8 (H, W, 3) -> a JPEG file."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality)
    return file.getvalue()


def rounded(values: Array) -> Pixels:
    """Grey levels of any number type -> uint8, at most 0 to 255."""
    levels: Pixels = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    return levels
