"""`python -m benchmarks.album`: a large album, from its files to training steps and calibration, and the memory for it.

The pictures are links to a few drawn files. Memory is what the processes hold together in private and shared anonymous
pages; pages of mapped shards belong to files, and the kernel takes them back when it needs memory.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch.nn import functional

from benchmarks.command import new_parser, run_benchmark
from benchmarks.processes import anonymous_bytes, family
from benchmarks.record import Figures, Row
from benchmarks.timing import Work, interleave, spread
from benchmarks.training_step import Steps
from model.errors import DataError
from model.networks import residual
from model.networks.heads import similarity
from tests.drawing import encode, portrait
from tests.faces import head_at, scene
from training import fitting
from training.commands.options import positive
from training.data.source import DataSource
from training.learning.experiments import EXPERIMENT_5_UNALIGNED, EXPERIMENT_7, PEOPLE_EXPERIMENTS
from training.scoring import logit_blocks
from training.statistics import streamed_rates

MIB = 2**20
# Different files, less than a file system's limit of links to one: ext4 allows 65,000.
FILES = 64
SIDE_PX = 250
PEOPLE_LIST, NO_LIST = "people.txt", "none.txt"
# How often memory is looked at.
EVERY_S = 0.5
STEPS = 4


@dataclass(frozen=True, kw_only=True)
class Measured:
    """How long a part took, the most anonymous memory of its processes, and what it gave."""

    seconds: float
    mib: float
    result: Any = None


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit status."""
    parser = new_parser("album", "benchmarks.album", "Prepares a large album and trains on it.", 7, cpu_alone=True)
    parser.add_argument("--pictures", type=positive, default=500_000, help="already straightened")
    parser.add_argument("--people", type=positive, default=10_000)
    parser.add_argument("--small", type=positive, default=2_000, help="pictures of the small album, 5 of each person")
    parser.add_argument("--straightened", type=positive, default=20_000, help="pictures that are straightened")
    parser.add_argument("--calibrated", type=positive, default=45_000, help="pictures whose pairs are calibrated on")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()), help="for files and albums")
    return run_benchmark(parser, arguments, _measure)


def make_people(folder: Path, files: Sequence[bytes], pictures: int, people: int) -> DataSource:
    """A data folder whose people have pictures in turn, each a link to one of the files."""
    originals = folder / "originals"
    originals.mkdir(parents=True)
    for number, data in enumerate(files):
        (originals / f"{number}.jpg").write_bytes(data)
    counts = [pictures // people + (person < pictures % people) for person in range(people)]
    for person, count in enumerate(counts):
        place = folder / "people" / f"Person_{person:05d}"
        place.mkdir(parents=True)
        for number in range(count):
            os.link(originals / f"{(person + number) % len(files)}.jpg", place / f"{number:04d}.jpg")
    rows = [f"Person_{person:05d}\t{count}" for person, count in enumerate(counts)]
    (folder / PEOPLE_LIST).write_text("\n".join(rows) + "\n")
    return DataSource(
        folder=folder,
        cache=folder / "cache",
        images="people",
        train_pairs=NO_LIST,
        train_people=PEOPLE_LIST,
        test_pairs=NO_LIST,
    )


def straight_files() -> list[bytes]:
    return [encode(portrait(number, size=(SIDE_PX, SIDE_PX)), "JPEG", quality=90) for number in range(FILES)]


def scene_files() -> list[bytes]:
    return [
        encode(scene(head_at(number, 125, 118, 40), size=(SIDE_PX, SIDE_PX)), "JPEG", quality=90)
        for number in range(FILES)
    ]


@dataclass
class Peak:
    """The most anonymous memory of a process and its descendants, looked at while `watch` is entered."""

    mib: float = 0.0
    _over: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def watch(self, pid: int) -> Iterator[None]:
        thread = threading.Thread(target=self._look, args=(pid,))
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            thread.join()

    def _look(self, pid: int) -> None:
        while True:
            self.mib = max(self.mib, sum(map(anonymous_bytes, family(pid))) / MIB)
            if self._over.wait(EVERY_S):
                return


def prepare(source: DataSource, experiment: str) -> Measured:
    """`python -m training prepare`, as a user starts it."""
    options = ["--data", source.folder, "--images", source.images, "--cache", source.cache, "--no-test"]
    lists = ["--train-people", source.train_people]
    peak, started = Peak(), time.perf_counter()
    command = [sys.executable, "-m", "training", "prepare", experiment, *map(str, options), *lists]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process, peak.watch(process.pid):
        said = process.communicate()[0]
    if process.returncode:
        raise DataError(f"{source.folder}: could not be prepared")
    return Measured(seconds=time.perf_counter() - started, mib=peak.mib, result=said)


def apart(work: Callable[[], Any]) -> Measured:
    """What a function does in a process of its own."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        pid, peak = pool.submit(os.getpid).result(), Peak()
        started = time.perf_counter()
        with peak.watch(pid):
            result = pool.submit(work).result()
        return Measured(seconds=time.perf_counter() - started, mib=peak.mib, result=result)


def steps_of(source: DataSource, experiment: str) -> Steps:
    run = PEOPLE_EXPERIMENTS[experiment]
    data = run.read_data(source, source.album(run.preprocessing))
    recipe = run.recipe(data, torch.device("cpu"))
    recipe.state.train()
    return Steps(run, recipe, torch.device("cpu"))


def train(source: DataSource, experiment: str) -> float:
    """Opens the album and takes some steps -> seconds until the first step."""
    started = time.perf_counter()
    steps = steps_of(source, experiment)
    opened_s = time.perf_counter() - started
    for _ in range(STEPS):
        steps.step()
    return opened_s


def compare(large: DataSource, small: DataSource, experiment: str, rounds: int) -> dict[str, list[float]]:
    """Seconds of a step from each album, and of drawing a batch, in turns."""
    albums = {"large": steps_of(large, experiment), "small": steps_of(small, experiment)}
    works = {name: Work(run=steps.step) for name, steps in albums.items()}
    drawn = {f"{name}_batch": Work(run=steps.draw) for name, steps in albums.items()}
    return interleave(works | drawn, rounds, torch.device("cpu"))


def calibrate(pictures: int) -> dict[str, Any]:
    """The rates over all impostor pairs of so many random embeddings, 50 of each person."""
    network = residual.ResidualNetwork(EXPERIMENT_7.network).requires_grad_(False).eval()
    draws = torch.Generator().manual_seed(0)
    embeddings = functional.normalize(torch.randn(pictures, EXPERIMENT_7.network.dimension, generator=draws))
    stream = streamed_rates.Stream(
        owner=(torch.arange(pictures) // 50).numpy(),
        blocks=lambda: ((first, table.numpy()) for first, table in logit_blocks(network, embeddings)),
        similarity=lambda logits: similarity(torch.from_numpy(logits)).numpy(),
    )
    points, _ = streamed_rates.false_match_rates(stream, fitting.SPLIT)
    return {"pairs": stream.pairs, "fmr": [point.fmr for point in points]}


def _measure(options: argparse.Namespace) -> Figures:
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        straight = straight_files()
        large = make_people(folder / "large", straight, options.pictures, options.people)
        small = make_people(folder / "small", straight, options.small, max(1, options.small // 5))
        turned = make_people(folder / "turned", scene_files(), options.straightened, max(1, options.straightened // 5))
        unaligned, aligned = EXPERIMENT_5_UNALIGNED.name, EXPERIMENT_7.name
        rows = [
            _row("prepare the small album", options.small, prepare(small, unaligned)),
            _row("prepare", options.pictures, prepared := prepare(large, unaligned)),
            _row("prepare again, nothing new", options.pictures, prepare(large, unaligned)),
            _row("prepare one new picture", options.pictures, _prepare_one(large, unaligned)),
            _row("straighten", options.straightened, straightened := prepare(turned, aligned)),
            _row("open and train, small album", options.small, alone := apart(partial(train, small, unaligned))),
            _row("open and train", options.pictures, trained := apart(partial(train, large, unaligned))),
            _row("calibrate", options.calibrated, calibrated := apart(partial(calibrate, options.calibrated))),
        ]
        seconds = apart(partial(compare, large, small, unaligned, options.rounds)).result
    ratios = [one / other for one, other in zip(seconds["small"], seconds["large"], strict=True)]
    return Figures(
        summary={
            "experiment": unaligned,
            "pictures": options.pictures,
            "people": options.people,
            "step_s": median(seconds["large"]),
            "step_from_small_album_s": median(seconds["small"]),
            "of_it_batch_s": median(seconds["large_batch"]),
            "of_it_batch_from_small_album_s": median(seconds["small_batch"]),
            **spread("speed_to_small_album", ratios),
            "beside_network_mib": max(prepared.mib, trained.mib - alone.mib),
            "opened_s": trained.result,
            "straightening_500000_hours_extrapolated": straightened.seconds / options.straightened * 500_000 / 3600,
            "impostor_pairs": calibrated.result["pairs"],
        },
        table=rows,
    )


def _row(part: str, pictures: int, found: Measured) -> Row:
    return {
        "part": part,
        "pictures": pictures,
        "seconds": found.seconds,
        "pictures_per_s": pictures / found.seconds,
        "anonymous_mib": found.mib,
    }


def _prepare_one(source: DataSource, experiment: str) -> Measured:
    """After a person got a picture more."""
    path = source.folder / source.train_people
    first, _, rest = path.read_text().partition("\n")
    name, count = first.split("\t")
    os.link(source.folder / "originals" / "0.jpg", source.folder / "people" / name / "new.jpg")
    path.write_text(f"{name}\t{int(count) + 1}\n{rest}")
    return prepare(source, experiment)


if __name__ == "__main__":
    sys.exit(main())
