"""Runs as tasks of Ray: `--ray` trains them first, and the command then finds them finished."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import torch
from tqdm import tqdm

from model.errors import TrainingError
from model.imaging.preprocessing import PreprocessingConfig
from model.networks.device import select_device
from training.cluster import LOCAL, Cluster
from training.commands import options
from training.data.album import Album
from training.data.source import DataSource
from training.learning import history, loop
from training.learning.experiment import Experiment


def add_ray(command: argparse.ArgumentParser) -> None:
    """`--ray` and `--ray-address`."""
    command.add_argument(
        "--ray",
        dest="ray_address",
        action="store_const",
        const=LOCAL,
        help="do several tasks at a time, with --threads for each (default: 1), on Ray on this machine",
    )
    command.add_argument("--ray-address", help="the same on a Ray cluster, such as auto or HOST:6379")


def cluster_of(parsed: argparse.Namespace) -> Cluster | None:
    """The cluster that the command names, or None. Sets the threads and the device to those of one of its tasks.

    Call it before the command uses either, since both are part of a run's values. Raises DeviceError.
    """
    if not parsed.ray_address:
        return None
    parsed.threads = getattr(parsed, "threads", None) or 1
    parsed.device = select_device(parsed.device).type  # Ray gives each task a GPU of its own, which is its first
    return Cluster(address=parsed.ray_address, threads=parsed.threads, gpus=int(parsed.device == "cuda"))


@dataclass(frozen=True, kw_only=True)
class Setting:
    """Where a task works: the data, the device, its threads, and the version of the code, which must be the same."""

    source: DataSource
    device: str
    threads: int | None
    code: str

    @classmethod
    def of(cls, parsed: argparse.Namespace, source: DataSource, code: str) -> "Setting":
        absolute = replace(source, folder=source.folder.absolute(), cache=source.cache.absolute())
        return cls(source=absolute, device=parsed.device, threads=parsed.threads, code=code)

    def begin(self) -> torch.device:
        """Prepares a worker. Raises TrainingError if it has other code, and DeviceError."""
        if (here := options.code_version()) != self.code:
            raise TrainingError(f"a worker has the code {here}, and this machine {self.code}; install the same")
        if self.threads:
            torch.set_num_threads(self.threads)
        return select_device(self.device)

    def album(self, experiment: Experiment[Any]) -> Album:
        """The prepared pictures, opened once by each worker."""
        return _album(self.source, experiment.preprocessing)


@cache
def _album(source: DataSource, preprocessing: PreprocessingConfig) -> Album:
    return source.album(preprocessing)


class RunTask(Protocol):
    """A run from its last finished epoch to its end, in a folder that all machines see. It is picklable."""

    @property
    def experiment(self) -> Experiment[Any]: ...

    @property
    def folder(self) -> Path: ...

    def __call__(self) -> str:
        """Returns the run's name. Raises what training raises."""


@dataclass(frozen=True, kw_only=True)
class TrainingTask:
    """A run that is trained and not measured."""

    experiment: Experiment[Any]
    folder: Path
    setting: Setting

    def __call__(self) -> str:
        setting, experiment = self.setting, self.experiment
        device = setting.begin()
        data = experiment.read_data(setting.source, setting.album(experiment))
        loop.train(experiment, data, self.folder, device, resume=True, code=setting.code)
        return experiment.name


def train_on(cluster: Cluster, tasks: Sequence[RunTask], shared: Path) -> None:
    """Does all tasks, whose folders are in `shared`. Prints what is done of the whole. Raises FacepairError."""
    most = sum(task.experiment.epochs for task in tasks)

    def done() -> int:
        return sum(_epochs(task.folder) for task in tasks)

    with tqdm(total=most, unit=" epochs", disable=None, mininterval=1, desc=f"{len(tasks)} runs") as bar:
        for number, name in enumerate(cluster.run(tasks, shared, lambda: bar.update(done() - bar.n)), 1):
            with bar.external_write_mode():
                options.say(f"{number} of {len(tasks)} runs are done, {done()} of at most {most} epochs: {name}")


def _epochs(folder: Path) -> int:
    """How many epochs a run has finished."""
    path = folder / history.METRICS_FILE
    return len(history.read_metrics(path)) if path.exists() else 0
