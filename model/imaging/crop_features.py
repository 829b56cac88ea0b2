"""Numbers that describe how a crop was photographed: light, blur, noise, colour, covered parts, and what is missing.

They are cheap, and say little of whose face it is. `imaging.conditions` has linear functions of them.

H W pixels, F features, G cells of a grid
"""

from functools import cache
from itertools import chain
from math import hypot, log
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from model.arrays import Features, Pixels, Points
from model.imaging.alignment import SimilarityTransform, fit_similarity

# Cells along a side of the grids of means and deviations, and of the grids of edges and colours.
FINE, COARSE = 8, 4
# Edges are measured in copies of the crop of these sizes.
SCALES = (1.0, 0.5, 0.25)
# Grey levels that count as clipped, and differences of channels that count as none.
BLACK, WHITE, NO_COLOUR = 6, 249, 4
# Differences of neighbouring pixels, in grey levels: more than these, and at most the first of them.
STEPS, SMALL_STEPS = [0, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64], 6
# The copies of the crop in which these are counted.
STEP_SCALES = (1.0, 0.5)
# Added before a logarithm: in grey levels, and to a share of the pixels.
FLOOR = 0.5
FEW = 1e-3
QUANTILES = np.array([2, 10, 25, 50, 75, 90, 98]) / 100
# The crop's resolution, as a share of the photograph's, among LFW's photographs. What finds conditions has learned from
# these alone, so larger and smaller photographs of a face count as at its ends.
RESOLUTIONS = (0.47, 0.92)
# Points along a side of the crop, to see which part of it lies beyond the photograph.
PLACES = 12


def features(pixels: Pixels, landmarks: Points, template: Points, size: tuple[float, float], score: float) -> Features:
    """A crop uint8 (H, W) or (H, W, 3) -> float32 (F,); F is smaller for grey crops.

    `landmarks` (5, 2) are in pixels of the photograph, whose width and height are `size`; `template` (5, 2) is where
    they are in the crop. `score` is the detector's.
    """
    grey = pixels if pixels.ndim == 2 else np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), np.uint8)
    parts = [_light(grey), _edges(grey), _geometry(landmarks, template, size, score, len(grey))]
    if pixels.ndim == 3:
        parts.append(_colours(pixels))
    parts.append(_steps(grey))  # the last, since version 1 had all others
    return np.concatenate(parts, dtype=np.float32)


def _light(grey: Pixels) -> Features:
    """Where it is bright and where flat, in comparison with the whole crop, and how brightness is distributed."""
    levels = grey.astype(np.float32)
    means = _grid(levels, FINE)
    deviations = np.sqrt(np.maximum(_grid(levels * levels, FINE) - means * means, 0))
    mean, deviation = (float(value[0, 0]) for value in cv2.meanStdDev(grey))
    deviation += FLOOR
    relative = (means - mean) / deviation
    low, high = np.sort(means, axis=None)[FINE * FINE // 2 - 1 :][:2].tolist()
    apart = np.abs(means - (low + high) / 2) / deviation  # from the median
    mirrored = np.abs(relative - relative[:, ::-1])[:, : FINE // 2]
    below = _counts(grey).cumsum() / grey.size
    quantiles = np.searchsorted(below, QUANTILES).tolist()
    histogram = [mean, log(deviation), float(below[BLACK]), 1 - float(below[WHITE - 1]), *quantiles]
    columns = relative.sum(axis=0).tolist()
    sides = [abs(sum(columns[: FINE // 2]) - sum(columns[FINE // 2 :])) / (FINE * FINE // 2)]
    parts = (relative, np.log(FLOOR + deviations), apart, mirrored)
    return np.concatenate([*(part.ravel() for part in parts), [*histogram, *sides]], dtype=np.float32)


def _edges(grey: Pixels) -> Features:
    """The strength of edges at several scales, where they are, and whether few pixels have most of them."""
    parts: list[Features] = []
    totals: list[float] = []
    for scale in SCALES:
        small = grey if scale == 1 else _reduced(grey, scale)
        edges = np.abs(cv2.Laplacian(small, cv2.CV_32F))
        totals.append(log(FLOOR + _mean(edges)))
        peaked = log(1 + cv2.norm(edges, cv2.NORM_L2SQR) / edges.size) - 2 * totals[-1]
        parts += [np.log(FLOOR + _grid(edges, COARSE)).ravel(), np.array([totals[-1], peaked], np.float32)]
    across, down = cv2.absdiff(grey[:, 1:], grey[:, :-1]), cv2.absdiff(grey[1:], grey[:-1])
    flat = [1 - cv2.countNonZero(change) / change.size for change in (across, down)]
    wide = max(2, len(grey) // 12)
    # How much brightness changes towards each border, near it: nothing where an edge is repeated.
    near = (across[:, :wide], across[:, -wide:], down[:wide], down[-wide:])
    border = [log(FLOOR + _mean(change)) for change in near]
    parts.append(np.array([*flat, *border, totals[0] - totals[1], totals[1] - totals[2]], np.float32))
    return np.concatenate(parts)


def _steps(grey: Pixels) -> Features:
    """How many pixels hardly differ from their neighbours, and how many differ much: drawings have more of both."""
    parts = []
    for scale in STEP_SCALES:
        small = grey if scale == 1 else _reduced(grey, scale)
        across, down = cv2.absdiff(small[:-1, 1:], small[:-1, :-1]), cv2.absdiff(small[1:, :-1], small[:-1, :-1])
        largest = np.asarray(cv2.max(across, down), np.uint8)
        below = _counts(largest).cumsum()[STEPS] / largest.size
        parts += [np.log(FEW + below[:SMALL_STEPS]), np.log(FEW + np.maximum(1 - below, 0))]
    return np.concatenate(parts)


def _reduced(grey: Pixels, scale: float) -> Pixels:
    side = round(len(grey) * scale)
    return np.asarray(cv2.resize(grey, (side, side), interpolation=cv2.INTER_AREA), np.uint8)


def _colours(pixels: Pixels) -> Features:
    """The differences of the channels: where, how strong, how noisy."""
    red, green, blue = cv2.split(pixels)
    middle = cv2.addWeighted(red, 0.5, blue, 0.5, 0, dtype=cv2.CV_32F)
    pairs = ((red, blue), (green, middle))
    differences = [np.asarray(cv2.subtract(*pair, dtype=cv2.CV_32F), np.float32) for pair in pairs]
    mean = _mean(green) + FLOOR
    cells = [_grid(part, COARSE).ravel() / mean for part in differences]
    strong = cv2.max(*map(np.abs, differences))
    noisy = [log(FLOOR + _mean(np.abs(cv2.Laplacian(part, cv2.CV_32F)))) for part in differences]
    casts = [_mean(part) / mean for part in differences]
    clipped = [_share(channel >= WHITE) for channel in (red, green, blue)]
    rest = [*noisy, *casts, *map(abs, casts), *clipped, log(FLOOR + _mean(strong)), _share(strong < NO_COLOUR)]
    return np.concatenate([*cells, rest], dtype=np.float32)


def _geometry(landmarks: Points, template: Points, size: tuple[float, float], score: float, side_px: int) -> Features:
    """How sure the detector is, how the landmarks differ from the template, and what lies beyond the photograph."""
    transform = fit_similarity(landmarks, template)
    inter_eye = hypot(*(template[1] - template[0]).tolist())
    residuals = ((transform(landmarks) - template) / inter_eye).tolist()
    distances = [hypot(x, y) for x, y in residuals]
    resolution = min(max(transform.scale, RESOLUTIONS[0]), RESOLUTIONS[1])
    found = [score, log(resolution), sum(distances) / len(distances)]
    found += [*chain(*residuals), *(abs(x) for x, _ in residuals)]
    return np.array([*found, *outside_shares(transform, size, side_px)], np.float32)


def outside_shares(transform: SimilarityTransform, size: tuple[float, float], side_px: int) -> list[float]:
    """The shares of the crop that lie to the left and right of the photograph, above, below, and outside it.

    `transform` is from the photograph, of that width and height, to the crop.
    """
    x, y = transform.inverse()(_grid_points(side_px)).T
    sides = (x < 0, x > size[0], y < 0, y > size[1])
    left, right, above, below = sides
    return [np.count_nonzero(where) / len(x) for where in (*sides, left | right | above | below)]


@cache
def _grid_points(side_px: int) -> Points:
    at = (np.arange(PLACES) + 0.5) / PLACES * side_px
    return np.stack(np.meshgrid(at, at), axis=-1).reshape(-1, 2)


def _counts(grey: Pixels) -> NDArray[np.float64]:
    """(H, W) -> (256,): how many pixels have each grey level."""
    return np.asarray(cv2.calcHist([grey], [0], None, [256], [0, 256]), np.float64).ravel()


def _mean(values: NDArray[Any]) -> float:
    """The mean of (H, W), in a fraction of the time that NumPy takes for small arrays."""
    return float(cv2.mean(values)[0])


def _share(where: NDArray[np.bool_]) -> float:
    """The share of True in (H, W)."""
    return float(cv2.countNonZero(where.view(np.uint8)) / where.size)


def _grid(values: Features, cells: int) -> Features:
    """(H, W) -> the means (G, G) of that many cells along each side."""
    return np.asarray(cv2.resize(values, (cells, cells), interpolation=cv2.INTER_AREA), np.float32)
