"""`python -m benchmarks.steadiness`: how much a similarity moves when a photo, or the detector, changes a little.

The pairs are of people whom Experiment 5 held out, never of test people. The first picture of each pair is changed; the
second stays. The rows compare the kinds of refinement: the change of the similarity, and how far the corners of the
face (the middle of the crop) are from where they should be, in distances between the eyes. Random changes are the same
for all kinds.

P pairs; points are (x, y)
"""

import argparse
import io
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, Literal

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from PIL.Image import Transpose

from benchmarks.command import add_weights, new_parser, run_benchmark
from benchmarks.record import Figures, Row
from model.arrays import Embeddings, Points
from model.checkpoint import load
from model.errors import DataError
from model.imaging.alignment import SimilarityTransform, fit_similarity
from model.imaging.analysis import FACE_SHARE
from model.imaging.crops import Crop, align, choose, find_faces
from model.imaging.decoding import decode
from model.imaging.detection import MIN_SCORE, OVERLAP, FaceFinder, installed_detector
from model.imaging.preprocessing import PreprocessingConfig
from model.imaging.yunet import Rows, YuNet
from model.verifier import Verifier
from training.commands.options import add_data, data_source, positive
from training.data import lists
from training.data.album import Key
from training.data.datasets import HoldOut, balanced_pairs, hold_out
from training.data.source import DataSource
from training.statistics.rates import accuracy

# A relative change of each output of the detector, as another processor or library might make.
NOISE = 1e-6
REFINEMENTS: tuple[Literal["settled", "smooth", "learned"], ...] = ("settled", "smooth", "learned")
CANVAS = (600, 450)
# How Pillow, whose angles are anticlockwise, turns a picture clockwise.
TRANSPOSES = {90: Transpose.ROTATE_270, 180: Transpose.ROTATE_180, 270: Transpose.ROTATE_90}

# A changed picture's file, and where its points went.
Changed = tuple[bytes, SimilarityTransform]


class NoisyYuNet(YuNet):
    """Multiplies each output of the network by 1 + NOISE times a random number of deviation 1."""

    draws = np.random.default_rng(0)

    def run(self, frames: Rows) -> Rows:
        outputs = super().run(frames)
        return (outputs * (1 + NOISE * self.draws.standard_normal(outputs.shape))).astype(np.float32)


def move(picture: Image.Image, draws: np.random.Generator, *, to: str) -> Changed:
    """A picture shifted, scaled, tilted, or with its middle in a corner of a larger one; its edges are repeated."""
    middle, size, tilt, scale = np.array(picture.size) / 2, picture.size, 0.0, 1.0
    place = middle
    if to == "shift":
        place = middle + draws.uniform(-0.05, 0.05, 2) * size
    elif to == "scale":
        scale = draws.uniform(0.75, 1.3)
    elif to == "corner":
        size = CANVAS
        place = np.array([draws.choice([70, CANVAS[0] - 70]), draws.choice([75, CANVAS[1] - 75])])
    else:
        tilt = np.radians(float(to)) * draws.choice([-1, 1])
    moved = _similarity(scale, tilt, middle, place)
    matrix = moved.matrix
    pixel = np.column_stack([matrix, moved(np.array([[0.5, 0.5]]))[0] - 0.5])
    found = cv2.warpAffine(np.asarray(picture), pixel, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    return encode(Image.fromarray(found), "PNG"), moved


def turn(picture: Image.Image, clockwise_deg: int) -> Changed:
    """A picture turned by a multiple of 90 degrees, every pixel kept."""
    turned = picture.transpose(TRANSPOSES[clockwise_deg])
    middle, place = np.array(picture.size) / 2, np.array(turned.size) / 2
    return encode(turned, "PNG"), _similarity(1.0, np.radians(clockwise_deg), middle, place)


def encode(picture: Image.Image, kind: str, **options: Any) -> bytes:
    """A file with the picture."""
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def _similarity(scale: float, tilt_rad: float, middle: Points, place: Points) -> SimilarityTransform:
    """Scales and tilts clockwise around `middle`, which goes to `place`."""
    cosine, sine = np.cos(tilt_rad), np.sin(tilt_rad)
    matrix = scale * np.array([[cosine, -sine], [sine, cosine]])
    return SimilarityTransform(matrix, place - matrix @ middle)


def unmoved(scale: float = 1.0) -> SimilarityTransform:
    """A transform that only scales."""
    return SimilarityTransform(scale * np.eye(2), np.zeros(2))


CHANGES: dict[str, Callable[[Image.Image, np.random.Generator], Changed]] = {
    "shifted by up to 5%": lambda picture, draws: move(picture, draws, to="shift"),
    "scaled by 0.75 to 1.3": lambda picture, draws: move(picture, draws, to="scale"),
    "tilted by 20 degrees": lambda picture, draws: move(picture, draws, to="20"),
    "tilted by 30 degrees": lambda picture, draws: move(picture, draws, to="30"),
    "turned by 90 degrees": lambda picture, _: turn(picture, 90),
    "turned by 180 degrees": lambda picture, _: turn(picture, 180),
    "turned by 270 degrees": lambda picture, _: turn(picture, 270),
    "JPEG of quality 60": lambda picture, _: (encode(picture, "JPEG", quality=60), unmoved()),
    "half the size": lambda picture, _: (encode(picture.reduce(2), "PNG"), unmoved(0.5)),
    "in a corner": lambda picture, draws: move(picture, draws, to="corner"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit status."""
    parser = new_parser("steadiness", "benchmarks.steadiness", __doc__ or "", rounds=None, cpu_alone=True)
    parser.add_argument("--pairs", type=positive, default=200, help="genuine pairs, and as many impostor pairs")
    add_weights(parser)
    add_data(parser)
    return run_benchmark(parser, arguments, lambda options: _measure(options, data_source(options)))


def read_pairs(source: DataSource, count: int) -> tuple[list[tuple[Key, Key]], NDArray[np.bool_], dict[Key, bytes]]:
    """Pairs of held-out people, whether each is genuine, and the pictures' files. Raises DataError."""
    keys: list[Key] = []
    pictures = {}
    for name, most in sorted(lists.read_people(source.folder / source.train_people).items()):
        pictures[name] = torch.arange(len(keys), len(keys) + most)
        keys += [(name, f"{name}_{number:04d}") for number in range(1, most + 1)]
    pairs = balanced_pairs(hold_out(pictures, HoldOut())[1], HoldOut())
    order = torch.randperm(len(pairs) // 2, generator=torch.Generator().manual_seed(0))[:count]
    pairs = pairs[torch.cat([order, order + len(pairs) // 2])]
    files = source.files({key for pair in pairs.keys_of(keys) for key in pair})
    named = pairs.keys_of(keys)
    if missing := {key for pair in named for key in pair} - files.keys():
        raise DataError(f"{source.images}: {len(missing)} of the pairs' pictures are missing, such as {min(missing)}")
    return named, pairs.same.numpy() > 0.5, files


def see(data: bytes, config: PreprocessingConfig, finder: FaceFinder) -> tuple[Crop | None, float]:
    """The crop of the face nearest the centre, None without a face, and the seconds of the processor."""
    photo = decode(data, config)
    started = time.process_time()
    faces = find_faces(photo, finder)
    crop = align(photo, faces[choose(faces, "center", photo)], config, finder) if faces else None
    return crop, time.process_time() - started


def corners(crop: Crop, config: PreprocessingConfig) -> Points:
    """The corners of the face, float64 (4, 2), in pixels of the image."""
    assert config.alignment
    low, high = (1 - FACE_SHARE) / 2, (1 + FACE_SHARE) / 2
    square = np.array([[x, y] for x in (low, high) for y in (low, high)])
    return fit_similarity(config.alignment.points(1, config.crop), crop.face.landmarks)(square)


def _measure(options: argparse.Namespace, source: DataSource) -> Figures:
    torch.set_num_threads(1)
    checkpoint = load(options.weights)
    verifier, given = Verifier.of(checkpoint, "cpu"), checkpoint.header.preprocessing
    assert given.alignment, "steadiness needs a checkpoint that aligns faces"
    pairs, same, files = read_pairs(source, options.pairs)
    firsts = sorted({left for left, _ in pairs})
    pictures = {key: Image.open(io.BytesIO(files[key])).convert("RGB") for key in firsts}
    finder, noisy = FaceFinder(), FaceFinder()
    noisy._detector = NoisyYuNet(installed_detector().read_bytes(), least_score=MIN_SCORE, overlap=OVERLAP)
    summary: Row = {"genuine_pairs": options.pairs, "impostor_pairs": options.pairs}
    table: list[Row] = []

    def embed(crops: dict[Key, Crop | None]) -> dict[Key, Embeddings]:
        return {key: verifier.embed(crop.pixels[None])[0] for key, crop in crops.items() if crop}

    def compare(first: dict[Key, Embeddings], second: dict[Key, Embeddings]) -> NDArray[np.float64]:
        """float64 (P,); NaN without a face."""
        there = [(first[left], second[right]) if left in first and right in second else None for left, right in pairs]
        return np.array([verifier.compare(*(each[None] for each in both))[0] if both else np.nan for both in there])

    for kind in REFINEMENTS:
        config = given.model_copy(update={"alignment": given.alignment.model_copy(update={"refinement": kind})})
        seen = {key: see(data, config, finder) for key, data in files.items()}
        plain = {key: crop for key, (crop, _) in seen.items()}
        embeddings = embed(plain)
        summary[f"face_cpu_ms_{kind}"] = 1000 * float(np.median([seconds for _, seconds in seen.values()]))

        before = compare(embeddings, embeddings)
        summary[f"accuracy_{kind}"] = accuracy(before, same, 0.5).value
        for name, change in {"the detector's outputs by 1e-6": None, **CHANGES}.items():
            draws = np.random.default_rng(0)
            changed = {key: change(pictures[key], draws) if change else (files[key], unmoved()) for key in firsts}
            crops = {key: see(data, config, finder if change else noisy)[0] for key, (data, _) in changed.items()}
            after = compare(embed(crops), embeddings)
            moved = np.abs(after - before)
            off = [_error(plain[key], crop, changed[key][1], config) for key, crop in crops.items()]
            table.append(
                {
                    "refinement": kind,
                    "change": name,
                    "mean": float(np.nanmean(moved)),
                    "p99": float(np.nanquantile(moved, 0.99)),
                    "largest": float(np.nanmax(moved)),
                    "corners": float(np.nanmean(off)),
                    "without_face": sum(crop is None for crop in crops.values()),
                    "accuracy": float((np.where(same, after >= 0.5, after < 0.5)).mean()),
                }
            )
    return Figures(summary=summary, table=table)


def _error(plain: Crop | None, crop: Crop | None, moved: SimilarityTransform, config: PreprocessingConfig) -> float:
    """The root mean square of the corners' error; NaN without a face."""
    if plain is None or crop is None:
        return float("nan")
    wanted = moved(corners(plain, config))
    inter_eye_px = plain.face.inter_eye_px * moved.scale
    return float(np.sqrt(((corners(crop, config) - wanted) ** 2).sum(axis=1).mean()) / inter_eye_px)


if __name__ == "__main__":
    sys.exit(main())
