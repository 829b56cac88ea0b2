"""A run that is killed at any moment and resumed ends with the weights of an uninterrupted run."""

import json
import subprocess
import sys
from pathlib import Path

PATIENCE_S = 600


def test_run_killed_twenty_times_ends_with_the_same_weights(tmp_path: Path) -> None:
    # In a process of its own: it forks, and OpenMP's threads, which this one has, do not survive that.
    command = [sys.executable, "-m", "benchmarks.kill", "--kills", "20", "--seed", "1", "--out", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert done.returncode == 0, done.stderr
    record = json.loads(next(tmp_path.glob("kill-*.json")).read_text())
    outcome = record["figures"]["table"][0]
    assert outcome["kills"] == 20
    assert outcome["while_saving"] >= 5
    assert outcome["finished"] >= 1
    assert outcome["different"] == 0
