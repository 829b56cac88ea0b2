"""A run that was interrupted at any point and resumed ends like an uninterrupted run."""

import json
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from model.errors import TrainingError
from tests.training.support.small_pairs import CPU, NARROW, SMALL, run
from training.data.album import PairSet
from training.data.datasets import PairData
from training.learning.history import Epoch
from training.learning.loop import Trained, train
from training.learning.state import RunState
from training.pairs import PairExperiment

# Everything that a state can contain: moments, dropout, decay, the best weights.
EVERYTHING = replace(
    SMALL,
    network=NARROW.model_copy(update={"dropout": 0.5}),
    weight_decay=1e-2,
    decay_every_epochs=2,
    patience_epochs=2,
    keep="best",
)


@dataclass(frozen=True, kw_only=True)
class Interrupted(PairSet):
    """Pairs that raise KeyboardInterrupt after a number of batches."""

    taken: list[Tensor]
    after: int

    def __getitem__(self, chosen: Tensor) -> PairSet:
        if len(self.taken) == self.after:
            raise KeyboardInterrupt
        self.taken.append(chosen)
        return super().__getitem__(chosen)


def interrupt(experiment: PairExperiment, data: PairData, folder: Path, after: int) -> None:
    pairs = data.training
    stopping = Interrupted(left=pairs.left, right=pairs.right, same=pairs.same, taken=[], after=after)
    with pytest.raises(KeyboardInterrupt):
        run(experiment, replace(data, training=stopping), folder, resume=True)


def untimed(history: list[Epoch]) -> list[Epoch]:
    return [replace(row, seconds=0, images_per_s=0) for row in history]


def assert_equal_files(left: Path, right: Path) -> None:
    """All tensors of two states, the optimiser's moments and the best weights among them, bit for bit."""
    first, second = load_file(left / "state.safetensors"), load_file(right / "state.safetensors")
    assert first.keys() == second.keys()
    assert {name.partition("/")[0] for name in first} == {"weights", "optimizer", "best"}
    for name in first:
        assert torch.equal(first[name], second[name]), name


@dataclass(frozen=True, kw_only=True)
class Whole:
    """An uninterrupted run."""

    folder: Path
    trained: Trained


@pytest.fixture(scope="module")
def whole(data: PairData, tmp_path_factory: pytest.TempPathFactory) -> Whole:
    folder = tmp_path_factory.mktemp("whole")
    return Whole(folder=folder, trained=run(EVERYTHING, data, folder))


@pytest.mark.parametrize("batches", [(3,), (6,), (8,), (2, 4)], ids=str)
def test_resumed_run_equals_an_uninterrupted_run(
    whole: Whole, data: PairData, tmp_path: Path, batches: tuple[int, ...]
) -> None:
    """An epoch has three batches. Each number is the batch of one interruption."""
    for after in batches:
        interrupt(EVERYTHING, data, tmp_path, after)
    resumed = run(EVERYTHING, data, tmp_path, resume=True)
    assert len(resumed.history) == 3
    assert untimed(resumed.history) == untimed(whole.trained.history)
    assert resumed.epoch == whole.trained.epoch
    assert_equal_files(whole.folder, tmp_path)
    weights = resumed.network.state_dict()
    assert all(torch.equal(weights[name], tensor) for name, tensor in whole.trained.network.state_dict().items())
    assert [json.loads(line)["epoch"] for line in (tmp_path / "metrics.jsonl").read_text().splitlines()] == [1, 2, 3]


def test_interruption_keeps_the_last_finished_epoch(data: PairData, tmp_path: Path) -> None:
    interrupt(SMALL, data, tmp_path, 5)
    assert len(RunState.load(tmp_path / "state.safetensors", SMALL.identity(data.sha256)).history) == 1
    assert not [path.name for path in tmp_path.iterdir() if "partial" in path.name]


def test_resuming_a_finished_run_changes_nothing(whole: Whole, data: PairData) -> None:
    state = (whole.folder / "state.safetensors").read_bytes()
    again = run(EVERYTHING, data, whole.folder, resume=True)
    assert again.history == whole.trained.history
    assert (whole.folder / "state.safetensors").read_bytes() == state


def test_resumed_run_completes_missing_metrics(data: PairData, tmp_path: Path) -> None:
    """The state is written before the metrics; resumed, the run ends with every row."""
    trained = run(SMALL, data, tmp_path)
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "metrics.jsonl").write_text("".join(lines[:-1]))
    assert run(SMALL, data, tmp_path, resume=True).history == trained.history
    assert (tmp_path / "metrics.jsonl").read_text() == "".join(lines)


@pytest.mark.parametrize("resume", [False, True])
def test_metrics_without_a_state_are_not_overwritten(data: PairData, tmp_path: Path, resume: bool) -> None:
    run(SMALL, data, tmp_path)
    (tmp_path / "state.safetensors").unlink()
    rows = (tmp_path / "metrics.jsonl").read_text()
    with pytest.raises(TrainingError, match=r"holds the metrics of a run, but no state\.safetensors"):
        run(SMALL, data, tmp_path, resume=resume)
    assert (tmp_path / "metrics.jsonl").read_text() == rows


def test_resuming_with_other_pairs_is_refused(data: PairData, tmp_path: Path) -> None:
    interrupt(SMALL, data, tmp_path, 5)
    swapped = replace(data, training=data.validation, validation=data.training)
    with pytest.raises(TrainingError, match=r"\(data_sha256 differ\)"):
        run(SMALL, swapped, tmp_path, resume=True)


def test_resumed_run_keeps_its_first_code_version(data: PairData, tmp_path: Path) -> None:
    one = replace(SMALL, epochs=1)
    assert train(one, data, tmp_path, CPU, code="first").code_version == "first"
    assert train(one, data, tmp_path, CPU, resume=True, code="second").code_version == "first"


def test_all_versions_of_the_code_are_recorded_and_said(
    data: PairData, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pairs = data.training
    for code in ("first", "second", "second", "third"):
        # Each interruption is in the epoch after the next.
        stopping = Interrupted(left=pairs.left, right=pairs.right, same=pairs.same, taken=[], after=4)
        try:
            trained = train(
                replace(SMALL, epochs=5), replace(data, training=stopping), tmp_path, CPU, resume=True, code=code
            )
        except KeyboardInterrupt:
            continue
    trained = train(replace(SMALL, epochs=5), data, tmp_path, CPU, resume=True, code="third")
    assert (trained.code_version, trained.resumed_with) == ("first", ("second", "third"))
    said = capsys.readouterr().err
    assert said.count("was trained by the code first and goes on with second") == 1
    assert said.count("was trained by the code second and goes on with third") == 1


def test_unwritable_folder_is_refused_before_training(data: PairData, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(TrainingError, match="cannot be written"):
        run(SMALL, data, tmp_path / "file" / "run")


def test_resuming_under_another_torch_is_said_and_recorded(
    data: PairData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    interrupt(SMALL, data, tmp_path, 5)
    first = str(torch.__version__)
    monkeypatch.setattr(torch, "__version__", "9.8.7")
    assert run(SMALL, data, tmp_path, resume=True).torch_versions == (first, "9.8.7")
    assert f"was trained by torch {first} and goes on with torch 9.8.7" in capsys.readouterr().err
    # A finished run is not trained any more.
    monkeypatch.setattr(torch, "__version__", "10.0.0")
    assert run(SMALL, data, tmp_path, resume=True).torch_versions == (first, "9.8.7")
    assert "10.0.0" not in capsys.readouterr().err
