"""All metrics of scored pairs, as one value."""

import numpy as np
import pytest

from model.similarity import OperatingPoint
from tests.training.support.scored import rates_at
from training.metrics import CALIBRATION_ERROR, find_metric
from training.statistics.calibration import calibration_error
from training.statistics.summary import measure

SAME = np.arange(60) % 3 == 0
SCORES = (np.random.default_rng(0).random(60) + SAME) / 2
LEFT = np.arange(60) % 10
RIGHT = np.where(SAME, LEFT, (LEFT + 1 + np.arange(60) % 4) % 10)


def point(name: str, threshold: float) -> OperatingPoint:
    return OperatingPoint(
        name=name, max_fmr=0.1, threshold=threshold, fmr=0.1, interval=(0, 1), split="s", pairs=9, people=9
    )


def test_metrics_over_people_have_the_values_of_those_over_pairs() -> None:
    summary = measure("test", SCORES, SAME, 0.4, people=(LEFT, RIGHT))
    with_interval = {metric.name: metric.value for metric in summary.over_pairs if metric.interval}
    assert {metric.name: metric.value for metric in summary.over_people} == pytest.approx(with_interval)
    for metric in summary.over_people:
        assert metric.interval
        assert metric.interval[0] <= metric.value <= metric.interval[1]
        assert (metric.split, metric.pairs) == ("test", 60)


def test_summary_without_people_has_only_metrics_over_pairs() -> None:
    summary = measure("test", SCORES, SAME, 0.4)
    assert summary.over_people == summary.at_points == ()
    assert len(summary.over_pairs) == 8


@pytest.mark.parametrize("threshold", [0.0, 0.3, float(SCORES[SAME][0]), 0.99])
def test_rates_at_operating_points_are_counted(threshold: float) -> None:
    summary = measure("test", SCORES, SAME, 0.4, points=[point("low", 0.2), point("wanted", threshold)])
    assert len(summary.at_points) == 4
    found = [find_metric(summary.at_points, f"{rate} at wanted") for rate in ("FMR", "FNMR")]
    assert tuple(metric.value for metric in found) == pytest.approx(rates_at(SCORES, SAME, threshold))
    assert [metric.pairs for metric in found] == [int((~SAME).sum()), int(SAME.sum())]


def test_only_calibrated_checkpoints_have_the_calibration_error() -> None:
    summary = measure("test", SCORES, SAME, 0.4)
    assert find_metric(summary.over_pairs, CALIBRATION_ERROR).value == calibration_error(SCORES, SAME)
    assert summary.for_checkpoint(calibrated=True) == summary.over_pairs
    plain = summary.for_checkpoint(calibrated=False)
    assert [metric for metric in summary.over_pairs if metric not in plain] == [
        find_metric(summary.over_pairs, CALIBRATION_ERROR)
    ]
