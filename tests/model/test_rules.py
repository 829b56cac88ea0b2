"""Which threshold a rule has."""

import pytest

from model.errors import RuleError
from model.rules import Rule
from model.similarity import FalseMatchCurve, OperatingPoint

CURVE = FalseMatchCurve(
    thresholds=(0.1, 0.3, 0.5, 0.55, 0.6, 0.9), rates=(1.0, 0.3, 0.098, 0.06, 0.03, 0.001),
    split="held out", pairs=9000, people=90,
)  # fmt: skip


def point(max_fmr: float, threshold: float) -> OperatingPoint:
    return OperatingPoint(
        name=f"at {max_fmr:g}", max_fmr=max_fmr, threshold=threshold, fmr=max_fmr, interval=(0.0, 1.0),
        split="held out", pairs=9000, people=90,
    )  # fmt: skip


POINTS = (point(0.1, 0.52), point(0.01, 0.7))


def choose(max_fmr: float, points: tuple[OperatingPoint, ...] = POINTS, curve: FalseMatchCurve | None = CURVE) -> Rule:
    return Rule.choose(None, max_fmr, 0.5, points, curve)


def test_thresholds_never_fall_as_rates_do() -> None:
    """Those of operating points are not exactly those of the curve."""
    rates = [0.99, 0.5, 0.2, 0.11, 0.1, 0.099, 0.05, 0.02, 0.011, 0.01]
    rules = [choose(rate) for rate in rates]
    assert [rule.max_fmr for rule in rules] == rates
    thresholds = [rule.threshold for rule in rules]
    assert thresholds == sorted(thresholds)
    assert thresholds[rates.index(0.99)] == 0.3
    assert thresholds[rates.index(0.099)] == 0.52  # the curve's is lower
    assert thresholds[rates.index(0.02)] == 0.7  # the curve's is higher
    assert [rule.operating_point for rule in rules if rule.operating_point] == ["at 0.1", "at 0.01"]


@pytest.mark.parametrize(
    ("max_fmr", "threshold"), [(0.061, 0.55), (0.06, 0.55), (0.0599, 0.6), (0.05, 0.6), (0.5, 0.3)]
)
def test_no_more_strangers_pass_than_asked_for(max_fmr: float, threshold: float) -> None:
    """Between two measured rates nothing is known of the rate but that it is no higher than the first."""
    assert choose(max_fmr).threshold == threshold


@pytest.mark.parametrize("max_fmr", [0.0, 0.005, 0.00999, 1.0])
def test_rates_below_the_lowest_operating_point_are_refused(max_fmr: float) -> None:
    with pytest.raises(RuleError, match=r"max_fmr can be from 0\.01 to below 1; send such a rate, or a threshold"):
        choose(max_fmr)


def test_without_a_curve_or_points_only_the_points_are_known() -> None:
    assert choose(0.01, curve=None).threshold == 0.7
    with pytest.raises(RuleError, match=r"its max_fmr are 0\.1, 0\.01; send one of these or a threshold"):
        choose(0.05, curve=None)
    with pytest.raises(RuleError, match="it has none; send a threshold"):
        choose(0.05, points=())
