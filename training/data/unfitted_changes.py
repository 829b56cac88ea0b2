"""Changes that nothing is fitted on: the same conditions as in `changes`, drawn in other ways.

They show whether what was fitted finds a condition, or only how one program draws it.

H W pixels
"""

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from model.arrays import Pixels, Points
from training.data.change import Change, Span, Values, inter_eye_px, rounded


def _gaussian(pixels: Pixels, landmarks: Points, values: Values, _: np.random.Generator) -> Pixels:
    blurred = Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(values["deviation"] * inter_eye_px(landmarks)))
    return np.asarray(blurred)


def _speckled(pixels: Pixels, _: Points, values: Values, draws: np.random.Generator) -> Pixels:
    """Noise that grows with brightness, the same in all channels, and single black and white pixels."""
    noisy = pixels * (1 + values["speckle"] * draws.standard_normal((*pixels.shape[:2], 1)))
    chance = draws.random((*pixels.shape[:2], 1))
    noisy = np.where(chance < values["salt"], 255, np.where(chance > 1 - values["salt"], 0, noisy))
    return rounded(noisy)


def _bleached(pixels: Pixels, _: Points, values: Values, __: np.random.Generator) -> Pixels:
    """All levels times a factor and raised, without a camera's curve."""
    return rounded(pixels * values["factor"] + values["raised"])


def _half_shadow(pixels: Pixels, landmarks: Points, values: Values, _: np.random.Generator) -> Pixels:
    """A hard shadow over one half of the picture, divided along the nose."""
    nose = landmarks[2]
    shade = np.ones(pixels.shape[:2], np.float32)
    shade[:, : round(float(nose[0]))] = values["dark"]
    soft = cv2.GaussianBlur(shade, (0, 0), values["softness"] * inter_eye_px(landmarks))
    return rounded(pixels * soft[..., None])


def _square_crop(pixels: Pixels, landmarks: Points, values: Values, _: np.random.Generator) -> Pixels:
    """A square around the landmarks' middle, enlarged as portals do."""
    middle, half = landmarks.mean(axis=0), values["half"] * inter_eye_px(landmarks)
    box = (*(middle - half).tolist(), *(middle + half).tolist())
    left, top = max(0.0, box[0]), max(0.0, box[1])
    right, bottom = min(float(pixels.shape[1]), box[2]), min(float(pixels.shape[0]), box[3])
    cut = Image.fromarray(pixels).crop((round(left), round(top), round(right), round(bottom)))
    return np.asarray(cut.resize((2 * cut.width, 2 * cut.height), Image.Resampling.BICUBIC))


def _plain_glasses(pixels: Pixels, landmarks: Points, values: Values, _: np.random.Generator) -> Pixels:
    """Two black ellipses and a line."""
    picture = Image.fromarray(pixels)
    pen, unit = ImageDraw.Draw(picture), inter_eye_px(landmarks)
    pen.line([tuple(eye) for eye in landmarks[:2].tolist()], fill=(10, 10, 10), width=max(1, round(0.06 * unit)))
    for x, y in landmarks[:2].tolist():
        wide, high = values["width"] * unit, values["height"] * unit
        pen.ellipse((x - wide, y - high, x + wide, y + high), fill=(15, 15, 18))
    return np.asarray(picture)


def _plain_mask(pixels: Pixels, landmarks: Points, values: Values, _: np.random.Generator) -> Pixels:
    """A polygon of one colour from the nose to the chin."""
    right_eye, left_eye, nose, right_mouth, left_mouth = landmarks
    down = (right_mouth + left_mouth) / 2 - (right_eye + left_eye) / 2
    across, bridge = (left_eye - right_eye) * values["wide"], nose - 0.15 * down
    mouth = (right_mouth + left_mouth) / 2
    corners = [bridge, bridge + across + 0.15 * down, mouth + 0.8 * across, mouth + 0.4 * across + 0.7 * down]
    corners += [mouth - 0.4 * across + 0.7 * down, mouth - 0.8 * across, bridge - across + 0.15 * down]
    picture = Image.fromarray(pixels)
    shade = round(values["shade"])
    ImageDraw.Draw(picture).polygon([tuple(corner) for corner in np.array(corners).tolist()], fill=(shade,) * 3)
    return np.asarray(picture)


def _oil_painting(pixels: Pixels, landmarks: Points, values: Values, _: np.random.Generator) -> Pixels:
    """Strokes: the mean of that quarter around a pixel which varies least (Kuwahara et al. 1976)."""
    side = max(2, round(values["stroke"] * inter_eye_px(landmarks)))
    levels = pixels.astype(np.float32)
    means, variances = [], []
    for anchor in ((0, 0), (side - 1, 0), (0, side - 1), (side - 1, side - 1)):
        mean = cv2.blur(levels, (side, side), anchor=anchor, borderType=cv2.BORDER_REPLICATE)
        square = cv2.blur(levels**2, (side, side), anchor=anchor, borderType=cv2.BORDER_REPLICATE)
        means.append(mean)
        variances.append((square - mean**2).sum(axis=2))
    least = np.argmin(variances, axis=0)
    return rounded(np.choose(least[..., None], means))


def _pencil(pixels: Pixels, landmarks: Points, values: Values, _: np.random.Generator) -> Pixels:
    """Grey strokes by OpenCV's own filter."""
    spread = values["spread"] * inter_eye_px(landmarks)
    grey, _coloured = cv2.pencilSketch(
        np.ascontiguousarray(pixels[..., ::-1]), sigma_s=spread, sigma_r=values["contrast"], shade_factor=0.04
    )
    return np.repeat(np.asarray(grey, np.uint8)[..., None], 3, axis=2)


UNFITTED_CHANGES = (
    Change(name="Gaussian blur", condition="blurred", apply=_gaussian, spans={"deviation": Span(0.07, 0.05, 0.1)}),
    Change(
        name="speckle",
        condition="noisy",
        apply=_speckled,
        spans={"speckle": Span(0.2, 0.1, 0.3), "salt": Span(0.005, 0, 0.01)},
    ),
    Change(
        name="bleached",
        condition="overexposed",
        apply=_bleached,
        spans={"factor": Span(1.7, 1.4, 2.0), "raised": Span(40, 20, 60)},
    ),
    Change(
        name="half in shadow",
        condition="one_sided_light",
        apply=_half_shadow,
        spans={"dark": Span(0.2, 0.1, 0.3), "softness": Span(0.15, 0.05, 0.3)},
    ),
    Change(name="square crop", condition="cropped_tightly", apply=_square_crop, spans={"half": Span(1.15, 1.0, 1.3)}),
    Change(
        name="black ellipses",
        condition="covered_eyes",
        apply=_plain_glasses,
        spans={"width": Span(0.36, 0.3, 0.42), "height": Span(0.26, 0.2, 0.32)},
    ),
    Change(
        name="plain white mask",
        condition="covered_mouth",
        apply=_plain_mask,
        spans={"wide": Span(0.9, 0.8, 1.0), "shade": Span(235, 0, 255)},
    ),
    Change(
        name="plain black mask",
        condition="covered_mouth",
        apply=_plain_mask,
        spans={"wide": Span(0.9, 0.8, 1.0), "shade": Span(25, 0, 255)},
    ),
    Change(
        name="oil painting",
        condition="not_photograph",
        apply=_oil_painting,
        spans={"stroke": Span(0.12, 0.08, 0.16)},
    ),
    Change(
        name="pencil",
        condition="not_photograph",
        apply=_pencil,
        spans={"spread": Span(0.5, 0.2, 1.0), "contrast": Span(0.08, 0.05, 0.12)},
    ),
)
