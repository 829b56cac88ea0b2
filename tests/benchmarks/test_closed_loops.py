"""What is made of known loads, and wrk's script against a real service."""

import shutil
from pathlib import Path

import pytest

from benchmarks.closed_loops import Measured, Turn, closed_loop_figures, measure_closed_loops


def turn(good: int, refused: int = 0, others: int = 0) -> Turn:
    return Turn(
        good=good, refused=refused, others=others, errors=0, seconds=2.0, p50_ms=10, p99_ms=20, client_cores=0.1
    )


def test_ratios_are_to_the_best_rate_of_the_same_round() -> None:
    measured = Measured(
        default={4: [turn(80), turn(40)], 64: [turn(90, refused=300), turn(30, others=1)]},
        endless={4: [turn(100), turn(40)], 64: [turn(90), turn(50)]},
    )
    figures = closed_loop_figures(measured)
    assert (figures.summary["rounds"], figures.summary["peak_pairs_per_s"]) == (2, 37.5)
    few, many = figures.table
    assert (few["connections"], few["good_per_s"]) == (4, 30)
    assert few["good_to_peak"] == pytest.approx(0.8)
    assert many["good_to_peak_low"] == pytest.approx(0.6)
    assert many["good_to_peak_high"] == pytest.approx(0.9)
    assert (many["refused_per_s"], many["others"]) == (75, 1)
    assert few["endless_to_peak"] == pytest.approx(0.9)


@pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk is not installed: apt-get install wrk")
def test_wrk_counts_the_answers_of_a_real_service(checkpoint_path: Path) -> None:
    measured = measure_closed_loops(checkpoint_path, "cpu", [2, 32], rounds=1, seconds=1)
    for turns in (measured.default, measured.endless):
        for [one] in turns.values():
            assert one.good > 0
            assert (one.others, one.errors) == (0, 0)
            assert one.client_cores > 0
    assert all(one.refused == 0 for [one] in measured.endless.values())
