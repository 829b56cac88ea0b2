"""Detectors of conditions: what is found in drawn features."""

import numpy as np
import pytest
from numpy.typing import NDArray

from model.arrays import Features
from training.conditions import detectors
from training.conditions.detectors import fit_detectors, replaced
from training.conditions.examples import Examples

DRAWS = np.random.default_rng(4)


def examples(count: int, raised: float = 6) -> Examples:
    """Features of deviation 1, the first raised in blurred pictures, the second in noisy ones."""
    rows, conditions = DRAWS.standard_normal((3 * count, 5)), np.repeat(["", "blurred", "noisy"], count)
    rows[conditions == "blurred", 0] += raised
    rows[conditions == "noisy", 1] += raised
    return of_kinds(rows.astype(np.float32), conditions)


def of_kinds(features: Features, conditions: NDArray[np.str_]) -> Examples:
    return Examples(features=features, conditions=conditions, left_out=np.arange(len(features)) % 4 == 0)


def test_detectors_find_their_condition_and_flag_few_clean_pictures() -> None:
    clean = DRAWS.standard_normal((500, 5)).astype(np.float32)
    found = fit_detectors(examples(200), clean)
    assert [each.condition for each in found.detectors] == ["blurred", "noisy"]
    other = examples(100)
    flagged = found.values(other.features) > 0
    for number, name in enumerate(["blurred", "noisy"]):
        assert flagged[other.conditions == name, number].mean() > 0.95
        assert flagged[(other.conditions != name) & (other.conditions != ""), number].mean() < 0.2
        on_clean = (found.values(clean)[:, number] > 0).mean()
        assert on_clean == pytest.approx(found.detectors[number].flagged)
        assert on_clean < detectors.FLAGGED / 2  # a lower limit would find no more


def test_limit_of_a_condition_that_is_hard_to_find_flags_as_many_as_allowed() -> None:
    clean = DRAWS.standard_normal((500, 5)).astype(np.float32)
    found = fit_detectors(examples(200, raised=1), clean)
    assert [each.flagged for each in found.detectors] == [detectors.FLAGGED] * 2


def test_weights_are_stored_with_few_digits() -> None:
    found = fit_detectors(examples(50), np.zeros((10, 5), np.float32))
    assert all(value == float(f"{value:.5g}") for each in found.detectors for value in each.weights)


def test_limit_of_a_condition_without_rates_spares_every_other_change() -> None:
    """Pictures of one change are like drawings in the first feature: only a higher limit tells most of them apart."""
    plain, alike = examples(800), DRAWS.standard_normal((800, 5))
    alike[:, 0] += 4
    names = np.where(plain.conditions == "blurred", "not_photograph", plain.conditions)
    features = np.concatenate([plain.features, alike.astype(np.float32)])
    drawn = of_kinds(features, np.concatenate([names, np.repeat("compressed", 800)]))
    clean = DRAWS.standard_normal((1000, 5)).astype(np.float32)
    found = fit_detectors(drawn, clean, only={"not_photograph"})
    [detector] = found.detectors
    values = found.values(features)[:, 0]
    for name in ("noisy", "compressed"):
        one = (drawn.conditions == name) & drawn.left_out
        assert (values[one] > 0).mean() <= detectors.FLAGGED_OTHERS
    assert (values[drawn.conditions == "not_photograph"] > 0).mean() > 0.3
    assert detector.flagged <= detectors.FLAGGED_NOT_MEASURED
    shifted = fit_detectors(drawn.of(drawn.conditions != "compressed"), clean, only={"not_photograph"})
    assert (shifted.values(alike.astype(np.float32)) > 0).mean() > 5 * detectors.FLAGGED_OTHERS


def test_replaced_detectors_leave_the_others_as_they_were() -> None:
    clean = DRAWS.standard_normal((500, 5)).astype(np.float32)
    few = examples(100)
    old = fit_detectors(of_kinds(few.features[:, :3], few.conditions), clean[:, :3])
    new = fit_detectors(examples(100), clean, only={"noisy"})
    found = replaced(old, new)
    assert [each.condition for each in found.detectors] == ["blurred", "noisy"]
    assert found.detectors[1] == new.detectors[0]
    assert found.values(clean)[:, 0] == pytest.approx(old.values(clean[:, :3])[:, 0])
