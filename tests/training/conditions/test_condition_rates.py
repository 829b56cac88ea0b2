"""False match curves of pairs that share a condition."""

from dataclasses import replace

import numpy as np
import pytest

from model.imaging.conditions import ConditionDetector, ConditionDetectors
from tests.model.test_similarity import curve
from training.conditions import condition_rates
from training.conditions.condition_rates import highest, measure_conditions
from training.conditions.held_out import HeldOutPictures, Scored

OWNER = np.array([0, 0, 1, 2, 2, 3])


class Pictures(HeldOutPictures):
    """Six pictures of four people."""

    def __init__(self) -> None:
        self.owner = OWNER


def scored(change: str, condition: str, seed: int, flagged: list[int]) -> Scored:
    """Random similarities; the only feature is 1 in the pictures that are flagged, and the fifth has no face."""
    draws = np.random.default_rng(seed)
    table = draws.uniform(0, 1, (6, 6)).astype(np.float32)
    features = np.zeros((6, 1), np.float32)
    features[flagged] = 1
    there = np.arange(6) != 4
    return Scored(
        change=change,
        condition=condition,
        there=there,
        table=np.asarray((table + table.T) / 2, np.float32),
        to_unchanged=table,
        likeness=None,
        features=features,
        detected=np.where(there, 0.9, 0.0),
    )


DETECTORS = ConditionDetectors(
    detectors=tuple(
        ConditionDetector(condition=name, weights=(1.0,), bias=-0.5, flagged=0.0)
        for name in ("blurred", "noisy", "not_photograph")
    )
)


def test_rates_are_over_impostor_pairs_that_share_the_condition(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(condition_rates, "MIN_PICTURES", 3)
    parts = [
        scored("motion", "blurred", 1, [0, 1, 2, 3, 4]),
        scored("noise", "noisy", 2, [0, 2]),
        scored("sketch", "not_photograph", 3, [0, 1, 2, 3]),
    ]
    found = {each.condition: each.false_match_curve for each in measure_conditions(Pictures(), parts, DETECTORS)}
    assert list(found) == ["blurred", "noisy", "not_photograph", "uncertain_face"]
    assert found["noisy"] is found["not_photograph"] is found["uncertain_face"] is None
    blurred = found["blurred"]
    assert blurred
    scores = [
        float(parts[0].table[one, other]) for one in (0, 1, 2, 3) for other in (0, 1, 2, 3)
        if one < other and OWNER[one] != OWNER[other]
    ]  # fmt: skip
    assert (blurred.pairs, blurred.people, blurred.split) == (len(scores), 3, "held-out people, motion")
    assert blurred.rate_at(max(scores)) == pytest.approx(1 / len(scores))
    assert blurred.rate_at(min(scores)) == 1


def test_uncertain_faces_of_all_changes_count_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(condition_rates, "MIN_PICTURES", 3)
    parts = [scored("motion", "blurred", 1, []), scored("noise", "noisy", 2, [])]
    parts[0].detected[[0, 2]] = 0.7
    parts[1].detected[[3, 5]] = 0.8
    [*_, uncertain] = measure_conditions(Pictures(), parts, DETECTORS)
    assert uncertain.condition == "uncertain_face"
    assert uncertain.false_match_curve
    assert uncertain.false_match_curve.pairs == 2
    wanted = sorted([float(parts[0].table[0, 2]), float(parts[1].table[3, 5])])
    assert uncertain.false_match_curve.thresholds == pytest.approx(wanted)


def test_rates_of_alike_pictures_are_those_of_unchanged_strangers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(condition_rates, "MIN_ALIKE", 2)
    clean, blurred = scored("as they are", "", 1, []), scored("motion", "blurred", 2, [])
    likeness = np.full((6, 6), 0.2)
    strangers = [(one, other) for one, other in ((0, 2), (1, 3), (2, 3)) if OWNER[one] != OWNER[other]]
    for one, other in strangers:
        likeness[one, other] = likeness[other, one] = 0.5
    parts = [replace(clean, likeness=likeness), replace(blurred, likeness=np.ones((6, 6)))]
    alike = measure_conditions(Pictures(), parts, DETECTORS)[0]
    assert (alike.condition, alike.likeness) == ("alike", 0.45)
    assert alike.false_match_curve
    assert alike.false_match_curve.pairs == len(strangers)
    wanted = sorted(float(clean.table[pair]) for pair in strangers)
    assert alike.false_match_curve.thresholds == pytest.approx(wanted)
    monkeypatch.setattr(condition_rates, "MIN_ALIKE", len(strangers) + 1)
    assert measure_conditions(Pictures(), parts, DETECTORS)[0].condition == "blurred"


def test_highest_of_several_curves_is_at_each_threshold_the_highest_rate() -> None:
    one = curve(split="one", pairs=1000)
    other = curve(thresholds=(0.2, 0.6, 0.8), rates=(0.9, 0.2, 0.0001), split="other", pairs=500)
    found = highest([one, other])
    assert (found.pairs, found.split) == (500, "one; other")
    for value in found.thresholds:
        assert found.rate_at(value) == pytest.approx(max(one.rate_at(value), other.rate_at(value)))
    assert highest([one]) is one
