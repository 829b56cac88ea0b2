"""Heads drawn in the place of a photograph's face: in flat colours, with outlines, in lines alone, or shaded.

Nothing of the photograph stays but where the face is, and in some pictures the ground. Lengths are in distances between
the eyes, from the point between them; y is down.

H W pixels, N points
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import cv2
import numpy as np
from numpy.typing import NDArray

from model.arrays import Pixels, Points
from training.data.change import Change, Span, Values, inter_eye_px, rounded

# How many times larger the image is in which shapes are drawn, which gives them smooth edges.
FINER = 2
# Bits of a pixel's fraction that OpenCV's polygons take.
SHIFT = 4
ANGLES = np.linspace(0, 2 * np.pi, 64, endpoint=False)
# The middle of the mouth in most faces.
MOUTH_AT = 1.05

Colour = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class _Pen:
    """Draws on a finer copy of the picture, in the face's coordinates.

    `line` is an outline's width, 0 for none. With `paper`, every shape has that colour: only lines are seen.
    """

    canvas: Pixels
    axes: NDArray[np.float64]
    origin: NDArray[np.float64]
    line: float
    ink: Colour
    paper: Colour | None = None

    def shape(self, points: Points, colour: Colour, *, outlined: bool = True) -> None:
        """A filled shape (N, 2) with its outline."""
        self.spot(points, colour if self.paper is None else self.paper)
        if outlined and self.line:
            self.stroke(np.concatenate([points, points[:1]]), self.ink, self.line)

    def spot(self, points: Points, colour: Colour) -> None:
        """A filled shape (N, 2) without an outline, in any style."""
        cv2.fillPoly(self.canvas, [self._placed(points)], _channels(colour), cv2.LINE_AA, SHIFT)

    def stroke(self, points: Points, colour: Colour, width: float) -> None:
        """An open line through the points (N, 2)."""
        cv2.polylines(
            self.canvas, [self._placed(points)], False, _channels(colour), self._width(width), cv2.LINE_AA, SHIFT
        )

    def _placed(self, points: Points) -> NDArray[np.int32]:
        return np.asarray(np.rint((points @ self.axes.T + self.origin) * FINER * 2**SHIFT), np.int32)

    def _width(self, width: float) -> int:
        return max(1, round(width * float(np.hypot(*self.axes[:, 0])) * FINER))


def _drawn_head(
    pixels: Pixels, landmarks: Points, values: Values, draws: np.random.Generator, *, paper: bool = False
) -> Pixels:
    """A head of features that are drawn at random; without a parameter that is named, there is none of it."""
    eyes, unit = landmarks[:2].mean(axis=0), inter_eye_px(landmarks)
    right, down = (landmarks[1] - landmarks[0]) / unit, landmarks[3:].mean(axis=0) - eyes
    below = np.array([-right[1], right[0]])
    height = np.clip(float(down @ below) / unit, 0.8, 1.4) / MOUTH_AT
    sheet = _colour(draws, 215, 255, 0.1) if paper else None
    pen = _Pen(
        canvas=_ground(pixels, draws) if sheet is None else _uniform(pixels, sheet),
        axes=np.column_stack([right, below * height]) * unit,
        origin=eyes,
        line=values.get("line", 0.0),
        ink=_colour(draws, 0, 60, 0.2),
        paper=sheet,
    )
    _draw(pen, draws)
    size = pixels.shape[1::-1]
    drawn = np.asarray(cv2.resize(pen.canvas, size, interpolation=cv2.INTER_AREA), np.uint8)
    shaded = _shade(drawn, pen, values["shading"], draws) if "shading" in values else drawn
    return np.asarray(cv2.GaussianBlur(shaded, (0, 0), max(0.2, values["soft"] * unit)), np.uint8)


def _draw(pen: _Pen, draws: np.random.Generator) -> None:
    skin, hair = _skin(draws), _hair(draws)
    wide, top, chin = draws.uniform(0.9, 1.2), draws.uniform(-1.2, -0.85), draws.uniform(1.65, 2.0)
    if draws.random() < 0.85:
        low = draws.choice([draws.uniform(0.4, 1.0), draws.uniform(1.4, 2.6)])
        pen.shape(_oval((0, (top + low) / 2 - 0.15), wide + draws.uniform(0.1, 0.45), (low - top) / 2 + 0.3), hair)
    pen.shape(_corners((-0.5, 1.2, 0.5, 2.8)), skin * draws.uniform(0.75, 0.95))
    cloth = _colour(draws, 20, 240, 0.6)
    pen.shape(np.array([(-0.6, 2.25), (0.6, 2.25), (2.2, 2.9), (2.4, 5), (-2.4, 5), (-2.2, 2.9)]), cloth)
    for side in (-1.0, 1.0):
        pen.shape(_oval((side * wide, 0.25), 0.2, 0.32), skin * 0.95)
    pen.shape(_head(wide, top, chin, draws.uniform(0.15, 0.5)), skin)
    if draws.random() < 0.3:
        for side in (-1.0, 1.0):
            pen.shape(_oval((side * 0.62, 0.72), 0.22, 0.15), _mixed(skin, np.array([240, 120, 110]), 0.35),
                      outlined=False)  # fmt: skip
    if draws.random() < 0.2:
        _draw_beard(pen, draws, hair, wide, chin)
    _draw_mouth(pen, draws, skin)
    _draw_nose(pen, draws, skin)
    for side in (-1.0, 1.0):
        _draw_eye(pen, _like(draws), side, skin, hair)
    if draws.random() < 0.9:
        _draw_fringe(pen, draws, hair, wide, top)
    if draws.random() < 0.2:
        _draw_glasses(pen, draws)


def _draw_eye(pen: _Pen, draws: np.random.Generator, side: float, skin: Colour, hair: Colour) -> None:
    """The eye and its brow; both sides get equal draws."""
    x, wide, high = side * 0.5, draws.uniform(0.2, 0.32), draws.uniform(0.08, 0.2)
    iris, pupil = draws.uniform(0.08, 0.15), draws.uniform(0.03, 0.07)
    if draws.random() < 0.4:
        pen.shape(_oval((x, 0), wide + 0.07, high + 0.09), skin * draws.uniform(0.75, 0.95), outlined=False)
    if draws.random() < 0.12:
        pen.spot(_oval((x, 0), pupil + 0.04, pupil + draws.uniform(0.04, 0.1)), pen.ink)
    else:
        pen.shape(_almond((x, 0), wide, high, draws.uniform(0, 1)), _colour(draws, 215, 255, 0.05))
        shade = _colour(draws, 20, 170, 0.5)
        pen.shape(_oval((x, 0), iris, min(iris, high)), shade, outlined=draws.random() < 0.5)
        pen.spot(_oval((x, 0), pupil, min(pupil, high)), np.array([12.0, 10, 10]))
        if draws.random() < 0.5:
            pen.spot(_oval((x - 0.04, -0.04), 0.025, 0.025), np.full(3, 250.0))
    if draws.random() < 0.5:
        pen.stroke(_arc((x, 0.02), wide + 0.02, -high - 0.03), pen.ink, draws.uniform(0.02, 0.06))
    at, bend, thick = draws.uniform(-0.42, -0.26), draws.uniform(-0.12, 0.0), draws.uniform(0.03, 0.12)
    pen.stroke(_arc((x * 1.04, at), wide + 0.05, bend), hair * 0.8 if pen.paper is None else pen.ink, thick)


def _draw_nose(pen: _Pen, draws: np.random.Generator, skin: Colour) -> None:
    tip, wide = draws.uniform(0.5, 0.68), draws.uniform(0.1, 0.22)
    dark = pen.ink if pen.line else skin * draws.uniform(0.45, 0.8)
    kind = draws.random()
    if kind < 0.4:
        side = draws.choice([-1, 1])
        bridge = np.array([(side * 0.08, 0.05), (side * wide, tip - 0.05), (side * 0.5 * wide, tip), (-wide / 2, tip)])
        pen.stroke(bridge, dark, draws.uniform(0.02, 0.05))
    elif kind < 0.8:
        bridge = np.array([(-0.07, 0.0), (0.07, 0.0), (wide, tip), (-wide, tip)])
        pen.shape(bridge, skin * draws.uniform(0.85, 1.0), outlined=False)
        pen.shape(_oval((0, tip), wide, 0.11), skin * draws.uniform(0.9, 1.1), outlined=False)
    if kind > 0.3:
        for side in (-1.0, 1.0):
            pen.spot(_oval((side * wide * 0.6, tip + 0.08), 0.05, 0.03), dark * 0.7)


def _draw_mouth(pen: _Pen, draws: np.random.Generator, skin: Colour) -> None:
    at, wide, high = MOUTH_AT, draws.uniform(0.3, 0.48), draws.uniform(0.05, 0.16)
    lips = _mixed(skin, np.array([draws.uniform(110, 220), draws.uniform(30, 90), draws.uniform(40, 100)]), 0.7)
    smile, kind = draws.uniform(-0.04, 0.14), draws.random()
    if kind < 0.25:
        pen.stroke(_arc((0, at), wide, smile), pen.ink if pen.line else lips * 0.6, draws.uniform(0.03, 0.07))
    elif kind < 0.65:
        pen.shape(_almond((0, at), wide, high, 0.6), lips)
        pen.stroke(_arc((0, at), wide * 0.9, smile / 2), lips * 0.45, draws.uniform(0.015, 0.04))
    else:
        pen.shape(np.concatenate([_arc((0, at - 0.05), wide, 0.02), _arc((0, at - 0.05), wide, 2 * high)[::-1]]), lips)
        teeth = np.concatenate([_arc((0, at - 0.02), 0.8 * wide, 0.02), _arc((0, at - 0.02), 0.8 * wide, high)[::-1]])
        pen.shape(teeth, np.full(3, 240.0), outlined=False)


def _draw_beard(pen: _Pen, draws: np.random.Generator, hair: Colour, wide: float, chin: float) -> None:
    outer = _head(wide, -1, chin + draws.uniform(0, 0.1), 0.3)
    low = outer[outer[:, 1] > 0.55]
    low = low[np.argsort(np.arctan2(low[:, 0], low[:, 1]))]
    pen.shape(np.concatenate([low, _arc((0, 0.85), 0.75 * wide, -0.12)[::-1]]), hair)


def _draw_fringe(pen: _Pen, draws: np.random.Generator, hair: Colour, wide: float, top: float) -> None:
    edge, part = draws.uniform(-0.85, -0.45), draws.uniform(-0.6, 0.6)
    x = np.linspace(-1, 1, 13)
    teeth = draws.uniform(-0.08, 0.08, 13) * (draws.random() < 0.5)
    line = edge + 0.45 * np.abs(x - part) * draws.uniform(0.2, 1) + teeth
    above = _arc((0, -0.5), wide + draws.uniform(0, 0.12), top - draws.uniform(0.0, 0.35) + 0.5)
    pen.shape(np.concatenate([above, np.column_stack([x * wide, np.minimum(line, 0.1)])[::-1]]), hair)


def _draw_glasses(pen: _Pen, draws: np.random.Generator) -> None:
    wide, high, thick = draws.uniform(0.33, 0.44), draws.uniform(0.22, 0.36), draws.uniform(0.03, 0.07)
    frame, power = _colour(draws, 0, 120, 0.3), draws.uniform(2, 5)
    for side in (-0.5, 0.5):
        lens = _oval((side, 0.05), wide, high, power)
        pen.stroke(np.concatenate([lens, lens[:1]]), frame, thick)
    pen.stroke(np.array([(wide - 0.5, 0.0), (0.5 - wide, 0.0)]), frame, thick)


def _shade(pixels: Pixels, pen: _Pen, strength: float, draws: np.random.Generator) -> Pixels:
    """The head as a lit ball: brighter towards a direction, darker to the rim."""
    x, y = (np.arange(side, dtype=np.float32) for side in pixels.shape[1::-1])
    inverse = np.linalg.inv(pen.axes)
    places = [
        row[0] * (x[None] - pen.origin[0]) + row[1] * (y[:, None] - pen.origin[1]) for row in inverse.astype(np.float32)
    ]
    across, down = places[0] / 1.2, (places[1] - 0.4) / 1.6
    towards = draws.uniform(-1, 1, 2)
    lit = np.minimum(across**2 + down**2, 1) + across * towards[0] + down * towards[1]
    return rounded(pixels * np.clip(1 - 0.35 * strength * lit, 0.3, 1.6)[..., None])


def _ground(pixels: Pixels, draws: np.random.Generator) -> Pixels:
    """The finer copy's ground: one colour, a gradient of two, or the photograph out of focus."""
    kind, one, other = draws.random(), _colour(draws, 30, 250, 0.6), _colour(draws, 30, 250, 0.6)
    if kind < 0.5:
        return _uniform(pixels, one)
    if kind < 0.8:
        canvas = _uniform(pixels, one)
        share = np.linspace(0, 1, len(canvas))[:, None, None]
        canvas[:] = rounded(one + share * (other - one))
        return canvas
    blurred = cv2.GaussianBlur(pixels, (0, 0), draws.uniform(0.5, 8))
    return np.asarray(cv2.resize(blurred, None, fx=FINER, fy=FINER, interpolation=cv2.INTER_LINEAR), np.uint8)


def _uniform(pixels: Pixels, colour: Colour) -> Pixels:
    canvas = np.empty((FINER * pixels.shape[0], FINER * pixels.shape[1], 3), np.uint8)
    canvas[:] = rounded(colour)
    return canvas


def _like(draws: np.random.Generator) -> np.random.Generator:
    """A generator that gives the same numbers each time it is made, until more are drawn from `draws`."""
    return np.random.Generator(type(draws.bit_generator)(int(draws.bit_generator.state["state"]["state"]) % 2**32))


def _oval(centre: Sequence[float], wide: float, high: float, power: float = 2) -> Points:
    sides = np.column_stack([np.cos(ANGLES), np.sin(ANGLES)])
    return np.asarray(np.array(centre) + np.sign(sides) * np.abs(sides) ** (2 / power) * [wide, high])


def _almond(centre: Sequence[float], wide: float, high: float, pointed: float) -> Points:
    """An oval whose ends are points, as far as `pointed`."""
    sides = np.column_stack([np.cos(ANGLES), np.sin(ANGLES)])
    sides[:, 1] *= np.abs(np.sin(ANGLES)) ** pointed
    return np.asarray(np.array(centre) + sides * [wide, high])


def _head(wide: float, top: float, chin: float, narrow: float) -> Points:
    """The outline of a face, narrower towards the chin."""
    middle = 0.2
    sides = np.column_stack([np.cos(ANGLES), np.sin(ANGLES)])
    high = np.where(sides[:, 1] > 0, chin - middle, middle - top)
    across = wide * (1 - narrow * np.clip(sides[:, 1], 0, 1) ** 2)
    return np.column_stack([across * sides[:, 0], middle + high * sides[:, 1]])


def _arc(centre: Sequence[float], wide: float, bend: float) -> Points:
    """A parabola through both ends, `bend` below them in the middle."""
    x = np.linspace(-1, 1, 17)
    return np.array(centre) + np.column_stack([x * wide, bend * (1 - x**2)])


def _corners(box: tuple[float, float, float, float]) -> Points:
    left, top, right, bottom = box
    return np.array([(left, top), (right, top), (right, bottom), (left, bottom)])


def _colour(draws: np.random.Generator, low: float, high: float, coloured: float) -> Colour:
    return np.clip(draws.uniform(low, high) * np.exp(coloured * draws.uniform(-1, 1, 3)), 0, 255)


def _skin(draws: np.random.Generator) -> Colour:
    """Mostly a skin's colour, sometimes any."""
    if draws.random() < 0.15:
        return _colour(draws, 60, 250, 0.5)
    return np.clip(np.array([232, 186, 152]) * draws.uniform(0.3, 1.1) * np.exp(draws.uniform(-0.08, 0.08, 3)), 0, 255)


def _hair(draws: np.random.Generator) -> Colour:
    """Mostly a hair's colour, sometimes any."""
    if draws.random() < 0.2:
        return _colour(draws, 10, 190, 0.5)
    return np.clip(np.array([130, 96, 66]) * draws.uniform(0.1, 1.8) * np.exp(draws.uniform(-0.15, 0.15, 3)), 0, 255)


def _mixed(colour: Colour, other: NDArray[np.float64], share: float) -> Colour:
    return colour + share * (other - colour)


def _channels(colour: Colour) -> tuple[int, int, int]:
    first, second, third = rounded(colour).tolist()
    return first, second, third


DRAWN_HEADS = (
    Change(name="flat head", condition="not_photograph", apply=_drawn_head, spans={"soft": Span(0.01, 0, 0.04)}),
    Change(
        name="outlined head",
        condition="not_photograph",
        apply=_drawn_head,
        spans={"line": Span(0.04, 0.015, 0.09), "shading": Span(0, 0, 0.3), "soft": Span(0.01, 0, 0.03)},
    ),
    Change(
        name="head in lines",
        condition="not_photograph",
        apply=partial(_drawn_head, paper=True),
        spans={"line": Span(0.035, 0.015, 0.07), "soft": Span(0.01, 0, 0.03)},
    ),
    Change(
        name="shaded head",
        condition="not_photograph",
        apply=_drawn_head,
        spans={"shading": Span(0.8, 0.3, 1.4), "soft": Span(0.03, 0.01, 0.06)},
    ),
)
