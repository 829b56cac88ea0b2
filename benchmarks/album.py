"""`python -m benchmarks.album`: a large album, from its files to training steps and calibration, and the memory for it.

Each part prints its row when it ends. A part that fails is named in the record, and the others go on.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional

from benchmarks.album_data import add_picture, make_people, scene_files, straight_files
from benchmarks.album_parts import MANY, PARTS, Compared, Parts, summarise
from benchmarks.anonymous_memory import Measured, run_apart, run_command
from benchmarks.command import new_parser, run_benchmark
from benchmarks.processes import other_work
from benchmarks.record import Figures
from benchmarks.timing import Seconds, Work, interleave
from benchmarks.training_step import Steps
from model.errors import DataError
from model.networks import residual
from model.networks.heads import similarity
from training import fitting
from training.commands.options import add_threads, positive
from training.data.source import DataSource
from training.learning.experiment import Recipe
from training.learning.experiments import EXPERIMENT_5_UNALIGNED, EXPERIMENT_7
from training.learning.loop import take_step
from training.learning.precision import fastest_precision
from training.people.people_recipe import PeopleExperiment
from training.scoring import logit_blocks
from training.statistics import streamed_rates

CPU = torch.device("cpu")
STEPS = 4
# In the small album and in the one that is straightened.
PICTURES_OF_A_PERSON = 5
CALIBRATED_OF_A_PERSON = 50


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit status: 1 also if a part failed."""
    parser = new_parser("album", "benchmarks.album", "Prepares a large album and trains on it.", 7, cpu_alone=True)
    parser.add_argument("--pictures", type=positive, default=MANY, help="already straightened")
    parser.add_argument("--people", type=positive, default=10_000)
    parser.add_argument("--small", type=positive, default=2_000, help="pictures of the small album, 5 of each person")
    parser.add_argument("--straightened", type=positive, default=20_000, help="pictures that are straightened")
    parser.add_argument("--calibrated", type=positive, default=45_000, help="pictures whose pairs are calibrated on")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=[*PARTS], help="what is measured")
    parser.add_argument("--steps", type=positive, default=3, help="of each album in a turn")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()), help="for files and albums")
    parser.add_argument(
        "--keep", action="store_true", help="leave files and albums in --folder, and use those that are there"
    )
    add_threads(parser)
    failed: list[str] = []
    return run_benchmark(parser, arguments, partial(_measure, failed=failed)) or len(failed[:1])


def prepare(source: DataSource, experiment: PeopleExperiment) -> Measured:
    """`python -m training prepare`, as a user starts it. Raises DataError."""
    options = ["--data", source.folder, "--images", source.images, "--cache", source.cache, "--no-test"]
    lists = ["--train-people", source.train_people]
    return run_command(
        [sys.executable, "-m", "training", "prepare", experiment.name, *map(str, options), *lists],
    )


def train(source: DataSource, experiment: PeopleExperiment) -> float:
    """Opens the album and takes some steps -> seconds until the first step."""
    started = time.perf_counter()
    steps = steps_of(source, experiment)
    opened_s = time.perf_counter() - started
    for _ in range(STEPS):
        steps.step()
    return opened_s


def steps_of(source: DataSource, experiment: PeopleExperiment) -> Steps:
    run = _fast(experiment)
    return Steps(run, _recipe(run, source), CPU)


def train_on_one_batch(source: DataSource, experiment: PeopleExperiment) -> None:
    """Takes some steps on the first batch, while no other is made."""
    run = _fast(experiment)
    recipe = _recipe(run, source)
    for batch in islice(recipe.batches(1), 1):
        for _ in range(STEPS):
            take_step(run, recipe, batch, CPU)
            recipe.after_step(0)


def _fast(experiment: PeopleExperiment) -> PeopleExperiment:
    """In the processor's fastest precision: where bfloat16 has no instructions, a step in it takes minutes."""
    return replace(experiment, precision=fastest_precision(CPU))


def _recipe(run: PeopleExperiment, source: DataSource) -> Recipe:
    recipe = run.recipe(run.read_data(source, source.album(run.preprocessing)), CPU)
    recipe.state.to(memory_format=torch.channels_last)
    recipe.use_training_mode()
    return recipe


def compare(large: DataSource, small: DataSource, experiment: PeopleExperiment, rounds: int, steps: int) -> Compared:
    albums = {"large": steps_of(large, experiment), "small": steps_of(small, experiment)}
    cpu_s: Seconds = {name: [] for name in albums}
    works = {name: Work(run=partial(_timed_step, each, cpu_s[name]), calls=steps) for name, each in albums.items()} | {
        f"{name}_batch": Work(run=each.draw) for name, each in albums.items()
    }
    with other_work() as others:
        seconds = interleave(works, rounds, CPU)
    # The first step of each was not timed either.
    return Compared(seconds=seconds, cpu_s={name: each[1:] for name, each in cpu_s.items()}, others=others.cores)


def _timed_step(steps: Steps, cpu_s: list[float]) -> None:
    started = time.process_time()
    steps.step()
    cpu_s.append(time.process_time() - started)


def calibrate(pictures: int) -> dict[str, Any]:
    """The rates over all impostor pairs of random embeddings, 50 of each person."""
    network = residual.ResidualNetwork(EXPERIMENT_7.network).requires_grad_(False).eval()
    draws = torch.Generator().manual_seed(0)
    embeddings = functional.normalize(torch.randn(pictures, EXPERIMENT_7.network.dimension, generator=draws))
    stream = streamed_rates.Stream(
        owner=(torch.arange(pictures) // CALIBRATED_OF_A_PERSON).numpy(),
        blocks=lambda: ((first, table.numpy()) for first, table in logit_blocks(network, embeddings)),
        similarity=lambda logits: similarity(torch.from_numpy(logits)).numpy(),
    )
    points, _ = streamed_rates.false_match_rates(stream, fitting.SPLIT)
    return {"pairs": stream.pairs, "fmr": [point.fmr for point in points]}


@contextmanager
def _folder(options: argparse.Namespace) -> Iterator[Path]:
    if options.keep:
        options.folder.mkdir(parents=True, exist_ok=True)
        yield options.folder
    else:
        with tempfile.TemporaryDirectory(dir=options.folder) as name:
            yield Path(name)


def _measure(options: argparse.Namespace, failed: list[str]) -> Figures:
    unaligned, aligned = EXPERIMENT_5_UNALIGNED, EXPERIMENT_7
    parts = Parts(wanted=options.parts)
    few = [max(1, pictures // PICTURES_OF_A_PERSON) for pictures in (options.small, options.straightened)]
    with _folder(options) as folder:
        straight = straight_files()
        large = make_people(folder / "large", straight, options.pictures, options.people)
        small = make_people(folder / "small", straight, options.small, few[0])
        turned = make_people(folder / "turned", scene_files(), options.straightened, few[1])
        print("the pictures are there", flush=True)
        parts.run("small", options.small, partial(prepare, small, unaligned))
        parts.run("prepare", options.pictures, partial(prepare, large, unaligned))
        parts.run("again", options.pictures, partial(prepare, large, unaligned))
        parts.run("one", options.pictures + 1, partial(_prepare_one, large, unaligned))
        parts.run("straighten", options.straightened, partial(prepare, turned, aligned))
        run = partial(_run_apart, options.threads)
        parts.run("network", options.small, partial(run, partial(train_on_one_batch, small, unaligned)))
        parts.run("train-small", options.small, partial(run, partial(train, small, unaligned)))
        parts.run("train", options.pictures, partial(run, partial(train, large, unaligned)))
        parts.run("calibrate", options.calibrated, partial(run, partial(calibrate, options.calibrated)))
        steps = partial(compare, large, small, unaligned, options.rounds, options.steps)
        parts.run("steps", options.pictures, partial(run, steps))
    failed += parts.failed
    if not parts.rows:
        raise DataError("no part could be measured; their errors are above")
    return Figures(summary=summarise(parts, options.straightened), table=parts.rows)


def _run_apart(threads: int | None, work: Callable[[], Any]) -> Measured:
    return run_apart(partial(_with_threads, threads, work))


def _with_threads(threads: int | None, work: Callable[[], Any]) -> Any:
    if threads:
        torch.set_num_threads(threads)
    return work()


def _prepare_one(source: DataSource, experiment: PeopleExperiment) -> Measured:
    add_picture(source)
    return prepare(source, experiment)


if __name__ == "__main__":
    sys.exit(main())
