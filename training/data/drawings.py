"""Pictures that are not photographs: a photograph redrawn in flat colours or as a sketch.

H W pixels
"""

import cv2
import numpy as np

from model.arrays import Pixels, Points
from training.data.change import Change, Span, Values, inter_eye_px, rounded


def _cartoon(pixels: Pixels, landmarks: Points, values: Values, _: np.random.Generator) -> Pixels:
    """Few flat colours with dark lines where brightness changes."""
    unit = inter_eye_px(landmarks)
    size = 2 * round(values["smooth"] * unit / 2) + 1
    flat = cv2.medianBlur(cv2.medianBlur(pixels, size), size)
    step = 255 / values["levels"]
    flat = rounded(cv2.medianBlur(rounded((np.floor(flat / step) + 0.5) * step), size))
    return rounded(flat * (1 - values["lines"] * _lines(pixels, values["width"] * unit)[..., None]))


def _sketch(pixels: Pixels, landmarks: Points, values: Values, _: np.random.Generator) -> Pixels:
    """Grey lines on paper: brightness divided by its surroundings'."""
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY).astype(np.float32)
    around = cv2.GaussianBlur(grey, (0, 0), values["width"] * inter_eye_px(landmarks))
    paper = np.clip(grey / np.maximum(around, 1), 0, 1) ** values["pressure"]
    return np.repeat(rounded(values["paper"] * paper)[..., None], 3, axis=2)


def _lines(pixels: Pixels, width_px: float) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """(H, W): 1 where the picture is darker than its surroundings, else 0."""
    grey = cv2.GaussianBlur(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), (0, 0), max(0.3, width_px / 3)).astype(np.float32)
    return ((cv2.GaussianBlur(grey, (0, 0), width_px) - grey) > 6).astype(np.float32)


DRAWINGS = (
    Change(
        name="cartoon",
        condition="not_photograph",
        apply=_cartoon,
        spans={
            "smooth": Span(0.12, 0.06, 0.2),
            "levels": Span(6, 4, 10),
            "lines": Span(0.6, 0.0, 1.0),
            "width": Span(0.05, 0.03, 0.1),
        },
    ),
    Change(
        name="sketch",
        condition="not_photograph",
        apply=_sketch,
        spans={"width": Span(0.15, 0.08, 0.3), "pressure": Span(2, 1, 4), "paper": Span(250, 215, 255)},
    ),
)
