"""Two checkouts' services loaded in turns, and the ratios that are made of it."""

import asyncio
from pathlib import Path

import pytest

from benchmarks.turn_about import Bounds, Measured, Turn, measure_turn_about, turn_about_figures

ROOT = Path(__file__).parents[2]


def test_ratios_are_this_checkouts_value_by_the_others() -> None:
    turns = [
        (Turn(per_s=20, median_ms=30, cpu_ms=5), Turn(per_s=10, median_ms=60, cpu_ms=10)),
        (Turn(per_s=30, median_ms=30, cpu_ms=20), Turn(per_s=10, median_ms=30, cpu_ms=10)),
        (Turn(per_s=10, median_ms=30, cpu_ms=10), Turn(per_s=10, median_ms=10, cpu_ms=10)),
    ]
    figures = turn_about_figures(
        Measured(turns={4: turns}, goodput=[(8.0, 10.0)], start_s=(1.0, 2.0), own_bytes=(300, 400))
    )
    assert figures.summary["goodput_ratio"] == pytest.approx(0.8)
    assert (figures.summary["start_ratio"], figures.summary["memory_ratio"]) == (0.5, 0.75)
    [row] = figures.table
    assert (row["connections"], row["per_s"], row["other_per_s"]) == (4, 20, 10)
    assert (row["per_s_ratio"], row["per_s_ratio_low"], row["per_s_ratio_high"]) == (2, 1, 3)
    assert (row["median_ratio"], row["cpu_ratio"]) == (1, 1)


def test_two_real_services_are_loaded_in_turns(checkpoint_path: Path) -> None:
    bounds = Bounds(connections=(1, 2), rounds=2, seconds=0.3)
    measured = asyncio.run(measure_turn_about([checkpoint_path] * 2, "cpu", ROOT, bounds))
    assert [len(turns) for turns in measured.turns.values()] == [2, 2]
    assert all(
        turn.per_s > 0 and turn.cpu_ms > 0 for turns in measured.turns.values() for pair in turns for turn in pair
    )
    assert len(measured.goodput) == 2
    assert min(measured.own_bytes) > 1e7
    assert min(measured.start_s) > 0
