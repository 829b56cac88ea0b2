"""`run --help` says what each experiment is, whose, and how long the recorded run took."""

from pathlib import Path

import pytest

from training.__main__ import main
from training.learning.catalogue import CATALOGUE
from training.learning.experiments import EXPERIMENTS
from training.learning.history import read_metrics

RESULTS = Path(__file__).parents[3] / "docs" / "results"


def test_every_experiment_is_described() -> None:
    assert set(CATALOGUE) == set(EXPERIMENTS)


@pytest.mark.parametrize("name", CATALOGUE)
def test_the_minutes_are_those_of_the_recorded_run(name: str) -> None:
    path = RESULTS / name / "metrics.jsonl"
    recorded = round(sum(row.seconds for row in read_metrics(path)) / 60) if path.exists() else None
    assert CATALOGUE[name].minutes == recorded


def test_help_lists_all_experiments_and_the_values_of_one(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["run", "--help"])
    general = capsys.readouterr().out
    for name, entry in CATALOGUE.items():
        assert f"  {name} " in general
        assert f"{entry.what} ({entry.whose}" in general
    assert "--learning-rate FLOAT" not in general
    with pytest.raises(SystemExit):
        main(["run", "experiment-7", "--help"])
    shown = capsys.readouterr().out
    assert "--learning-rate FLOAT" in shown
    assert "--nuisances.probability FLOAT" in shown
