"""`python -m training run` and `grid`: train and measure an experiment, or the grid search."""

import argparse
from dataclasses import replace
from pathlib import Path

from model.checkpoint import Header
from model.errors import TrainingError
from training import metrics
from training.commands import options
from training.data.album import PairSet
from training.data.source import DataSource
from training.learning import experiments, grid, history, loop, parallel
from training.learning.experiment import Data, Experiment
from training.pairs import PairExperiment
from training.runs.finish import finish


def add_run(commands: options.Subcommands) -> None:
    """Adds `run`."""
    command = commands.add_parser("run", help="train an experiment and write its checkpoint")
    command.add_argument("experiment", help=", ".join(experiments.EXPERIMENTS))
    command.add_argument("--out", type=Path, help="folder of the run (default: runs/EXPERIMENT)")
    command.add_argument("--resume", action="store_true", help="continue from the last finished epoch, if there is one")
    command.add_argument("--seed", type=options.seed, help="another seed than the experiment's")
    command.add_argument("--no-test", action="store_true", help="do not read or score test pairs")
    options.add_data(command)
    options.add_device(command)
    command.set_defaults(command=run, goes_on="; add --resume to continue from the last finished epoch")


def run(parsed: argparse.Namespace) -> None:
    """Trains an experiment, alone or as one of several processes, and measures it."""
    code = options.code_version()  # now, since files may change during hours of training
    experiment = experiments.with_seed(experiments.find_experiment(parsed.experiment), parsed.seed)
    device = parallel.local_device(options.select_device(parsed))
    folder = parsed.out or Path("runs") / experiment.name
    with parallel.process_group(device):
        data, test = _training_data(options.data_source(parsed), experiment, tested=not parsed.no_test)
        if parallel.rank() == 0:
            print(f"{experiment.name}: {data.describe()}, on {device}")
        trained = loop.train(experiment, data, folder, device, resume=parsed.resume, code=code)
        if parallel.rank() > 0:
            return
    _print_result(finish(experiment, trained, data, test, folder, code), folder)


def add_grid(commands: options.Subcommands) -> None:
    """Adds `grid`."""
    command = commands.add_parser("grid", help="the grid search on Experiment 4; continues where it stopped")
    command.add_argument("--out", type=Path, default=Path("runs/grid"), help="folder of the runs (default: runs/grid)")
    command.add_argument(
        "--only", nargs="+", default=(), help="trajectories to run now (default: all, and test the best)"
    )
    options.add_data(command)
    options.add_device(command)
    command.set_defaults(command=search, goes_on=options.GOES_ON)


def search(parsed: argparse.Namespace) -> None:
    """Runs the trajectories, continuing where the last call stopped. Tests the best point, except with `--only`."""
    parallel.require_lone_process()
    code, device, plan = options.code_version(), options.select_device(parsed), grid.Grid(base=experiments.GRID_BASE)
    trajectories = {each.name: each for each in plan.trajectories()}
    if unknown := set(parsed.only) - set(trajectories):
        raise TrainingError(f"unknown trajectory {min(unknown)!r}; use one of {', '.join(trajectories)}")
    data, test = _training_data(options.data_source(parsed), plan.base, tested=True)
    kept: dict[str, loop.Trained] = {}

    def run_one(experiment: PairExperiment, folder: Path) -> None:
        print(f"trajectory {list(trajectories).index(experiment.name) + 1} of {len(trajectories)}: {experiment.name}")
        kept[experiment.name] = loop.train(experiment, data, folder, device, resume=True, code=code)

    grid.run_grid(plan, parsed.out, run_one, parsed.only)
    points = grid.known_points(plan, parsed.out)
    best = grid.winner(points)
    count = sum(len(plan.points(trajectory)) for trajectory in trajectories.values())
    print(f"{len(points)} of {count} points are known; the best by validation loss is {best.experiment.name}")
    if parsed.only:
        print("run it without --only to test the best of all")
        return
    trained = next(kept[each.name] for each in plan.trajectories() if best.experiment in plan.points(each))
    folder = parsed.out / grid.BEST_FOLDER
    history.write_metrics(folder / history.METRICS_FILE, trained.history[: best.stopped])
    experiment = replace(best.experiment, name=grid.BEST_FOLDER)
    _print_result(finish(experiment, trained, data, test, folder, code), folder)


def _training_data(source: DataSource, experiment: Experiment[Data], *, tested: bool) -> tuple[Data, PairSet | None]:
    """A run's data and, if it will be tested, its test pairs. The first of several processes fills the cache."""
    if parallel.rank() > 0:
        parallel.wait_for_all()
    album = options.open_album(source, experiment.preprocessing)
    if parallel.rank() == 0:
        parallel.wait_for_all()
    data = experiment.read_data(source, album)
    return data, options.read_test_pairs(source, album) if tested else None


def _print_result(header: Header, folder: Path) -> None:
    path = folder / f"{header.name}.safetensors"
    print(metrics.format_metrics(header.metrics))
    print(f"threshold {header.threshold.value:.4f}; wrote {path}; serve it with: python -m app --weights {path}")
