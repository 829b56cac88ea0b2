"""`python -m training` where only what serving needs is installed."""

import subprocess
import sys

import pytest

from tests.app.support.service import PATIENCE_S, ROOT

# Runs the command as `python -m training` does, where a package cannot be imported.
PROGRAM = """
import runpy, sys
sys.modules[{missing!r}] = None
sys.argv = ["training", "run", "experiment-2"]
runpy.run_module("training", run_name="__main__", alter_sys=True)
"""


@pytest.mark.parametrize("missing", ["torch", "tqdm"])
def test_it_says_what_to_run(missing: str) -> None:
    command = [sys.executable, "-c", PROGRAM.format(missing=missing)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert ended.returncode == 1
    assert ended.stderr.startswith(f"error: {missing}")
    assert ended.stderr.endswith("run: make setup\n")
    assert ended.stderr.count("\n") == 1
