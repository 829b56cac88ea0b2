"""A run that is killed at any moment and resumed ends with the weights of an uninterrupted run."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

PATIENCE_S = 600


def test_killed_run_ends_with_the_same_weights(tmp_path: Path, pytestconfig: pytest.Config) -> None:
    kills = pytestconfig.getoption("kills")
    # In a process of its own: it forks, and OpenMP's threads, which this one has, do not survive that.
    command = [sys.executable, "-m", "benchmarks.kill", "--kills", str(kills), "--seed", "1", "--out", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert done.returncode == 0, done.stderr
    record = json.loads(next(tmp_path.glob("kill-*.json")).read_text())
    outcome = record["figures"]["table"][0]
    assert outcome["kills"] == kills
    assert outcome["while_saving"] >= kills // 4
    assert outcome["finished"] >= 1
    assert outcome["different"] == 0
