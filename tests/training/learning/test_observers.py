"""TensorBoard and MLflow, told of a real run and read back by their own readers."""

import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from model.errors import TrainingError
from model.similarity import Metric
from tests.training.support.small_pairs import CPU, SMALL
from training.data.datasets import PairData
from training.learning import observers
from training.learning.history import Epoch
from training.learning.loop import Trained, train
from training.learning.observers import Trackers

METRIC = Metric(name="FNMR at FMR 1%", split="test", value=0.25, pairs=4)


def tracked(names: Sequence[str], data: PairData, folder: Path, *, resume: bool = False) -> Trained:
    said: list[str] = []
    trackers = Trackers(names, folder, said.append)
    trained = train(SMALL, data, folder, CPU, observer=trackers, resume=resume)
    trackers.end([METRIC])
    assert said == []
    return trained


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_tensorboard_has_every_epoch_once_and_the_final_figures(data: PairData, tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    trained = tracked(["tensorboard"], data, tmp_path)
    tracked(["tensorboard"], data, tmp_path, resume=True)  # a finished run adds no epoch
    found = EventAccumulator(str(tmp_path / "tensorboard"))
    found.Reload()
    for name, field in (("validation/area", "validation_area"), ("train/loss", "train_loss"), ("seconds", "seconds")):
        events = found.Scalars(name)
        assert [event.step for event in events] == [1, 2, 3]
        assert [event.value for event in events] == pytest.approx([getattr(row, field) for row in trained.history])
    assert found.Scalars("test, kept weights/FNMR at FMR 1%")[-1].value == 0.25
    [text] = found.Tensors("experiment/text_summary")
    assert b'"batch_pairs": 4' in text.tensor_proto.string_val[0]


@pytest.mark.filterwarnings("ignore")  # of the libraries that MLflow imports
def test_mlflow_has_one_run_with_every_epoch(data: PairData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    for name in ("MLFLOW_ALLOW_FILE_STORE", "MLFLOW_DISABLE_TELEMETRY"):
        monkeypatch.setenv(name, "true")  # removed again after the test
    from mlflow.tracking import MlflowClient

    folder = tmp_path / "run"
    trained = tracked(["mlflow"], data, folder)
    tracked(["mlflow"], data, folder, resume=True)
    client = MlflowClient((tmp_path / "mlruns").as_uri())
    experiment = client.get_experiment_by_name("facepair")
    assert experiment
    [run] = client.search_runs([experiment.experiment_id])
    assert (run.info.run_name, run.info.status) == ("small", "FINISHED")
    assert (run.data.params["epochs"], run.data.params["batch_pairs"]) == ("3", "4")
    areas = client.get_metric_history(run.info.run_id, "validation/area")
    assert [(each.step, each.value) for each in areas] == [(row.epoch, row.validation_area) for row in trained.history]
    assert run.data.metrics["test kept weights/FNMR at FMR 1 percent"] == 0.25


@pytest.mark.parametrize("name", ["tensorboard", "mlflow"])
def test_a_missing_package_is_named_with_its_extra(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(
        TrainingError, match=rf"--track {name} needs {name}, .*run: .venv/bin/pip install -e '\.\[{name}\]'$"
    ):
        Trackers([name], tmp_path, print)


class Broken:
    """A tracker whose server is away from the second epoch on."""

    def __init__(self, folder: Path) -> None:
        assert folder.is_dir()

    def begin(self, name: str, values: Mapping[str, Any], history: Sequence[Epoch]) -> None:
        assert (name, values["epochs"], list(history)) == ("small", 3, [])

    def add_epoch(self, row: Epoch) -> None:
        if row.epoch > 1:
            raise ConnectionError("no server\nand more")

    def end(self, metrics: Sequence[Metric]) -> None:
        raise AssertionError(f"told {metrics} after it failed")


def test_a_run_outlives_a_tracker_that_fails(data: PairData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(observers.TRACKERS, "tensorboard", Broken)
    said: list[str] = []
    trackers = Trackers(["tensorboard"], tmp_path, said.append)
    assert len(train(SMALL, data, tmp_path, CPU, observer=trackers).history) == 3
    trackers.end([METRIC])
    assert said == ["--track tensorboard failed, and the run goes on without it: no server"]


def test_a_tracker_that_cannot_begin_ends_the_run_at_once(
    data: PairData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(observers.TRACKERS, "tensorboard", Broken)
    trackers = Trackers(["tensorboard"], tmp_path, print)
    with pytest.raises(TrainingError, match="--track tensorboard: cannot begin: "):
        train(replace(SMALL, name="other"), data, tmp_path, CPU, observer=trackers)
