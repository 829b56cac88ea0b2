"""Rates and decisions of pairs that share conditions."""

import math
from typing import Any

import numpy as np
import pytest

from model.conditions import (
    ALIKE,
    ConditionRates,
    decide_for_pair,
    likeness_of,
    likeness_table,
    rate_of_pair,
    shared_conditions,
    shown_conditions,
    with_shown,
)
from model.similarity import Calibration
from tests.model.test_similarity import curve

# Clean photographs: 1% at 0.7. Blurred ones: 10% at 0.7, 1% at 0.8. Of drawings nothing is known.
CLEAN = curve()
BLURRED = ConditionRates(
    condition="blurred", false_match_curve=curve(thresholds=(0.1, 0.7, 0.9), rates=(1.0, 0.1, 0.001))
)
MILD = ConditionRates(condition="dark", false_match_curve=curve(rates=(0.5, 0.05, 0.001)))
DRAWN = ConditionRates(condition="not_photograph")
RATES = (BLURRED, MILD, DRAWN)


@pytest.mark.parametrize(
    ("left", "right", "shared"),
    [
        ([["blurred", "dark"]], [["dark"]], ["dark"]),
        ([["blurred"], ["dark"]], [["noisy", "dark"], [], ["blurred"]], ["blurred", "dark"]),
        ([["blurred"]], [[]], []),
        ([], [["blurred"]], []),
        ([["not_photograph"]], [["blurred"]], ["not_photograph"]),
        ([["blurred", "not_photograph"]], [["blurred"]], ["blurred", "not_photograph"]),
    ],
)
def test_a_pair_is_in_what_both_sides_are_in_or_a_drawing_is_in(
    left: list[list[str]], right: list[list[str]], shared: list[str]
) -> None:
    assert shared_conditions(left, right) == shared_conditions(right, left) == shared


@pytest.mark.parametrize(
    ("shared", "rate"), [([], 0.01), (["blurred"], 0.1), (["dark"], 0.01), (["blurred", "dark"], 0.1)]
)
def test_rate_is_the_largest_of_the_curves(shared: list[str], rate: float) -> None:
    found = rate_of_pair(0.7, CLEAN, RATES, shared)
    assert found
    assert found.value == pytest.approx(rate)
    assert not found.is_bound


def test_rate_is_a_bound_where_no_pair_was_as_similar() -> None:
    # A condition's pairs were less similar than clean ones, and fewer: its lowest rate is the larger one.
    few = ConditionRates(condition="few", false_match_curve=curve(thresholds=(0.1, 0.5, 0.6), rates=(1.0, 0.1, 0.03)))
    last = CLEAN.thresholds[-1]
    cases = [(last, [], 0.001, False), (last + 0.01, [], 0.001, True), (0.7, ["few"], 0.03, True)]
    for value, shared, rate, is_bound in cases:
        found = rate_of_pair(value, CLEAN, [few], shared)
        assert found
        assert found.value == pytest.approx(rate)
        assert found.is_bound == is_bound


@pytest.mark.parametrize("shared", [["not_photograph"], ["blurred", "not_photograph"], ["unheard of"]])
def test_rate_is_unknown_where_a_condition_was_not_measured(shared: list[str]) -> None:
    assert rate_of_pair(0.7, CLEAN, RATES, shared) is None
    assert rate_of_pair(0.7, None, RATES, []) is None


@pytest.mark.parametrize(
    ("value", "shared", "decision"),
    [
        (0.69, [], "different"),
        (0.69, ["not_photograph"], "different"),
        (0.7, [], "same"),
        (0.7, ["blurred"], "undecided"),
        (0.7, ["dark"], "same"),
        (0.79, ["blurred", "dark"], "undecided"),
        (0.81, ["blurred", "dark"], "same"),
        (0.999, ["not_photograph"], "undecided"),
        (0.999, ["unheard of"], "undecided"),
    ],
)
def test_decision_is_same_only_where_every_shared_condition_keeps_the_rate(
    value: float, shared: list[str], decision: str
) -> None:
    assert decide_for_pair(value, 0.7, 0.01, RATES, shared) == decision


def test_likeness_is_the_inner_product_of_thumbnails_of_length_one() -> None:
    """The thumbnail has half of an embedding's squared length."""
    draws = np.random.default_rng(0)
    faces, thumbnails = draws.normal(size=(4, 5)), draws.normal(size=(4, 3))
    thumbnails /= np.linalg.norm(thumbnails, axis=1, keepdims=True)
    faces /= np.linalg.norm(faces, axis=1, keepdims=True)
    embeddings = (np.concatenate([faces, thumbnails], axis=1) / np.sqrt(2)).astype(np.float32)
    wanted = thumbnails @ thumbnails.T
    assert likeness_table(embeddings, (5, 3)) == pytest.approx(wanted, abs=1e-6)
    assert likeness_of(embeddings[:2], embeddings[2:], (5, 3)) == pytest.approx([wanted[0, 2], wanted[1, 3]], abs=1e-6)
    assert likeness_table(embeddings, (8,)) is None
    with pytest.raises(ValueError, match="no thumbnails"):
        likeness_of(embeddings, embeddings, (8,))

    limit = float(np.sort(wanted[0])[-2]) - 0.01  # the first picture is alike to itself and to one other
    alike = ConditionRates(condition=ALIKE, likeness=limit, false_match_curve=curve())
    shown = shown_conditions(embeddings[[0] * 4], embeddings, (5, 3), (BLURRED, alike))
    assert shown == [[ALIKE] if each >= limit else [] for each in wanted[0]]
    assert shown.count([ALIKE]) == 2
    assert shown_conditions(embeddings, embeddings, (8,), (BLURRED,)) == [[]] * 4


@pytest.mark.parametrize(
    ("shared", "shown", "known"),
    [
        (None, [], None),
        ([], [], []),
        (None, [ALIKE], [ALIKE]),
        (["blurred"], [ALIKE], [ALIKE, "blurred"]),
        (["blurred"], [], ["blurred"]),
    ],
)
def test_what_embeddings_show_is_known_even_if_pictures_are_not(
    shared: list[str] | None, shown: list[str], known: list[str] | None
) -> None:
    assert with_shown(shared, shown) == known


@pytest.mark.parametrize("shared", [[], ["blurred"], ["not_photograph"]])
def test_without_a_wanted_rate_nothing_is_undecided(shared: list[str]) -> None:
    assert decide_for_pair(0.7, 0.7, None, RATES, shared) == "same"
    assert decide_for_pair(0.69, 0.7, None, RATES, shared) == "different"


@pytest.mark.parametrize(
    ("changes", "wanted", "least"),
    [
        ({}, 0.1, 0.5),
        ({}, 0.01, 0.7),
        ({}, 0.001, 0.9),
        ({}, 0.0009, math.inf),
        ({"rates": (0.5, 0.1, 0.001)}, 0.5, 0.0),
        ({"rates": (1.0, 0.01, 0.01)}, 0.01, 0.5),
    ],
)
def test_least_similarity_is_where_the_curve_falls_to_the_rate(
    changes: dict[str, Any], wanted: float, least: float
) -> None:
    found = curve(**changes)
    assert found.least_similarity(wanted) == pytest.approx(least)
    if 0 < least < math.inf:
        assert found.rate_at(least) == pytest.approx(wanted)
        assert found.rate_at(least - 0.01) > wanted


def test_nothing_is_enough_where_no_rate_was_measured() -> None:
    assert DRAWN.least_similarity(0.5) == math.inf


def test_rates_follow_similarities_to_another_scale_and_bias() -> None:
    old, new = Calibration(scale=1.5, bias=0.2), Calibration(scale=3.0, bias=-0.5)
    found = BLURRED.after(old, new).false_match_curve
    assert found
    assert BLURRED.false_match_curve
    for threshold, rate in zip(BLURRED.false_match_curve.thresholds, BLURRED.false_match_curve.rates, strict=True):
        logit = (math.log(threshold / (1 - threshold)) - old.bias) / old.scale
        moved = 1 / (1 + math.exp(-(new.scale * logit + new.bias)))
        assert found.rate_at(moved) == pytest.approx(rate)
    assert DRAWN.after(old, new) is DRAWN


def test_rates_at_the_ends_survive_another_scale() -> None:
    ends = ConditionRates(condition="dark", false_match_curve=curve(thresholds=(0.0, 0.5, 1.0)))
    found = ends.after(Calibration(), Calibration(scale=2.0)).false_match_curve
    assert found
    assert curve(thresholds=found.thresholds, rates=found.rates) == found
