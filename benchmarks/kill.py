"""Repeatedly kills a small training run with SIGKILL, resumes it, and compares the weights at its end.

    python -m benchmarks.kill --kills 200

Every second kill comes while the state is being saved, the others at random moments. Each finished run must have the
same weights, bit for bit, as one that was never interrupted. The parent process forks, so it must not compute with
torch: OpenMP's threads do not survive a fork.
"""

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

# Training imports some of these at its first step or epoch; here they are imported once for all children.
import matplotlib.figure
import matplotlib.ticker  # noqa: F401
import numpy as np
import torch
import torch._dynamo
import torchvision.transforms.v2.functional  # noqa: F401
from safetensors.numpy import load_file

from benchmarks.command import new_parser, run_benchmark
from benchmarks.record import Figures
from model.errors import TrainingError
from model.files import partial_of
from training.commands.options import positive
from training.data.album import Album, PairSet
from training.data.datasets import PairData
from training.learning.experiments import SMOKE
from training.learning.loop import STATE_FILE, train

# Wide enough for saving to take a noticeable part of the time; dropout and `keep` add to the state that is saved.
EXPERIMENT = replace(
    SMOKE,
    name="kill",
    network=SMOKE.network.model_copy(update={"dimension": 2048, "dropout": 0.5}),
    epochs=5,
    decay_every_epochs=2,
    keep="best",
)
PICTURES = 24
PAIRS = 32
POLL_S = 0.0005


@dataclass(kw_only=True)
class Outcome:
    """The numbers of kills, of kills that left a half-written state, of finished runs, and of those that differ."""

    kills: int = 0
    while_saving: int = 0
    finished: int = 0
    different: int = 0


def kill_and_resume(kills: int, seed: int, folder: Path) -> Outcome:
    """Kills and resumes until there were `kills` kills and the last run has finished."""
    draws = random.Random(seed)
    started = time.monotonic()
    _wait(_fork(folder / "reference"))
    duration_s = time.monotonic() - started
    outcome = Outcome()
    while outcome.kills < kills:
        place = folder / f"run-{outcome.finished}"
        while outcome.kills < kills and _kill_once(place, outcome, draws.uniform(0, duration_s)):
            pass
        _wait(_fork(place))
        outcome.finished += 1
        outcome.different += not _equal(folder / "reference", place)
    return outcome


def _kill_once(place: Path, outcome: Outcome, delay_s: float) -> bool:
    """Starts or resumes the run and kills it; False if it finished first."""
    child = _fork(place)
    aim_at_save = outcome.kills % 2 == 1
    deadline = time.monotonic() + delay_s
    partial = partial_of(place / STATE_FILE, child)
    while (aim_at_save and not partial.exists()) or (not aim_at_save and time.monotonic() < deadline):
        if os.waitpid(child, os.WNOHANG)[0]:
            return False
        time.sleep(POLL_S)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    outcome.kills += 1
    outcome.while_saving += partial.exists()
    return True


def _fork(place: Path) -> int:
    """The id of a child process that trains in `place`, from the state there, and exits."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            with Path(os.devnull).open("w") as silence:
                os.dup2(silence.fileno(), sys.stderr.fileno())
            torch.set_num_threads(1)
            train(EXPERIMENT, _data(), place, torch.device("cpu"), resume=True)
            status = 0
        finally:
            os._exit(status)
    return child


def _wait(child: int) -> None:
    _, status = os.waitpid(child, 0)
    if status != 0:
        raise RuntimeError("a training run failed without being killed")


def _data() -> PairData:
    """Crops of noise, since only equality of the weights matters."""
    draws = np.random.default_rng(0)
    side = EXPERIMENT.preprocessing.side_px
    pixels = draws.integers(0, 256, (PICTURES, side, side), dtype=np.uint8)
    album = Album(
        keys=[("noise", str(i)) for i in range(PICTURES)],
        pixels=torch.from_numpy(pixels),
        sha256="noise",
        preprocessing=EXPERIMENT.preprocessing,
    )
    left, right = torch.from_numpy(draws.integers(0, PICTURES, (2, PAIRS)))
    pairs = PairSet(left=left, right=right, same=torch.from_numpy(draws.integers(0, 2, PAIRS)).float())
    return PairData(album=album, training=pairs, validation=pairs)


def _equal(one: Path, other: Path) -> bool:
    """Whether two states hold the same tensors, bit for bit."""
    left, right = load_file(one / STATE_FILE), load_file(other / STATE_FILE)
    return left.keys() == right.keys() and all(left[name].tobytes() == right[name].tobytes() for name in left)


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit status: 1 if a finished run differed."""
    description = "Kills and resumes a small training run on the CPU: a GPU's state does not survive a fork."
    parser = new_parser("kill", "benchmarks.kill", description, rounds=None, cpu_alone=True)
    parser.add_argument("--kills", type=positive, default=200, help="how many to make")
    parser.add_argument("--seed", type=int, default=0, help="of the random moments")
    return run_benchmark(parser, arguments, _measure)


def _measure(options: argparse.Namespace) -> Figures:
    with tempfile.TemporaryDirectory() as folder:
        outcome = kill_and_resume(options.kills, options.seed, Path(folder))
    if outcome.different:
        raise TrainingError(f"{outcome.different} of {outcome.finished} resumed runs ended in other weights")
    return Figures(summary={"experiment": EXPERIMENT.name}, table=[asdict(outcome)])


if __name__ == "__main__":
    sys.exit(main())
