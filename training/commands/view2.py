"""`python -m training view2`: LFW's ten folds, each scored by a network that was trained on the others."""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Self

import torch

from model.checkpoint import Header
from model.errors import DataError, TrainingError
from training import metrics
from training.commands import on_cluster, options
from training.data import lists
from training.data.album import Album, PairSet
from training.data.datasets import PeopleData
from training.learning import experiments, loop, parallel
from training.learning.precision import with_precision
from training.people.people_recipe import PeopleExperiment
from training.reports import literature
from training.runs import records, results
from training.runs.finish import finish


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
