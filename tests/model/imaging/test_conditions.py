"""What crops say of how they were photographed, and the conditions found by it."""

import numpy as np
import pytest
from pydantic import ValidationError

from model.arrays import Pixels, Points
from model.imaging.alignment import SimilarityTransform
from model.imaging.conditions import FEATURES, FEATURES_1, RELIABLE_SCORE, ConditionDetector, ConditionDetectors
from model.imaging.crop_features import FEW, SMALL_STEPS, STEPS, features, outside_shares
from model.imaging.preprocessing import PreprocessingConfig
from tests.faces import head_at, scene
from training.learning.experiments import ALIGNED, LFW_ALIGNMENT

SIDE = 100
TEMPLATE: Points = LFW_ALIGNMENT.points(SIDE, 0.6)
SIZE = (float(SIDE), float(SIDE))
CROP: Pixels = np.asarray(scene(head_at(2, 50, 45, 29), size=(SIDE, SIDE)))


def of(
    pixels: Pixels, landmarks: Points = TEMPLATE, size: tuple[float, float] = SIZE, score: float = 0.9
) -> np.ndarray:
    return features(pixels, landmarks, TEMPLATE, size, score)


@pytest.mark.parametrize("side", [40, 100, 105])
def test_number_of_features_is_that_of_the_colour(side: int) -> None:
    crop = np.asarray(scene(head_at(2, side / 2, side / 2, side / 4), size=(side, side)))
    template = LFW_ALIGNMENT.points(side, 0.6)
    for colour, pixels in (("rgb", crop), ("grey", crop[..., 0])):
        found = features(pixels, template, template, (side, side), 0.9)
        assert found.shape == (FEATURES[colour],)
        assert found.dtype == np.float32


@pytest.mark.parametrize("pixels", [np.zeros((SIDE, SIDE, 3), np.uint8), np.full((SIDE, SIDE), 255, np.uint8)])
def test_features_of_uniform_crops_are_finite(pixels: Pixels) -> None:
    assert np.isfinite(of(pixels)).all()


def test_features_differ_by_what_is_changed() -> None:
    plain = of(CROP)
    for changed in (CROP[:, ::-1] // 3, np.asarray(CROP) + np.uint8(1), CROP[..., [2, 1, 0]]):
        assert (of(np.ascontiguousarray(changed)) != plain).any()
    assert (of(CROP, score=0.7) != plain).sum() == 1


def test_the_size_of_a_photograph_beyond_those_of_lfw_changes_nothing() -> None:
    def enlarged(times: float) -> np.ndarray:
        return of(CROP, TEMPLATE * times, (SIDE * times, SIDE * times))

    assert (~np.isclose(enlarged(1.2), enlarged(1.6), atol=1e-6)).sum() == 1
    for one, other in ((2.5, 4), (4, 40), (0.9, 0.3)):
        assert np.allclose(enlarged(one), enlarged(other), atol=1e-6)


def test_shares_outside_the_photograph_are_those_of_its_sides() -> None:
    """A crop that reaches 10 pixels beyond the left edge and 25 beyond the lower one."""
    shifted = SimilarityTransform(np.eye(2), np.array([10.0, 0.0]))
    shares = outside_shares(shifted, (90.0, 75.0), SIDE)
    assert shares == pytest.approx([1 / 12, 0.0, 0.0, 3 / 12, 1 - 11 / 12 * 9 / 12])
    reduced = SimilarityTransform(np.eye(2) / 3, np.array([-1.0, -1.0]))
    assert max(outside_shares(reduced, (310.0, 310.0), SIDE)) == 0


def one_hot(condition: str, place: int, bias: float) -> ConditionDetector:
    weights = [0.0] * 3
    weights[place] = 1.0
    return ConditionDetector(condition=condition, weights=tuple(weights), bias=bias, flagged=0.02)


def test_conditions_are_where_the_linear_function_is_above_0() -> None:
    detectors = ConditionDetectors(detectors=(one_hot("noisy", 0, -1.0), one_hot("blurred", 2, 0.5)))
    for values, found in {(2, 0, 0): ["blurred", "noisy"], (1, 9, -0.6): [], (0, 0, -0.4): ["blurred"]}.items():
        assert detectors.find(np.array(values, np.float32), 0.95) == found
    assert detectors.find(np.array([2, 0, -1], np.float32), RELIABLE_SCORE - 0.01) == ["noisy", "uncertain_face"]


def test_detectors_with_different_numbers_of_weights_are_refused() -> None:
    short = ConditionDetector(condition="noisy", weights=(1.0,), bias=0.0, flagged=0.0)
    with pytest.raises(ValidationError, match="one weight for each feature"):
        ConditionDetectors(detectors=(short, one_hot("blurred", 1, 0.0)))


def test_detectors_suit_aligned_crops_of_their_colour() -> None:
    weights = (0.0,) * FEATURES["rgb"]
    detectors = ConditionDetectors(
        detectors=(ConditionDetector(condition="noisy", weights=weights, bias=0.0, flagged=0.0),)
    )
    coloured = ALIGNED.model_copy(update={"colour": "rgb"})
    assert detectors.suit(coloured)
    assert not detectors.suit(ALIGNED.model_copy(update={"colour": "grey"}))
    assert not detectors.suit(PreprocessingConfig(colour="rgb"))


def test_steps_are_shares_of_pixels_by_their_largest_difference() -> None:
    """The last features, against a loop over the pixels of the crop."""
    grey = np.random.default_rng(3).integers(0, 90, (SIDE, SIDE), dtype=np.uint8)
    largest = [
        max(abs(int(grey[y, x + 1]) - int(grey[y, x])), abs(int(grey[y + 1, x]) - int(grey[y, x])))
        for y in range(SIDE - 1)
        for x in range(SIDE - 1)
    ]
    at_most = [sum(each <= step for each in largest) / len(largest) for step in STEPS]
    wanted = [np.log(FEW + share) for share in at_most[:SMALL_STEPS]] + [np.log(FEW + 1 - share) for share in at_most]
    found = of(grey)[-2 * len(wanted) : -len(wanted)]
    assert found == pytest.approx(np.array(wanted), abs=1e-4)


def test_detectors_of_version_1_weigh_the_first_features() -> None:
    draws = np.random.default_rng(5)
    weights = draws.standard_normal(FEATURES_1["rgb"])
    detector = ConditionDetector(condition="noisy", weights=tuple(weights.tolist()), bias=0.5, flagged=0.0)
    old = ConditionDetectors(features=1, detectors=(detector,))
    coloured = ALIGNED.model_copy(update={"colour": "rgb"})
    assert old.suit(coloured)
    assert not ConditionDetectors(features=2, detectors=(detector,)).suit(coloured)
    found = of(CROP)
    assert len(found) == FEATURES["rgb"] > len(weights)
    assert old.values(found) == pytest.approx(found[: len(weights)] @ weights + 0.5)
