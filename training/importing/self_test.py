"""Tries a network from elsewhere in other ways than it was declared, and finds out whether one is better.

A wrong order of colours or a wrong crop leaves a network usable, and twice as often wrong. So each way is measured on
the same training people, and a declaration fails if another way is surely better.

N people with two pictures each
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from model.arrays import Pixels
from model.errors import DataError
from model.imaging import analysis, decoding
from model.imaging.detection import FaceFinder
from model.imaging.preprocessing import PreprocessingConfig
from model.onnx.embedder import normalise
from model.onnx.session import GraphRunner, unit_rows
from model.onnx.trial import GraphInput
from training.data.album import Album, People
from training.data.source import DataSource
from training.importing.families import VALUES, Declaration, describe_values
from training.statistics.separation import d_primes

PEOPLE, MIN_PEOPLE = 300, 50
# Crops that show less and more than declared.
ZOOMS = (1 / 1.15, 1.15)
# A declaration fails if d' is higher by this share in another way, in this share of draws of people.
MARGIN, CONFIDENCE = 0.03, 0.99
# Means and deviations that differ by less than this share of the deviation cannot be told apart.
ALIKE = 0.01

# How many pictures show whether an embedding depends on its picture. As a share of their length, embeddings of
# different pictures differ by far more, and rounding by less.
LOOKED_AT, LEAST_DIFFERENCE = 16, 1e-5

# Two pictures of each of N people: crops uint8 (N, H, W) or (N, H, W, 3) twice.
Sides = tuple[Pixels, Pixels]
# The crops of the drawn people for a declaration.
CropsOf = Callable[[Declaration], Sides]


@dataclass(frozen=True, kw_only=True)
class Row:
    """A way to feed the network, its d', and by which share d' is higher than as declared, at least and at most."""

    declaration: Declaration
    d_prime: float
    gain: float
    low: float
    high: float

    @property
    def better(self) -> bool:
        return self.low >= MARGIN

    @property
    def maybe_better(self) -> bool:
        """Whether more people might show it to be better."""
        return not self.better and self.gain >= MARGIN

    @property
    def name(self) -> str:
        each = self.declaration
        return f"{each.order}, {describe_values(each.values)}, zoom {each.zoom:.3g}"


def require_variety(declared: Declaration, entry: GraphInput, runner: GraphRunner, album: Album, output: str) -> None:
    """Raises DataError if the network gives different pictures of the album one embedding."""
    places = np.unique(np.linspace(0, len(album.keys) - 1, LOOKED_AT).astype(int)).tolist()
    pixels: Pixels = album.pixels[places].numpy()
    rows = _embed(runner, pixels, declared, declared, entry)
    if np.abs(rows - rows[0]).max() < LEAST_DIFFERENCE and (pixels != pixels[0]).any():
        raise DataError(
            f"the output {output!a} is the same for {len(places)} different pictures; name another by --output, or "
            "check --values, and that the file has its trained weights"
        )


def run_self_test(declared: Declaration, entry: GraphInput, runner: GraphRunner, crops_of: CropsOf) -> list[Row]:
    """All ways that were tried, the declared one first. `runner` runs the network as declared."""

    def measure(way: Declaration) -> NDArray[np.float64]:
        left, right = (_embed(runner, side, way, declared, entry) for side in crops_of(way))
        return np.nan_to_num(d_primes(left, right))

    ways = _ways(declared, entry)
    measured = [measure(way) for way in ways]
    best = ways[int(np.argmax([each[0] for each in measured]))]
    zoomed = [way for way in (replace(best, zoom=best.zoom * zoom) for zoom in ZOOMS) if way.crop <= 1]
    measured += [measure(way) for way in zoomed]
    return [compare(way, each, measured[0]) for way, each in zip([*ways, *zoomed], measured, strict=True)]


def compare(way: Declaration, found: NDArray[np.float64], declared: NDArray[np.float64]) -> Row:
    """The row of a way by its d' and those of the declared way, as `d_primes` gives them."""
    gains = found / declared.clip(1e-6) - 1
    low, high = np.quantile(gains[1:], [1 - CONFIDENCE, CONFIDENCE])
    return Row(declaration=way, d_prime=float(found[0]), gain=float(gains[0]), low=float(low), high=float(high))


def better_than_declared(rows: Sequence[Row]) -> Row | None:
    """The best of the ways that are surely better than the declared one, or None."""
    return max((row for row in rows[1:] if row.better), key=lambda row: row.d_prime, default=None)


def maybe_better_than_declared(rows: Sequence[Row]) -> Row | None:
    """The best of the ways that more people might show to be better than the declared one, or None."""
    return max((row for row in rows[1:] if row.maybe_better), key=lambda row: row.d_prime, default=None)


def format_rows(rows: Sequence[Row], people: int) -> str:
    """A table of the ways that were tried."""
    lines = [f"{people} people with two pictures each; d' and how much higher it is than as declared, with 98%:"]
    for row in rows:
        gain = f"{row.gain:+7.1%}  {row.low:+.1%} to {row.high:+.1%}" if row is not rows[0] else "as declared"
        lines.append(f"{row.name:<36} {row.d_prime:6.2f}  {gain}")
    return "\n".join(lines)


def _ways(declared: Declaration, entry: GraphInput) -> list[Declaration]:
    """Every order of colours with every kind of values, the declared ones first."""
    orders: tuple[Literal["rgb", "bgr"], ...] = ("rgb", "bgr") if entry.channels == 3 else (declared.order,)
    # (x - 127.5) / 127.5 and (x - 127.5) / 128 cannot be told apart.
    kinds = [each for each in VALUES.values() if not _alike(each, declared.values)]
    kinds = [each for number, each in enumerate(kinds) if not any(_alike(each, other) for other in kinds[:number])]
    ways = [replace(declared, order=order, values=values) for values in (declared.values, *kinds) for order in orders]
    return sorted(ways, key=lambda way: way != declared)


def _alike(one: tuple[float, float] | None, other: tuple[float, float] | None) -> bool:
    """Whether two means and deviations make nearly the same numbers."""
    if one is None or other is None:
        return one is other
    (mean, deviation), (other_mean, other_deviation) = one, other
    return abs(mean - other_mean) <= ALIKE * deviation and abs(deviation - other_deviation) <= ALIKE * deviation


def _embed(
    runner: GraphRunner, pixels: Pixels, way: Declaration, declared: Declaration, entry: GraphInput
) -> NDArray[np.float64]:
    images = normalise(pixels, way.preprocessing(entry))
    if way.order != declared.order:
        images = images[:, ::-1]  # the runner turns it again
    return unit_rows(runner.embed(images)).astype(np.float64)


def draw_people(people: People, count: int = PEOPLE, seed: int = 0) -> list[tuple[int, int]]:
    """The places of two pictures in an album, for at most `count` people. Raises DataError if there are too few."""
    several = [people[name][:2].tolist() for name in sorted(people) if len(people[name]) > 1]
    if len(several) < MIN_PEOPLE:
        raise DataError(
            f"the test of the declaration needs {MIN_PEOPLE} people with several pictures; there are {len(several)}; "
            "name more with --train-people, or insist by --trust-me"
        )
    order = torch.randperm(len(several), generator=torch.Generator().manual_seed(seed)).tolist()
    return [(several[number][0], several[number][1]) for number in order[:count]]


class DrawnCrops:
    """Crops of the pictures at some places of an album: those of the album, or made for another zoom."""

    def __init__(self, source: DataSource, album: Album, places: Sequence[tuple[int, int]], entry: GraphInput) -> None:
        self._album, self._places, self._entry, self._finder = album, places, entry, FaceFinder()
        self._files = source.files(album.keys[place] for pair in places for place in pair)

    def __call__(self, way: Declaration) -> Sides:
        config, made = way.preprocessing(self._entry), self._album.preprocessing
        first, second = zip(*self._places, strict=True)
        if config.crop == made.crop:
            return self._album.pixels[list(first)].numpy(), self._album.pixels[list(second)].numpy()
        return self._make(first, config), self._make(second, config)

    def _make(self, places: Sequence[int], config: PreprocessingConfig) -> Pixels:
        files = (self._files[self._album.keys[place]] for place in places)
        photos = (decoding.decode(data, config) for data in files)
        return np.stack([analysis.analyse(photo, "center", config, self._finder).pixels for photo in photos])
