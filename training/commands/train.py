"""`python -m training run` and `grid`: train and measure an experiment, or the grid search."""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from model.checkpoint import Header
from model.errors import TrainingError
from training import metrics
from training.commands import on_cluster, options
from training.commands.values import describe_values, with_values
from training.data.album import PairSet
from training.data.source import DataSource
from training.learning import catalogue, experiments, grid, history, loop, observers, parallel
from training.learning.experiment import Data, Experiment
from training.learning.precision import with_precision
from training.learning.starting import StartingPoint
from training.learning.variants import variant_of
from training.pairs import PairExperiment
from training.runs.finish import finish


def add_run(commands: options.Subcommands) -> None:
    command = commands.add_parser(
        "run",
        help="train an experiment and write its checkpoint",
        epilog=catalogue.describe(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,  # an abbreviation could be meant for a value
        add_help=False,
    )
    command.add_argument("-h", "--help", action=_RunHelp, help="with an experiment's name before it: its values, too")
    command.add_argument("experiment", help="its name; the list below says what each is")
    options.add_out_folder(command, "folder of the run (default: runs/EXPERIMENT)")
    command.add_argument("--resume", action="store_true", help="continue from the last finished epoch, if there is one")
    command.add_argument("--seed", type=options.seed, help="another seed than the experiment's")
    add_values(command)
    command.add_argument(
        "--track",
        nargs="+",
        choices=observers.TRACKERS,
        default=(),
        help="follow the run with these; each is an extra of the same name",
    )
    options.add_data(command)
    options.add_device(command)
    goes_on = "; add --resume to continue from the last finished epoch"
    command.set_defaults(command=run, goes_on=goes_on)


def add_values(command: argparse.ArgumentParser) -> None:
    """What a run tests and starts from; takes the experiment's values as further options."""
    command.add_argument("--no-test", action="store_true", help="do not read or score test pairs")
    command.add_argument(
        "--start-from",
        type=Path,
        metavar="CHECKPOINT",
        help="begin with its tensors, for example to learn other people; --freeze STAGE... keeps some of them",
    )
    command.set_defaults(experiment_values=(), takes_values=True)


class _RunHelp(argparse.Action):
    """Prints the help, and the values of an experiment that was named before."""

    def __init__(self, option_strings: Sequence[str], dest: str, help: str | None = None) -> None:  # noqa: A002
        super().__init__(option_strings, dest, nargs=0, default=argparse.SUPPRESS, help=help)

    def __call__(self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, *_: object) -> None:
        parser.print_help()
        if (name := getattr(namespace, "experiment", None)) in experiments.EXPERIMENTS:
            print(f"\nvalues of {name}, each with its default:\n{describe_values(experiments.EXPERIMENTS[name])}")
        parser.exit()


def run(parsed: argparse.Namespace) -> None:
    """Trains an experiment, alone or as one of several processes, and measures it."""
    code = options.code_version()  # now, since files may change during hours of training
    device = parallel.local_device(options.select_device(parsed))
    experiment, start = choose_experiment(parsed)
    experiment = with_precision(experiments.with_seed(experiment, parsed.seed), device)
    folder = parsed.out or Path("runs") / experiment.name
    observer = observers.Trackers(parsed.track, folder, options.say) if parsed.track else None
    with parallel.process_group(device):
        data, test = training_data(options.data_source(parsed), experiment, tested=not parsed.no_test)
        if parallel.rank() == 0:
            print(f"{experiment.name}: {data.describe()}, on {device} in {experiment.precision}")
            if start:
                print(start.describe(experiment, data.album.sha256))
        trained = loop.train(
            experiment,
            data,
            folder,
            device,
            resume=parsed.resume,
            code=code,
            say=options.say,
            start=start,
            observer=observer,
        )
        if parallel.rank() > 0:
            return
    header = finish(experiment, trained, data, test, folder, code)
    if observer:
        observer.end(header.metrics)
    _print_result(header, folder)


def choose_experiment(parsed: argparse.Namespace) -> tuple[Experiment[Any], StartingPoint | None]:
    """The experiment with the values and the starting point that the command gives. Raises FacepairError."""
    named = experiments.find_experiment(parsed.experiment)
    start = StartingPoint.read(parsed.start_from) if parsed.start_from else None
    base = replace(named, start=start.start) if start else named
    changed = with_values(base, parsed.experiment_values, experiments.EXPERIMENTS)
    if not start and changed.start:
        start = StartingPoint.shipped(changed.start)
    if start:
        start.require_network_of(changed)
    return variant_of(named, changed), start


def add_grid(commands: options.Subcommands) -> None:
    command = commands.add_parser("grid", help="the grid search on Experiment 4; continues where it stopped")
    options.add_out_folder(command, "folder of the runs (default: runs/grid)", default=Path("runs/grid"))
    command.add_argument(
        "--only", nargs="+", default=(), help="trajectories to run now (default: all, and test the best)"
    )
    options.add_data(command)
    options.add_device(command)
    on_cluster.add_ray(command)
    command.set_defaults(command=search, goes_on=options.GOES_ON)


def search(parsed: argparse.Namespace) -> None:
    """Runs the trajectories, continuing where the last call stopped. Tests the best point, except with `--only`."""
    parallel.require_lone_process()
    cluster = on_cluster.cluster_of(parsed)
    code, device, plan = options.code_version(), options.select_device(parsed), grid.Grid()
    trajectories = {each.name: each for each in plan.trajectories()}
    if unknown := set(parsed.only) - set(trajectories):
        raise TrainingError(f"unknown trajectory {min(unknown)!r}; use one of {', '.join(trajectories)}")
    source = options.data_source(parsed)
    data, test = training_data(source, plan.base, tested=True)
    if cluster:
        setting, out = on_cluster.Setting.of(parsed, source, code), parsed.out.absolute()
        tasks = [
            on_cluster.TrainingTask(experiment=each, folder=out / name, setting=setting)
            for name, each in trajectories.items()
            if not parsed.only or name in parsed.only
        ]
        on_cluster.train_on(cluster, tasks, out)
    kept: dict[str, loop.Trained] = {}

    def run_one(experiment: PairExperiment, folder: Path) -> None:
        print(f"trajectory {list(trajectories).index(experiment.name) + 1} of {len(trajectories)}: {experiment.name}")
        kept[experiment.name] = loop.train(experiment, data, folder, device, resume=True, code=code, say=options.say)

    grid.run_grid(plan, parsed.out, run_one, parsed.only)
    points = grid.known_points(plan, parsed.out)
    best = grid.winner(points)
    count = sum(len(plan.points(trajectory)) for trajectory in trajectories.values())
    print(f"{len(points)} of {count} points are known; the best by validation loss is {best.experiment.name}")
    if parsed.only:
        print("run it without --only to test the best of all")
        return
    trained = next(kept[each.name] for each in plan.trajectories() if best.experiment in plan.points(each))
    folder = parsed.out / experiments.BEST_FOLDER
    history.write_metrics(folder / history.METRICS_FILE, trained.history[: best.stopped])
    experiment = replace(best.experiment, name=experiments.BEST_FOLDER)
    _print_result(finish(experiment, trained, data, test, folder, code), folder)


def training_data(source: DataSource, experiment: Experiment[Data], *, tested: bool) -> tuple[Data, PairSet | None]:
    """A run's data and, if it will be tested, its test pairs. The first of several processes fills the cache."""
    if parallel.rank() > 0:
        parallel.wait_for_all()
    album = options.open_album(source, experiment.preprocessing)
    if parallel.rank() == 0:
        parallel.wait_for_all()
    data = experiment.read_data(source, album)
    if parallel.rank() == 0:
        options.say_copies(album)
        options.warn(experiment.warnings(data))
    return data, options.find_test_pairs(source, album) if tested else None


def _print_result(header: Header, folder: Path) -> None:
    path = folder / f"{header.name}.safetensors"
    print(metrics.format_metrics(header.metrics))
    print(f"threshold {header.threshold.value:.4f}; wrote {path}; serve it with: python -m app --weights {path}")
