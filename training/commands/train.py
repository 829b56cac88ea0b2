"""`python -m training run`, `grid` and `view2`: train and measure an experiment, the grid search or LFW's folds."""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import torch

from model.checkpoint import Header
from model.errors import DataError, TrainingError
from training import metrics
from training.commands import on_cluster, options
from training.commands.values import describe_values, with_values
from training.data import lists
from training.data.album import Album, PairSet
from training.data.datasets import PeopleData
from training.data.source import DataSource
from training.learning import catalogue, experiments, grid, history, loop, observers, parallel
from training.learning.experiment import Data, Experiment
from training.learning.precision import with_precision
from training.learning.starting import StartingPoint
from training.learning.variants import variant_of
from training.pairs import PairExperiment
from training.people.people_recipe import PeopleExperiment
from training.reports import literature
from training.runs import records, results
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


def add_view2(commands: options.Subcommands) -> None:
    command = commands.add_parser("view2", help="LFW's ten folds, each scored by a network that saw only the others")
    command.add_argument("experiment", help="one that learns from people")
    command.add_argument("--folds", type=int, nargs="+", help="which to train now (default: all that are not done)")
    command.add_argument("--people", default="people.txt", help="in the data folder, the folds of people")
    command.add_argument("--pairs", default="pairs.txt", help="in the data folder, the folds of pairs")
    options.add_out_folder(command, "folder of the folds (default: runs/view2-EXPERIMENT)")
    command.add_argument("--seed", type=options.seed, help="another seed than the experiment's")
    options.add_data(command)
    options.add_device(command)
    on_cluster.add_ray(command)
    command.set_defaults(command=view2, goes_on=options.GOES_ON)


def view2(parsed: argparse.Namespace) -> None:
    """Trains and tests the requested folds that are not finished, and summarises all finished ones."""
    parallel.require_lone_process()
    if parsed.experiment not in experiments.PEOPLE_EXPERIMENTS:
        names = ", ".join(experiments.PEOPLE_EXPERIMENTS)
        raise TrainingError(f"{parsed.experiment}: View 2 is for experiments that learn from people: {names}")
    experiment = experiments.with_seed(experiments.PEOPLE_EXPERIMENTS[parsed.experiment], parsed.seed)
    if experiment.teaching or experiment.start:
        raise TrainingError(
            f"{parsed.experiment}: learns from checkpoints that know people of every fold; choose one that learns from "
            "pictures alone, such as experiment-7"
        )
    cluster = on_cluster.cluster_of(parsed)
    source, device = options.data_source(parsed), options.select_device(parsed)
    experiment = with_precision(experiment, device)
    folds = lists.read_folds(source.folder / parsed.people, source.folder / parsed.pairs)
    wanted = _wanted(parsed.folds, folds)
    album = options.open_album(source, experiment.preprocessing)
    out = parsed.out or Path("runs") / f"view2-{experiment.name}"
    runs = {number: FoldRun.of(number, experiment, folds, album, out) for number in folds.numbers}
    done = _results(runs)
    left = sorted(wanted - set(done))
    if cluster and left:
        setting = on_cluster.Setting.of(parsed, source, options.code_version())
        people, pairs, folder = folds.people_path.absolute(), folds.pairs_path.absolute(), out.absolute()
        tasks = [
            FoldTask(number=n, experiment=experiment, people=people, pairs=pairs, out=folder, setting=setting)
            for n in left
        ]
        on_cluster.train_on(cluster, tasks, folder)
        done, left = _results(runs), []
    for number in left:
        described = runs[number].data.describe()
        print(f"fold {number} of {len(folds.numbers)}: {described}, on {device}", flush=True)
        done[number] = runs[number].train(device)
        options.write_json(out / results.VIEW2_FILE, _summary(experiment.name, done, len(runs)))  # the next may fail
    found = _summary(experiment.name, done, len(runs))
    if not left:
        options.write_json(out / results.VIEW2_FILE, found)
    print(found)


def _wanted(numbers: Sequence[int] | None, folds: lists.Folds) -> set[int]:
    unknown = set(numbers or ()) - set(folds.numbers)
    if unknown:
        raise DataError(f"{folds.people_path}: has folds 1 to {len(folds.numbers)}, not {min(unknown)}")
    return set(numbers or folds.numbers)


def _results(runs: "Mapping[int, FoldRun]") -> dict[int, Header]:
    """The headers of the folds that are finished, by number."""
    return {number: header for number, run in runs.items() if (header := run.result())}


@dataclass(frozen=True, kw_only=True)
class FoldRun:
    """The run of one fold: it learns from the other folds' people. Methods raise DataError for missing pictures."""

    number: int
    experiment: PeopleExperiment
    folds: lists.Folds
    album: Album
    folder: Path

    @classmethod
    def of(cls, number: int, experiment: PeopleExperiment, folds: lists.Folds, album: Album, out: Path) -> Self:
        """The run of that fold, in its own folder inside `out`."""
        name = fold_name(number)
        named = replace(experiment, name=f"{experiment.name}-{name}")
        return cls(number=number, experiment=named, folds=folds, album=album, folder=out / name)

    @cached_property
    def data(self) -> PeopleData:
        """The people of all other folds, some of them held out."""
        others = {
            name: n for i, fold in enumerate(self.folds.people, 1) if i != self.number for name, n in fold.items()
        }
        return PeopleData.of(self.album, self.folds.people_path, others, self.experiment.held_out)

    def test_pairs(self) -> PairSet:
        return lists.resolve(self.folds.pairs_path, self.folds.pairs[self.number - 1], self.album)

    def result(self) -> Header | None:
        """The header of the finished run, or None. Raises TrainingError for another run, DataError without pictures."""
        return results.find_result(self.folder, self.experiment, self.data)

    def train(self, device: torch.device) -> Header:
        """Trains the fold, continuing where it stopped, and tests it."""
        test, code = self.test_pairs(), options.code_version()
        trained = loop.train(self.experiment, self.data, self.folder, device, resume=True, code=code, say=options.say)
        return finish(self.experiment, trained, self.data, test, self.folder, code)


@dataclass(frozen=True, kw_only=True)
class FoldTask:
    """The run of one fold of these lists, for a worker that reads the pictures itself."""

    number: int
    experiment: PeopleExperiment
    people: Path
    pairs: Path
    out: Path
    setting: on_cluster.Setting

    @property
    def folder(self) -> Path:
        return self.out / fold_name(self.number)

    def __call__(self) -> str:
        """Returns the run's name. Raises what training raises."""
        device, folds = self.setting.begin(), lists.read_folds(self.people, self.pairs)
        run = FoldRun.of(self.number, self.experiment, folds, self.setting.album(self.experiment), self.out)
        return run.train(device).name


def fold_name(number: int) -> str:
    return f"fold-{number:02d}"


def _summary(name: str, headers: Mapping[int, Header], of_folds: int) -> records.View2:
    """The summary of the finished folds, by number; at least one."""
    done = []
    for number, header in sorted(headers.items()):
        accuracy = metrics.find_metric(header.metrics, metrics.ACCURACY_AT_THRESHOLD)
        done.append(
            records.Fold(
                fold=number,
                accuracy=accuracy.value,
                pairs=accuracy.pairs,
                threshold=header.threshold.value,
                checkpoint_sha256=header.checkpoint_sha256,
            )
        )
    first = next(iter(headers.values()))
    return records.View2(name=name, category=literature.category(first), of_folds=of_folds, done=tuple(done))


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
