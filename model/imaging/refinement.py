"""Refines the landmarks of a face: a network sees the face again, aligned by the landmarks found so far.

"learned" asks the landmark network, "smooth" and "settled" the detector, as older checkpoints do.

H W pixels, A places that the detector scores
"""

import numpy as np
from numpy.typing import NDArray

from model.arrays import Pixels, Points
from model.imaging.alignment import fit_similarity
from model.imaging.decoding import Photo
from model.imaging.detection import MIRRORED, Face, FaceFinder
from model.imaging.preprocessing import Alignment
from model.imaging.warping import sample, warp

# The landmark network sees a face so often.
LOOKS = 2
# The side of the data set's frame when the detector sees a face again.
REFINE_PX = 160
# Settled refinement sees the whole frame, at most this many times.
MAX_REFINEMENTS = 4
# The detector pulls landmarks towards an upright face, so each step but the last goes further than it found.
OVER_RELAXATION = 1.6
# Settled refinement ends when the aligned face moves by less than this share of the distance between the eyes.
CONVERGED = 0.05
# Smooth refinement sees the middle of the frame, a square of this side, three times.
MIDDLE_PX = 96
STEPS = (OVER_RELAXATION, OVER_RELAXATION, 1.0)
# It averages the landmarks of all places. A place weighs nothing at this score, and more with the square of the rest.
NO_WEIGHT = 0.5
# Its weight falls with its landmarks' distance from the template, as a Gaussian of this many distances of the eyes.
NEAR = 0.6
# The template's own weight, which decides where no place scores enough.
TEMPLATE_WEIGHT = 1e-6


def refine_landmarks(photo: Photo, face: Face, alignment: Alignment, finder: FaceFinder) -> Points:
    """Refined landmarks, float64 (5, 2), by the kind of refinement that the alignment names.

    A face thus gets the same landmarks for every position, size and tilt in the photo.
    """
    if alignment.refinement == "learned":
        return _locate(photo, face, finder)
    refine = {"settled": _settle, "smooth": _refine_smoothly}[alignment.refinement]
    return refine(photo, face, alignment, finder)


def _locate(photo: Photo, face: Face, finder: FaceFinder) -> Points:
    """What the landmark network finds at its last look. Each look before aligns the face for the next."""
    landmarks, network = face.landmarks, finder.landmarks
    for _ in range(LOOKS):
        transform = fit_similarity(landmarks, network.template)
        [found] = network.locate(sample(photo.grey_pixels, transform, network.side_px)[None])
        landmarks = transform.inverse()(found.astype(np.float64))
    return landmarks


def _settle(photo: Photo, face: Face, alignment: Alignment, finder: FaceFinder) -> Points:
    """Aligns the face by its landmarks and detects it again, until it stays there."""
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


def _refine_smoothly(photo: Photo, face: Face, alignment: Alignment, finder: FaceFinder) -> Points:
    """A smooth function of the detector's outputs, which small differences between processors move little."""
    landmarks = face.landmarks
    template = alignment.points(REFINE_PX) - (REFINE_PX - MIDDLE_PX) / 2
    for step in STEPS:
        transform = fit_similarity(landmarks, template)
        frame = sample(photo.grey_pixels, transform, MIDDLE_PX)
        scores, places = finder.score_places(np.stack([frame, frame[:, ::-1]]))
        found = transform.inverse()(_mean_landmarks(scores, places, template))
        landmarks = landmarks + step * (found - landmarks)
    return landmarks


def _mean_landmarks(scores: NDArray[np.float32], landmarks: NDArray[np.float32], template: Points) -> Points:
    """Scores (2, A) and landmarks (2, A, 5, 2) of a frame and its mirror image -> their weighted mean (5, 2)."""
    unmirrored = landmarks[1][:, MIRRORED] * [-1, 1] + [MIDDLE_PX, 0]
    points = np.concatenate([landmarks[0], unmirrored], dtype=np.float64)
    inter_eye = template[1, 0] - template[0, 0]
    away = ((points.mean(axis=1) - template.mean(axis=0)) ** 2).sum(axis=1) / inter_eye**2
    weights = np.maximum(0, scores.ravel() - NO_WEIGHT) ** 2 * np.exp(-away / (2 * NEAR**2))
    mean: Points = (np.tensordot(weights, points, 1) + TEMPLATE_WEIGHT * template) / (weights.sum() + TEMPLATE_WEIGHT)
    return mean
