"""Training pictures for the landmark network: faces aligned by landmarks that the detector agrees on from many starts.

N pictures, H W pixels of a frame
"""

from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import cache, partial
from zlib import crc32

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from model.arrays import Pixels, Points
from model.errors import DataError
from model.imaging.alignment import fit_similarity
from model.imaging.crops import choose, find_faces
from model.imaging.decoding import decode
from model.imaging.detection import FaceFinder
from model.imaging.preprocessing import Alignment, PreprocessingConfig
from model.imaging.refinement import refine_landmarks
from model.imaging.warping import sample
from training.data.album import Key

# A frame's side, and the part of the data set's frame that it shows: enough around the face to turn and move it.
FRAME_PX = 176
FRAME_SHARE = 1.3
# The detector refines the landmarks from so many starts, tilted, scaled and moved at random by these deviations:
# radians, a logarithm, and distances between the eyes.
STARTS = 5
TILT, SCALE, SHIFT = 0.12, 0.06, 0.08
# Pictures are left out whose landmarks differ between starts by more than this, in distances between the eyes.
MOST_SPREAD = 0.05


@dataclass(frozen=True, kw_only=True)
class Frames:
    """Grey frames uint8 (N, H, W) of aligned faces, and their landmarks float32 (N, 5, 2) in pixels of the frame."""

    pixels: Tensor
    landmarks: Tensor
    left_out: int


def make_frames(files: Iterable[tuple[Key, bytes]], config: PreprocessingConfig, processes: int) -> Frames:
    """The frames of pictures that contain a face. `config` has an alignment. Raises DataError if none is left."""
    with ProcessPoolExecutor(processes) as pool:
        made = list(tqdm(pool.map(partial(_make_frame, config), files, chunksize=16), unit=" pictures", disable=None))
    kept = [each for each in made if each]
    if not kept:
        raise DataError("no picture has a face whose landmarks are steady; use photographs of faces")
    pixels, landmarks = (np.stack(each) for each in zip(*kept, strict=True))
    return Frames(
        pixels=torch.from_numpy(pixels), landmarks=torch.from_numpy(landmarks), left_out=len(made) - len(kept)
    )


@cache
def _finder() -> FaceFinder:
    """The detector of this process."""
    return FaceFinder()


def _make_frame(config: PreprocessingConfig, picture: tuple[Key, bytes]) -> tuple[Pixels, np.ndarray] | None:
    """A frame and its landmarks; None without a face, or if the landmarks are not steady."""
    (_, name), data = picture
    assert config.alignment
    photo, finder = decode(data, config), _finder()
    faces = find_faces(photo, finder)
    if not faces:
        return None
    face = faces[choose(faces, "center", photo)]
    first = refine_landmarks(photo, face, config.alignment, finder)
    draws = np.random.default_rng(crc32(name.encode()))
    starts = [replace(face, landmarks=_moved(first, draws)) for _ in range(STARTS)]
    found = np.stack([first, *(refine_landmarks(photo, start, config.alignment, finder) for start in starts)])
    landmarks = np.median(found, axis=0)
    inter_eye = float(np.hypot(*(landmarks[1] - landmarks[0])))
    if np.sqrt(((found - found.mean(axis=0)) ** 2).sum(axis=2).mean()) > MOST_SPREAD * inter_eye:
        return None
    place = fit_similarity(landmarks, frame_template(config.alignment))
    frame = np.rint(sample(photo.grey_pixels, place, FRAME_PX)).clip(0, 255).astype(np.uint8)
    return frame, place(landmarks).astype(np.float32)


def frame_template(alignment: Alignment) -> Points:
    """Where the landmarks of an aligned face are in a frame, float64 (5, 2), in pixels."""
    return alignment.points(FRAME_PX, FRAME_SHARE)


def _moved(landmarks: Points, draws: np.random.Generator) -> Points:
    """Landmarks (5, 2) tilted and scaled around their mean, and moved."""
    tilt, scale = draws.normal(0, TILT), np.exp(draws.normal(0, SCALE))
    cosine, sine = scale * np.cos(tilt), scale * np.sin(tilt)
    middle, inter_eye = landmarks.mean(axis=0), float(np.hypot(*(landmarks[1] - landmarks[0])))
    turned = (landmarks - middle) @ np.array([[cosine, -sine], [sine, cosine]]).T
    moved: Points = turned + middle + draws.normal(0, SHIFT, 2) * inter_eye
    return moved
