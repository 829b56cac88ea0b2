"""`python -m training seeds`: an experiment with several seeds, which shows what chance does."""

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model.checkpoint import Header
from training import metrics
from training.commands import options
from training.commands.on_cluster import Setting, add_ray, cluster_of, train_on
from training.commands.train import add_values, choose_experiment, training_data
from training.data.datasets import DataSet
from training.learning import experiments, loop, parallel
from training.learning.experiment import Experiment
from training.learning.precision import with_precision
from training.learning.starting import StartingPoint
from training.runs import results
from training.runs.finish import finish


def add_seeds(commands: options.Subcommands) -> None:
    command = commands.add_parser(
        "seeds",
        help="an experiment with several seeds; continues where it stopped",
        epilog="Every value of the experiment is an option, too, as for run.",
        allow_abbrev=False,  # as for run
    )
    command.add_argument("experiment", help="its name, as for run")
    command.add_argument(
        "--seeds", type=options.seed, nargs="+", default=(0, 1, 2), help="one run for each (default: 0 1 2)"
    )
    options.add_out_folder(command, "folder of the runs (default: runs/seeds-EXPERIMENT)")
    add_values(command)
    options.add_data(command)
    options.add_device(command)
    add_ray(command)
    command.set_defaults(command=seeds, goes_on=options.GOES_ON)


def seeds(parsed: argparse.Namespace) -> None:
    """Trains and measures the seeds that are not finished, each in a folder of its own, and prints all metrics."""
    parallel.require_lone_process()
    cluster, code = cluster_of(parsed), options.code_version()
    device = options.select_device(parsed)
    experiment, start = choose_experiment(parsed)
    experiment = with_precision(experiment, device)
    out = (parsed.out or Path("runs") / f"seeds-{experiment.name}").absolute()
    source = options.data_source(parsed)
    data, test = training_data(source, experiment, tested=not parsed.no_test)
    print(f"{experiment.name}: {data.describe()}, on {device} in {experiment.precision}")
    tasks = [
        SeedTask(
            experiment=experiments.with_seed(experiment, seed),
            folder=out / f"seed-{seed}",
            setting=Setting.of(parsed, source, code),
            start_from=start.path.absolute() if start else None,
            tested=test is not None,
        )
        for seed in dict.fromkeys(parsed.seeds)
    ]
    left = [task for task in tasks if not task.result(data)]
    if cluster:
        train_on(cluster, left, out)
    else:
        for number, task in enumerate(left, 1):
            options.say(f"{task.folder.name}, {number} of {len(left)} runs")
            task()
    for task in tasks:
        if header := task.result(data):
            print(f"{task.folder.name}:\n{metrics.format_metrics(header.metrics)}")


@dataclass(frozen=True, kw_only=True)
class SeedTask:
    """The run of one seed, trained and measured."""

    experiment: Experiment[Any]
    folder: Path
    setting: Setting
    start_from: Path | None
    tested: bool

    def __call__(self) -> str:
        """Returns the run's name. Raises what training raises."""
        setting, experiment = self.setting, self.experiment
        device = setting.begin()
        album = setting.album(experiment)
        data = experiment.read_data(setting.source, album)
        test = options.find_test_pairs(setting.source, album) if self.tested else None
        start = StartingPoint.read(self.start_from) if self.start_from else None
        trained = loop.train(
            experiment, data, self.folder, device, resume=True, code=setting.code, say=options.say, start=start
        )
        finish(experiment, trained, data, test, self.folder, setting.code)
        return experiment.name

    def result(self, data: DataSet) -> Header | None:
        """The header of the finished run, or None. Raises TrainingError if the folder holds another run."""
        return results.find_result(self.folder, self.experiment, data, tested=self.tested)
