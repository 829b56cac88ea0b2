"""Smooth refinement: small changes of the detector's outputs move the landmarks a little, and all places count."""

import numpy as np
import pytest
from numpy.typing import NDArray

from model.arrays import Points
from model.imaging.crops import find_faces
from model.imaging.decoding import Photo, decode
from model.imaging.detection import MIRRORED, Face, FaceFinder
from model.imaging.refinement import MIDDLE_PX, NEAR, NO_WEIGHT, REFINE_PX, STEPS, refine_landmarks
from tests.drawing import encode
from tests.faces import head_at, scene
from training.learning.experiments import ALIGNED, LFW_ALIGNMENT

SMOOTH = LFW_ALIGNMENT.model_copy(update={"refinement": "smooth"})
TEMPLATE = SMOOTH.points(REFINE_PX) - (REFINE_PX - MIDDLE_PX) / 2
INTER_EYE_PX = float(TEMPLATE[1, 0] - TEMPLATE[0, 0])
Rows = NDArray[np.float32]


class ChangedFinder(FaceFinder):
    """Changes the scores and landmarks that the detector finds by random shares of this size."""

    def __init__(self, share: float, seed: int) -> None:
        super().__init__()
        self._share, self._draws = share, np.random.default_rng(seed)

    def score_places(self, frames: Rows) -> tuple[Rows, Rows]:
        scores, landmarks = super().score_places(frames)
        return self._changed(scores), self._changed(landmarks)

    def _changed(self, values: Rows) -> Rows:
        return (values * (1 + self._share * self._draws.standard_normal(values.shape))).astype(np.float32)


class ScriptedFinder(FaceFinder):
    """Gives these scores, and landmarks so many pixels to the right of the template, in each frame."""

    def __init__(self, scores: list[float], off_px: list[float]) -> None:
        self._scores, self._off_px = scores, off_px

    def score_places(self, frames: Rows) -> tuple[Rows, Rows]:
        places = TEMPLATE + np.array(self._off_px)[:, None, None] * [1, 0]
        found = [places, (places * [-1, 1] + [MIDDLE_PX, 0])[:, MIRRORED]]
        assert np.array_equal(frames[0], frames[1, :, ::-1])
        return np.array([self._scores] * 2, np.float32), np.array(found, np.float32)


def photograph() -> Photo:
    return decode(encode(scene(head_at(0, tilt_deg=12))), ALIGNED)


def moved_px(scores: list[float], off_px: list[float]) -> float:
    """How far the first landmark moves to the right."""
    face = Face(box=(0, 0, 1, 1), landmarks=TEMPLATE + 100, score=1)
    moved = refine_landmarks(photograph(), face, SMOOTH, ScriptedFinder(scores, off_px)) - face.landmarks
    assert np.abs(moved - moved[0, 0] * np.array([1, 0])).max() < 1e-3
    return float(moved[0, 0])


def weight(score: float, off_px: float) -> float:
    return float((score - NO_WEIGHT) ** 2 * np.exp(-((off_px / INTER_EYE_PX) ** 2) / (2 * NEAR**2)))


@pytest.mark.parametrize("seed", range(3))
def test_small_change_of_the_outputs_moves_landmarks_little(finder: FaceFinder, seed: int) -> None:
    picture = photograph()
    [face] = find_faces(picture, finder)
    plain, changed = (
        refine_landmarks(picture, face, SMOOTH, each) for each in (finder, ChangedFinder(share=1e-6, seed=seed))
    )
    moved: Points = np.abs(plain - changed)
    assert 0 < moved.max() < 1e-2


def test_each_step_goes_as_far_as_it_should() -> None:
    assert moved_px([0.9], [5.0]) == pytest.approx(sum(STEPS) * 5, abs=1e-3)


def test_places_count_by_score_and_distance() -> None:
    one, other = weight(0.9, 6), weight(0.7, -9)
    expected = (6 * one - 9 * other) / (one + other)
    assert moved_px([0.9, 0.7, 0.5], [6.0, -9.0, 3.0]) == pytest.approx(sum(STEPS) * expected, abs=1e-3)


def test_landmarks_stay_if_no_place_scores_enough() -> None:
    assert moved_px([0.5, 0.2], [6.0, -9.0]) == pytest.approx(0, abs=1e-6)
    assert moved_px([0.99], [20 * INTER_EYE_PX]) == pytest.approx(0, abs=1e-6)
