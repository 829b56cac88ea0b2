"""A run that is killed at any moment and resumed ends in the weights of one that never was."""

import json
import subprocess
import sys


def test_twenty_kills_change_nothing() -> None:
    command = [sys.executable, "-m", "benchmarks.kill", "--kills", "20", "--seed", "1"]
    outcome = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert outcome["kills"] == 20
    assert outcome["while_saving"] >= 5
    assert outcome["different"] == 0
