"""`torchrun -m tests.training.support.people_command ARGUMENTS`: `python -m training` with a small experiment.

`small-sharded` has sharded classifiers. With FACEPAIR_TEST_KILL=RANK:STEP the process of that rank kills itself before
that step of the training, counted from 1.
"""

import os
import signal
import sys
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any
from unittest.mock import patch

from tests.training.support.small_people import SMALL_PEOPLE
from training.__main__ import main
from training.learning import experiments, history, loop, parallel
from training.learning.loop import take_step

KILL = "FACEPAIR_TEST_KILL"
STEPS = count(1)
SHARDED = replace(SMALL_PEOPLE, name="small-sharded", shard_above=1)


def step_or_die(*arguments: Any) -> tuple[float, int]:
    """Takes a step of the loop, or kills this process before it."""
    if os.environ.get(KILL) == f"{parallel.rank()}:{next(STEPS)}":
        os.kill(os.getpid(), signal.SIGKILL)
    return take_step(*arguments)


def draw_no_curves(path: Path, *_: object) -> None:
    """Drawing them takes longer than the training."""
    path.touch()


if __name__ == "__main__":
    experiments.EXPERIMENTS[SHARDED.name] = SHARDED
    with patch.object(history, "draw_curves", draw_no_curves), patch.object(loop, "take_step", step_or_die):
        sys.exit(main())
