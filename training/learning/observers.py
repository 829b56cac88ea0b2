"""What follows a run: trackers such as TensorBoard, told of each epoch and of the figures at the end.

Each needs a package that training itself does not need; `Trackers` says which extra installs it.
"""

import importlib.util
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

from model.errors import TrainingError
from model.similarity import Metric
from training.learning.history import Epoch

TENSORBOARD_FOLDER = "tensorboard"
MLFLOW_FOLDER = "mlruns"
# The identity of the run in MLflow, so that a resumed run goes on in it.
MLFLOW_RUN_FILE = "mlflow-run.txt"


class Observer(Protocol):
    """The one hook into a run. Only the first process of a run calls it."""

    def begin(self, name: str, values: Mapping[str, Any], history: Sequence[Epoch]) -> None:
        """The run begins, or continues after the epochs of `history`. `values` are plain JSON."""

    def add_epoch(self, row: Epoch) -> None: ...

    def end(self, metrics: Sequence[Metric]) -> None:
        """The run is finished and measured."""


class Trackers:
    """The trackers of some names as one observer of the run in `folder`.

    Raises TrainingError if a package is missing, or if a tracker cannot begin. A tracker that fails later is left out,
    since the run matters more; `warn` is told.
    """

    def __init__(self, names: Sequence[str], folder: Path, warn: Callable[[str], object]) -> None:
        for name in names:
            if importlib.util.find_spec(name) is None:
                raise TrainingError(f"--track {name} needs {name}, which is not installed; run: "
                                    f".venv/bin/pip install -e '.[{name}]'")  # fmt: skip
        self._trackers = {name: TRACKERS[name](folder) for name in names}
        self._warn = warn

    def begin(self, name: str, values: Mapping[str, Any], history: Sequence[Epoch]) -> None:
        for each, tracker in self._trackers.items():
            try:
                tracker.begin(name, values, history)
            except Exception as error:
                raise TrainingError(f"--track {each}: cannot begin: {_first_line(error)}") from error

    def add_epoch(self, row: Epoch) -> None:
        self._tell(lambda tracker: tracker.add_epoch(row))

    def end(self, metrics: Sequence[Metric]) -> None:
        self._tell(lambda tracker: tracker.end(metrics))

    def _tell(self, call: Callable[[Observer], None]) -> None:
        for name, tracker in list(self._trackers.items()):
            try:
                call(tracker)
            except Exception as error:  # of a tracker's server or disk
                del self._trackers[name]
                self._warn(f"--track {name} failed, and the run goes on without it: {_first_line(error)}")


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _scalars(row: Epoch) -> dict[str, float]:
    """The figures of an epoch by name, such as `validation/area`."""
    values = {name: value for name, value in asdict(row).items() if name != "epoch" and value is not None}
    return {name.replace("_", "/", 1) if name.startswith(("train_", "validation_")) else name: value
            for name, value in values.items()}  # fmt: skip


class TensorBoard:
    """Event files in the run's folder. A resumed run discards what its state does not have."""

    def __init__(self, folder: Path) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._open: Callable[[int], SummaryWriter] = lambda step: SummaryWriter(
            str(folder / TENSORBOARD_FOLDER), purge_step=step
        )

    def begin(self, name: str, values: Mapping[str, Any], history: Sequence[Epoch]) -> None:
        self._last = len(history)
        self._writer = self._open(self._last + 1)
        if not history:
            self._writer.add_text("experiment", f"{name}\n\n```json\n{json.dumps(values, indent=1)}\n```")

    def add_epoch(self, row: Epoch) -> None:
        self._last = row.epoch
        for name, value in _scalars(row).items():
            self._writer.add_scalar(name, value, row.epoch)
        self._writer.flush()

    def end(self, metrics: Sequence[Metric]) -> None:
        for metric in metrics:
            self._writer.add_scalar(f"{metric.split}, kept weights/{metric.name}", metric.value, self._last)
        self._writer.close()


class Mlflow:
    """A run of MLflow, at MLFLOW_TRACKING_URI if that is set, else in files beside the run's folder."""

    def __init__(self, folder: Path) -> None:
        # MLflow 3 asks before it writes plain files, and reports its use to its makers unless told not to.
        os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        from mlflow.tracking import MlflowClient

        self._folder = folder
        store = (folder.resolve().parent / MLFLOW_FOLDER).as_uri()
        self._client = MlflowClient(os.environ.get("MLFLOW_TRACKING_URI") or store)

    def begin(self, name: str, values: Mapping[str, Any], history: Sequence[Epoch]) -> None:
        path = self._folder / MLFLOW_RUN_FILE
        if history and path.exists():
            self._run = path.read_text().strip()
            self._client.update_run(self._run, "RUNNING")
            return
        found = self._client.get_experiment_by_name("facepair")
        experiment = found.experiment_id if found else self._client.create_experiment("facepair")
        self._run = self._client.create_run(experiment, run_name=name).info.run_id
        path.write_text(f"{self._run}\n")
        for key, value in values.items():
            self._client.log_param(self._run, key, json.dumps(value)[:6000])
        for row in history:
            self.add_epoch(row)

    def add_epoch(self, row: Epoch) -> None:
        for name, value in _scalars(row).items():
            self._client.log_metric(self._run, name, value, step=row.epoch)

    def end(self, metrics: Sequence[Metric]) -> None:
        for metric in metrics:
            name = metric.name.replace("%", " percent")
            self._client.log_metric(self._run, f"{metric.split} kept weights/{name}", metric.value)
        self._client.set_terminated(self._run)


TRACKERS: dict[str, Callable[[Path], Observer]] = {"tensorboard": TensorBoard, "mlflow": Mlflow}
