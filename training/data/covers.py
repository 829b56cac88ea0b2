"""Parts of a face that something covers: glasses, dark or clear, and masks, drawn over the photograph.

H W pixels
"""

import numpy as np

from model.arrays import Array, Pixels, Points
from training.data.change import Change, Grid, Span, Values, face_coordinates, rounded

# What a side of the mask is narrowed by from the cheeks to the chin.
CHIN = 0.45


def _glasses(pixels: Pixels, landmarks: Points, values: Values, _: np.random.Generator) -> Pixels:
    """Two lenses with a frame, a bridge and arms; `power` 2 is an ellipse, 6 nearly a rectangle."""
    x, y = face_coordinates(pixels, landmarks)
    beside = np.abs(x) - values["apart"]
    down = y - values["drop"] - values["slope"] * beside
    size = values["width"] * (1 + values["taper"] * np.where(beside < 0, down, -0.3 * down))
    shape = (np.abs(beside / size) ** values["power"] + np.abs(down / values["height"]) ** values["power"]) ** (
        1 / values["power"]
    )
    edge = values["frame"] / values["height"]
    lens, outer = _inside(1 - shape), _inside(1 + edge - shape)
    bridge = _inside((values["frame"] - np.abs(y - values["drop"] + 0.08 + 0.3 * x**2)) * 8) * _inside(
        (values["apart"] - np.abs(x)) * 8
    )
    arms = _inside((values["frame"] - np.abs(y - values["drop"] + 0.1)) * 8) * _inside(
        (np.abs(x) - values["apart"] - values["width"]) * 8
    )
    frame = np.maximum(outer - lens, np.maximum(bridge * (1 - outer), arms * (np.abs(x) < 1.35))) * (
        values["frame"] > 0
    )
    glass = lens * values["opacity"] * (1 - values["fading"] * np.clip(0.5 + down / values["height"] / 2, 0, 1))
    shine = values["shine"] * np.exp(-(((beside + 0.4 * down + 0.12) / 0.06) ** 2))
    painted = _painted(pixels, glass, _colour(values["shade"], values["warm"]) + 255 * shine[..., None])
    return rounded(_painted(painted, frame, _colour(values["frame_shade"], values["frame_warm"])))


def _mask(pixels: Pixels, landmarks: Points, values: Values, _: np.random.Generator) -> Pixels:
    """Cloth from the nose to the chin, with pleats, shading to the sides, a pattern, and bands to the ears."""
    x, y = face_coordinates(pixels, landmarks)
    top = values["top"] + values["bend"] * x**2
    wide = values["width"] * (1 - CHIN * np.clip((y - 1) / (values["bottom"] - 1), 0, 1) ** 2)
    low = values["bottom"] - 0.35 * x**2
    cloth = _inside((y - top) * 12) * _inside((low - y) * 12) * _inside((wide - np.abs(x)) * 12)
    bands = _inside((0.03 - np.abs(y - top + 0.45 * (np.abs(x) - values["width"]))) * 20) * (
        np.abs(x) > values["width"]
    )
    pleats = values["pleats"] * np.cos(2 * np.pi * (y - top) * values["number"])
    pattern = values["pattern"] * np.sign(np.sin(9 * values["fine"] * x) * np.sin(9 * values["fine"] * y))
    level = 1 + pleats + pattern - values["shading"] * x**2
    colour = _colour(values["shade"], values["warm"]) * level[..., None]
    painted = _painted(pixels, bands * (np.abs(x) < 1.3) * (values["bands"] > 0.5), _colour(200.0, 0.0))
    return rounded(_painted(painted, cloth, colour))


def _inside(depth: Array) -> Grid:
    """1 inside, 0 outside, with a soft edge."""
    return np.asarray(np.clip(0.5 + 8 * depth, 0, 1), np.float32)


def _colour(shade: float, warm: float) -> Grid:
    return np.asarray(shade * np.exp([warm, 0.0, -warm]), np.float32)


def _painted(pixels: Array, share: Array, colour: Array) -> Grid:
    share = share[..., None].astype(np.float32)
    return np.asarray(pixels + share * (colour - pixels), np.float32)


LENSES = {
    "apart": Span(0.52, 0.47, 0.57),
    "drop": Span(0.06, 0.0, 0.12),
    "slope": Span(0.0, -0.08, 0.12),
    "taper": Span(0.2, -0.3, 0.9),
    "width": Span(0.4, 0.3, 0.48),
    "height": Span(0.3, 0.2, 0.4),
    "power": Span(3, 2, 6),
    "frame_shade": Span(25, 0, 140),
    "frame_warm": Span(0.05, -0.2, 0.5),
}
DARK_GLASSES = {
    **LENSES,
    "frame": Span(0.04, 0.0, 0.07),
    "opacity": Span(0.95, 0.75, 1.0),
    "fading": Span(0.1, 0.0, 0.35),
    "shade": Span(20, 0, 55),
    "warm": Span(0.0, -0.3, 0.5),
    "shine": Span(0.1, 0.0, 0.4),
}
CLEAR_GLASSES = {
    **LENSES,
    "height": Span(0.25, 0.17, 0.34),
    "frame": Span(0.045, 0.025, 0.075),
    "opacity": Span(0.06, 0.0, 0.15),
    "fading": Span(0.0, 0.0, 0.5),
    "shade": Span(180, 60, 230),
    "warm": Span(0.0, -0.1, 0.1),
    "shine": Span(0.2, 0.0, 0.8),
}
MASK = {
    "top": Span(0.42, 0.25, 0.62),
    "bend": Span(0.15, -0.05, 0.4),
    "width": Span(0.85, 0.7, 1.05),
    "bottom": Span(1.7, 1.5, 1.95),
    "shade": Span(190, 15, 245),
    "warm": Span(-0.15, -0.5, 0.35),
    "pleats": Span(0.05, 0.0, 0.15),
    "number": Span(3, 1.5, 5),
    "pattern": Span(0.0, -0.12, 0.2),
    "fine": Span(1.5, 0.5, 3),
    "shading": Span(0.15, 0.0, 0.4),
    "bands": Span(1, 0, 1),
}
COVERS = (
    Change(name="dark glasses", condition="covered_eyes", apply=_glasses, spans=DARK_GLASSES),
    Change(name="clear glasses", condition="glasses", apply=_glasses, spans=CLEAR_GLASSES),
    Change(name="mask", condition="covered_mouth", apply=_mask, spans=MASK),
)
