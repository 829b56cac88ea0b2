"""Changes by the camera, the light and the file: blur, noise, few pixels, JPEG, colour, exposure, tight crops.

H W pixels
"""

import io

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from model.arrays import Pixels, Points
from training.data.change import Change, Span, Values, encode, face_coordinates, inter_eye_px, rounded

# The power that is nearly sRGB's curve.
GAMMA = 2.2
# A tight crop that would be smaller is not made.
LEAST_SIDE_PX = 32


def _defocus(pixels: Pixels, landmarks: Points, values: Values, _: np.random.Generator) -> Pixels:
    """A disc, the image of a point out of focus behind a round aperture."""
    radius = values["radius"] * inter_eye_px(landmarks)
    x, y = _kernel_places(radius)
    return _filtered(pixels, np.clip(radius + 0.5 - np.hypot(x, y), 0, 1))


def _motion(pixels: Pixels, landmarks: Points, values: Values, _: np.random.Generator) -> Pixels:
    """A straight line, along which the camera or the head moved."""
    length, angle = values["length"] * inter_eye_px(landmarks), np.radians(values["angle_deg"])
    x, y = _kernel_places(length / 2)
    along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    return _filtered(pixels, np.clip(length / 2 + 0.5 - np.abs(along), 0, 1) * np.clip(1 - np.abs(across), 0, 1))


def _kernel_places(radius_px: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    reach = int(np.ceil(radius_px)) + 1
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1].astype(np.float64)
    return x, y


def _filtered(pixels: Pixels, kernel: NDArray[np.float64]) -> Pixels:
    return np.asarray(cv2.filter2D(pixels, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REPLICATE), np.uint8)


def _few_pixels(pixels: Pixels, landmarks: Points, values: Values, _: np.random.Generator) -> Pixels:
    """Reduced until so many pixels are between the eyes, then enlarged again."""
    share = min(1.0, values["inter_eye_px"] / inter_eye_px(landmarks))
    height, width = pixels.shape[:2]
    small = cv2.resize(pixels, (round(width * share), round(height * share)), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)


def _noise(pixels: Pixels, landmarks: Points, values: Values, draws: np.random.Generator) -> Pixels:
    """Gaussian noise of a deviation in grey levels; `grain` is the size of its squares, `colour` how coloured it is."""
    height, width = pixels.shape[:2]
    side = max(values["grain"] * inter_eye_px(landmarks), 1.0)
    size = (max(1, round(height / side)), max(1, round(width / side)))
    grey, coloured = draws.standard_normal((*size, 1)), draws.standard_normal((*size, 3))
    grain = (grey + values["colour"] * coloured) / np.sqrt(1 + values["colour"] ** 2)
    grown = cv2.resize(grain.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
    return rounded(pixels + values["deviation"] / grown.std() * grown)


def _jpeg(pixels: Pixels, _: Points, values: Values, __: np.random.Generator) -> Pixels:
    data = encode(pixels, round(values["quality"]))
    return np.asarray(Image.open(io.BytesIO(data)))


def _grey(pixels: Pixels, _: Points, __: Values, ___: np.random.Generator) -> Pixels:
    return np.repeat(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2).astype(np.uint8)


def _colour_cast(pixels: Pixels, _: Points, values: Values, __: np.random.Generator) -> Pixels:
    """Red and blue times opposite factors, green times its own; each value is a factor's logarithm."""
    return rounded(pixels * np.exp([values["warm"], values["green"], -values["warm"]]))


def _exposure(pixels: Pixels, _: Points, values: Values, __: np.random.Generator) -> Pixels:
    """The light times a factor."""
    return rounded(255 * np.minimum(1, (pixels / 255) ** GAMMA * values["factor"]) ** (1 / GAMMA))


def _low_contrast(pixels: Pixels, _: Points, values: Values, __: np.random.Generator) -> Pixels:
    return rounded(values["grey"] + values["contrast"] * (pixels - pixels.mean(axis=(0, 1))))


def _side_light(pixels: Pixels, landmarks: Points, values: Values, _: np.random.Generator) -> Pixels:
    """Light that falls off across the face, bright on the right side of the picture if `side` is above 0."""
    x, y = face_coordinates(pixels, landmarks)
    across = np.copysign(x, x * values["side"]) + values["slant"] * y
    level = values["dark"] + (1 - values["dark"]) / (1 + np.exp(-across / values["softness"]))
    return rounded(pixels * (level * values["bright"])[..., None])


def _backlight(pixels: Pixels, landmarks: Points, values: Values, _: np.random.Generator) -> Pixels:
    """A bright ground behind a dark and hazy face."""
    x, y = face_coordinates(pixels, landmarks)
    away = np.hypot(x / 1.2, (y - 0.35) / 1.6)
    ground = 1 / (1 + np.exp(-(away - 1) / 0.12))[..., None]
    return rounded(
        (values["dark"] * pixels + values["haze"]) * (1 - ground) + (0.3 * pixels + values["ground"]) * ground
    )


def _tight_crop(pixels: Pixels, landmarks: Points, values: Values, _: np.random.Generator) -> Pixels:
    """The picture cut at these distances beside and above the eyes and below the mouth."""
    unit, (height, width) = inter_eye_px(landmarks), pixels.shape[:2]
    low = np.floor(landmarks.min(axis=0) - unit * np.array([values["beside"], values["above"]])).astype(int)
    high = np.ceil(landmarks.max(axis=0) + unit * np.array([values["beside"], values["below"]])).astype(int)
    (left, top), (right, bottom) = low.clip(0).tolist(), np.minimum(high, [width, height]).tolist()
    if min(right - left, bottom - top) < LEAST_SIDE_PX:
        return pixels
    return np.ascontiguousarray(pixels[top:bottom, left:right])


CAMERA_CHANGES = (
    Change(name="out of focus", condition="blurred", apply=_defocus, spans={"radius": Span(0.1, 0.06, 0.16)}),
    Change(
        name="motion blur",
        condition="blurred",
        apply=_motion,
        spans={"length": Span(0.35, 0.2, 0.6), "angle_deg": Span(20, 0, 180)},
    ),
    Change(name="few pixels", condition="blurred", apply=_few_pixels, spans={"inter_eye_px": Span(11, 8, 14)}),
    Change(
        name="noise",
        condition="noisy",
        apply=_noise,
        spans={"deviation": Span(25, 12, 32), "grain": Span(0, 0, 0.045), "colour": Span(1, 0, 3)},
    ),
    Change(name="hard JPEG", condition="compressed", apply=_jpeg, spans={"quality": Span(8, 5, 14)}),
    Change(name="grey", condition="grey", apply=_grey, spans={}),
    Change(
        name="colour cast",
        condition="colour_cast",
        apply=_colour_cast,
        spans={"warm": Span(0.4, -0.5, 0.5), "green": Span(-0.05, -0.15, 0.15)},
    ),
    Change(name="overexposed", condition="overexposed", apply=_exposure, spans={"factor": Span(5, 3, 8)}),
    Change(name="dark", condition="dark", apply=_exposure, spans={"factor": Span(0.06, 0.02, 0.12)}),
    Change(
        name="low contrast",
        condition="low_contrast",
        apply=_low_contrast,
        spans={"contrast": Span(0.3, 0.15, 0.45), "grey": Span(150, 90, 190)},
    ),
    Change(
        name="one-sided light",
        condition="one_sided_light",
        apply=_side_light,
        spans={
            "side": Span(1, -1, 1),
            "slant": Span(0.2, -0.3, 0.5),
            "dark": Span(0.12, 0.05, 0.25),
            "softness": Span(0.2, 0.1, 0.4),
            "bright": Span(1.2, 1.0, 1.6),
        },
    ),
    Change(
        name="backlight",
        condition="backlit",
        apply=_backlight,
        spans={"dark": Span(0.3, 0.2, 0.45), "haze": Span(15, 0, 40), "ground": Span(200, 150, 255)},
    ),
    Change(
        name="tight crop",
        condition="cropped_tightly",
        apply=_tight_crop,
        spans={"beside": Span(0.4, 0.2, 0.6), "above": Span(0.5, 0.25, 0.8), "below": Span(0.35, 0.2, 0.6)},
    ),
)
