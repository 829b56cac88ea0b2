"""Drawn heads in which the detector finds a face, and scenes composed of them.

Heads are drawn in units of the distance between the eyes, from the point between them. Tilts are clockwise, in degrees.
"""

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFilter
from PIL.Image import Resampling

from model.arrays import Points

# The landmarks of every head, in the detector's order: right eye, left eye, nose, the mouth's corners.
DRAWN: Points = np.array([(-0.5, 0.0), (0.5, 0.0), (0.0, 0.58), (-0.42, 1.03), (0.42, 1.03)])
# The side of a head's square, in distances between the eyes, and the height of the eyes as a share of that side.
HEAD = 4.0
EYES_AT = 0.42
FINE_PX = 640

Colour = tuple[int, int, int]


@dataclass(frozen=True, kw_only=True)
class Placed:
    """A head in a scene: the person, the point between the eyes, the distance between them, and the tilt."""

    person: int
    at: tuple[float, float]
    inter_eye_px: float
    tilt_deg: float = 0.0

    @property
    def landmarks(self) -> Points:
        """The head's landmarks in the scene, float64 (5, 2)."""
        angle = math.radians(self.tilt_deg)
        turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
        found: Points = DRAWN @ turn.T * self.inter_eye_px + np.array(self.at)
        return found


def scene(*heads: Placed, size: tuple[int, int] = (640, 480), ground: Colour = (96, 108, 120)) -> Image.Image:
    """A colour picture of that size with the heads in it; later heads cover earlier ones."""
    picture = Image.new("RGB", size, ground)
    for head in heads:
        side = max(1, round(HEAD * head.inter_eye_px))
        small = drawn_face(head.person).resize((side, side), Resampling.BOX)
        turned = small.rotate(-head.tilt_deg, Resampling.BICUBIC, expand=True)
        angle, below = math.radians(head.tilt_deg), (0.5 - EYES_AT) * side
        x, y = head.at[0] - math.sin(angle) * below, head.at[1] + math.cos(angle) * below
        picture.paste(turned, (round(x - turned.width / 2), round(y - turned.height / 2)), turned)
    return picture


def head_at(person: int, x: float = 320, y: float = 220, inter_eye_px: float = 60, tilt_deg: float = 0) -> Placed:
    """A head, by default in the middle of a scene of the default size."""
    return Placed(person=person, at=(x, y), inter_eye_px=inter_eye_px, tilt_deg=tilt_deg)


# Its earlier name, by which scripts outside the repository still call it.
beheld = head_at


def too_small() -> Image.Image:
    """A picture with a face that is found but has too few pixels between its eyes, since it is narrowed."""
    return scene(head_at(58, 150, 150, 9.5), size=(300, 300)).resize((240, 300))


@functools.cache
def drawn_face(person: int) -> Image.Image:
    """A head on a transparent ground (RGBA, FINE_PX square); `person` decides its features."""
    draws = np.random.default_rng([person, 23])
    head = _Pen()
    skin = _shaded((224, 178, 148), draws.uniform(0.5, 1.1))
    hair = _shaded((120, 90, 64), draws.uniform(0.15, 1.9))
    wide = draws.uniform(0.9, 1.12)
    head.ellipse((0, 0.12), (wide + draws.uniform(0.12, 0.4), 1.5), hair)
    head.box((-0.5, 1.2, 0.5, 2.6), _shaded(skin, 0.8))
    head.ellipse((0, 0.42), (wide + 0.1, 1.42), _shaded(skin, 0.88))
    head.ellipse((0, 0.4), (wide, 1.32), skin)
    head.ellipse((draws.uniform(-0.3, 0.3), -1.0), (wide * 0.9, draws.uniform(0.2, 0.55)), hair)
    _draw_features(head, draws, skin, hair)
    return head.picture.filter(ImageFilter.GaussianBlur(FINE_PX / 200))


def _draw_features(head: "_Pen", draws: np.random.Generator, skin: Colour, hair: Colour) -> None:
    brow, eye, lips = draws.uniform(0.03, 0.12), draws.uniform(0.09, 0.16), draws.uniform(0.05, 0.15)
    iris = _shaded((90, 110, 120), draws.uniform(0.3, 1.2))
    for side in (-0.5, 0.5):
        head.ellipse((side, 0.0), (0.3, 0.22), _shaded(skin, 0.84))
        head.ellipse((side, 0.0), (0.24, eye), (236, 232, 228))
        head.ellipse((side, 0.0), (eye, eye), iris)
        head.ellipse((side, 0.0), (0.06, 0.06), (12, 10, 10))
        head.ellipse((side * 1.04, -0.3), (0.3, brow), hair)
    head.polygon([(-0.07, 0.05), (0.07, 0.05), (0.2, 0.66), (-0.2, 0.66)], _shaded(skin, 0.93))
    head.ellipse((0, 0.58), (0.14, 0.12), _shaded(skin, 1.06))
    for side in (-0.1, 0.1):
        head.ellipse((side, 0.68), (0.06, 0.035), _shaded(skin, 0.45))
    head.ellipse((0, 1.03), (0.42, lips), _shaded((176, 84, 80), draws.uniform(0.6, 1.2)))
    head.box((-0.4, 1.02, 0.4, 1.05), (92, 40, 40))


def _shaded(colour: Sequence[int], share: float) -> Colour:
    red, green, blue = (min(255, round(value * share)) for value in colour)
    return red, green, blue


class _Pen:
    """Draws in units of the distance between the eyes."""

    def __init__(self) -> None:
        self.picture = Image.new("RGBA", (FINE_PX, FINE_PX), (0, 0, 0, 0))
        self._draw = ImageDraw.Draw(self.picture)

    def ellipse(self, centre: tuple[float, float], radii: tuple[float, float], colour: Colour) -> None:
        (x, y), (rx, ry) = centre, radii
        self._draw.ellipse((*_px(x - rx, y - ry), *_px(x + rx, y + ry)), fill=colour)

    def box(self, edges: tuple[float, float, float, float], colour: Colour) -> None:
        self._draw.rectangle((*_px(*edges[:2]), *_px(*edges[2:])), fill=colour)

    def polygon(self, corners: Sequence[tuple[float, float]], colour: Colour) -> None:
        self._draw.polygon([_px(*corner) for corner in corners], fill=colour)


def _px(x: float, y: float) -> tuple[float, float]:
    return (0.5 + x / HEAD) * FINE_PX, (EYES_AT + y / HEAD) * FINE_PX
