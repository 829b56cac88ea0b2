"""A small complete run: the files it writes, when it stops, the weights it keeps, and errors."""

import json
import threading
from collections.abc import Generator, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import cast

import pytest
import torch
from PIL import Image

from model.errors import TrainingError
from model.files import alone_in
from tests.training.support.small_pairs import CPU, NARROW, SMALL, STILL, run
from training.data.datasets import PairData
from training.learning import history, loop
from training.learning.experiment import Batch
from training.learning.history import draw_curves
from training.learning.loop import Trained
from training.learning.state import RunState
from training.pairs import PairExperiment
from training.scoring import score_pairs
from training.statistics import rates

# A normal first epoch, then steps of 1e35.
EXPLODING = replace(SMALL, decay_every_epochs=1, decay_factor=1e38)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("run")


@pytest.fixture(scope="module")
def trained(data: PairData, folder: Path) -> Trained:
    """The small experiment, run to its end in `folder`, with its curves."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(history, "draw_curves", draw_curves)
        return run(SMALL, data, folder)


def same_weights(left: Trained, right: Trained) -> bool:
    return same_tensors(left.network.state_dict(), right.network.state_dict())


def same_tensors(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> bool:
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


def test_metrics_file_has_the_history(trained: Trained, folder: Path) -> None:
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert rows == [asdict(row) for row in trained.history]
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    for row in rows:
        assert row["learning_rate"] == SMALL.learning_rate
        assert row["validation_loss"] == row["validation_bce"]
        assert 0 <= row["train_accuracy"] <= 1
        assert row["train_accuracy"] * 9 == pytest.approx(round(row["train_accuracy"] * 9))
        assert row["validation_accuracy"] * 3 == pytest.approx(round(row["validation_accuracy"] * 3))
        assert row["images_per_s"] > 0
        assert row["seconds"] > 0


@pytest.mark.usefixtures("trained")
def test_run_writes_state_metrics_and_curves(folder: Path) -> None:
    assert sorted(path.name for path in folder.iterdir()) == ["curves.png", "metrics.jsonl", "state.safetensors"]
    check_drawing(folder / "curves.png")


def check_drawing(path: Path) -> None:
    with Image.open(path) as drawing:
        drawing.load()
        assert drawing.format == "PNG"
        assert len(drawing.convert("L").getcolors() or []) > 10


def test_curves_of_a_run_that_learns_from_people_are_drawn(trained: Trained, tmp_path: Path) -> None:
    draw_curves(
        tmp_path / "curves.png", "people", [replace(row, validation_best_accuracy=0.9) for row in trained.history]
    )
    check_drawing(tmp_path / "curves.png")


def test_runs_with_one_seed_are_bit_equal(trained: Trained, data: PairData, tmp_path: Path) -> None:
    torch.manual_seed(1234)
    again = run(SMALL, data, tmp_path)
    assert same_weights(again, trained)
    for left, right in zip(again.history, trained.history, strict=True):
        assert replace(left, seconds=0, images_per_s=0) == replace(right, seconds=0, images_per_s=0)


def test_other_seed_gives_other_weights(trained: Trained, data: PairData, tmp_path: Path) -> None:
    other = run(replace(SMALL, seed=1, epochs=1), data, tmp_path)
    assert other.history[0].train_loss != trained.history[0].train_loss


def test_learning_rate_falls_in_steps(data: PairData, tmp_path: Path) -> None:
    falling = run(replace(SMALL, epochs=2, decay_every_epochs=1, decay_factor=0.5), data, tmp_path)
    assert [row.learning_rate for row in falling.history] == pytest.approx([1e-3, 5e-4])


def test_run_stops_when_patience_is_exhausted(data: PairData, tmp_path: Path) -> None:
    stopped = run(replace(STILL, epochs=9, patience_epochs=2, keep="best"), data, tmp_path)
    assert [row.epoch for row in stopped.history] == [1, 2, 3]
    assert stopped.epoch == 1


@pytest.mark.parametrize(
    ("losses", "patience", "expected"),
    [
        ([], 2, False),
        ([0.5], 1, False),
        ([0.5, 0.5], 1, True),
        ([0.5, 0.6], 2, False),
        ([0.5, 0.6, 0.55], 2, True),
        ([0.5, 0.6, 0.4, 0.45], 2, False),
        ([0.5, 0.6, 0.4, 0.45, 0.4], 2, True),
        ([0.5, 0.6, 0.7, 0.8, 0.9], None, False),
        ([0.9, 0.8, 0.7, 0.6, 0.5, 0.4], None, True),
        ([0.9, 0.8, 0.7, 0.6, 0.5, 0.4], 2, True),
    ],
)
def test_is_finished_by_epochs_or_patience(
    trained: Trained, losses: list[float], patience: int | None, expected: bool
) -> None:
    history = [replace(trained.history[0], epoch=i, validation_loss=loss) for i, loss in enumerate(losses, 1)]
    assert replace(SMALL, epochs=6, patience_epochs=patience).is_finished(history) is expected


def state_of(experiment: PairExperiment, data: PairData, folder: Path) -> RunState:
    return RunState.load(folder / "state.safetensors", experiment.identity(data.sha256))


def test_last_weights_are_kept(trained: Trained, data: PairData, folder: Path) -> None:
    assert same_tensors(trained.network.state_dict(), state_of(SMALL, data, folder).weights)
    assert trained.epoch == 3


def test_best_weights_are_kept(data: PairData, tmp_path: Path) -> None:
    """Growing steps make later epochs worse; a run that ends at the best epoch has its weights."""
    growing = replace(SMALL, decay_every_epochs=1, decay_factor=20.0, keep="best")
    best = run(growing, data, tmp_path / "best")
    losses = [row.validation_loss for row in best.history]
    assert best.epoch == 1 + losses.index(min(losses)) < 3
    assert same_weights(best, run(replace(growing, epochs=best.epoch, keep="last"), data, tmp_path / "shorter"))
    assert not same_tensors(best.network.state_dict(), state_of(growing, data, tmp_path / "best").weights)


def test_infinite_loss_stops_the_run(data: PairData, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="the loss became"):
        run(EXPLODING, data, tmp_path)
    state = state_of(EXPLODING, data, tmp_path)
    assert len(state.history) == 1
    assert all(tensor.isfinite().all() for tensor in state.weights.values())
    assert same_tensors(state.weights, run(replace(SMALL, epochs=1), data, tmp_path / "one").network.state_dict())


def test_weights_that_fail_validation_are_not_saved(data: PairData, tmp_path: Path) -> None:
    """With one batch per epoch, no further step follows the one that breaks the weights."""
    experiment = replace(EXPLODING, batch_pairs=9)
    with pytest.raises(TrainingError, match="the loss became"):
        run(experiment, data, tmp_path)
    assert len(state_of(experiment, data, tmp_path).history) == 1
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == 1


def test_second_run_in_one_folder_is_refused(trained: Trained, data: PairData, folder: Path) -> None:
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(TrainingError, match="already holds a run; add --resume") as caught:
        run(SMALL, data, folder)
    assert str(folder) in str(caught.value)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert same_weights(run(SMALL, data, folder, resume=True), trained)


@pytest.mark.usefixtures("trained")
def test_two_processes_do_not_train_in_one_folder(data: PairData, folder: Path) -> None:
    with alone_in(folder), pytest.raises(TrainingError, match="another process trains in it; wait for that one"):
        run(SMALL, data, folder, resume=True)


@pytest.mark.usefixtures("trained")
def test_state_of_another_run_is_refused(data: PairData, folder: Path) -> None:
    other = replace(SMALL, learning_rate=1e-4, network=NARROW.model_copy(update={"dropout": 0.5}))
    with pytest.raises(TrainingError, match="another run") as caught:
        run(other, data, folder, resume=True)
    assert "(network, learning_rate differ)" in str(caught.value)
    album = data.album
    changed = replace(album, sha256="0" * 64)
    with pytest.raises(TrainingError, match=r"\(data_sha256 differ\)"):
        run(SMALL, replace(data, album=changed), folder, resume=True)


def test_mse_experiments_compare_epochs_by_mse(data: PairData, tmp_path: Path) -> None:
    (row,) = run(replace(SMALL, loss="mse", epochs=1), data, tmp_path).history
    assert row.validation_loss == row.validation_mse != row.validation_bce
    assert 0 < row.train_loss < 0.5 < row.validation_bce


def batch_of(number: int) -> Batch:
    return Batch(images=torch.full((1, 1, 2, 2), float(number)), labels=torch.zeros(1), judged=1)


def test_batches_are_made_one_ahead_in_order() -> None:
    made: list[int] = []

    def make() -> Iterator[Batch]:
        for number in range(4):
            made.append(number)
            yield batch_of(number)

    found = []
    for batch in loop.made_ahead(make()):
        found.append(int(batch.images[0, 0, 0, 0]))
        assert len(made) <= len(found) + 1
    assert found == made == [0, 1, 2, 3]


def test_a_fault_of_a_batch_is_raised_where_the_batch_is_used() -> None:
    def make() -> Iterator[Batch]:
        yield batch_of(0)
        raise TrainingError("no batch")

    batches = loop.made_ahead(make())
    assert float(next(batches).images.sum()) == 0
    with pytest.raises(TrainingError, match="no batch"):
        next(batches)


def test_batches_for_a_gpu_are_pinned(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pinning needs a GPU, so that this counts the calls."""
    pinned: list[torch.Tensor] = []

    def pin(tensor: torch.Tensor) -> torch.Tensor:
        pinned.append(tensor)
        return tensor

    monkeypatch.setattr(torch.Tensor, "pin_memory", pin)
    for device, of_two_batches in ((CPU, 0), (torch.device("cuda"), 4)):
        batches = list(loop.pinned((batch_of(number) for number in range(2)), device))
        assert [float(batch.images.mean()) for batch in batches] == [0, 1]
        assert len(pinned) == of_two_batches


def test_no_thread_is_left_when_batches_are_not_used_up() -> None:
    before = set(threading.enumerate())
    batches = loop.made_ahead(batch_of(number) for number in range(9))
    next(batches)
    assert set(threading.enumerate()) > before
    cast(Generator[Batch], batches).close()
    assert set(threading.enumerate()) == before


def test_a_run_says_how_long_it_takes_and_is_not_changed_by_it(
    trained: Trained, data: PairData, tmp_path: Path
) -> None:
    said: list[str] = []
    again = loop.train(SMALL, data, tmp_path, CPU, say=said.append)
    assert same_weights(again, trained)
    first, *lines = said
    assert first == f"at most {SMALL.epochs} epochs, about 0.0 hours"
    assert lines == [row.describe(3, "validation pairs") for row in again.history]
    loop.train(SMALL, data, tmp_path, CPU, resume=True, say=said.append)
    assert len(said) == 4  # nothing is left to do


def test_the_line_of_an_epoch_has_the_validation_figures(trained: Trained) -> None:
    row = replace(trained.history[0], train_loss=0.25, seconds=61.4)
    row = replace(
        row, validation_area=0.97443, validation_accuracy=0.9137, validation_eer=0.0811, validation_pairs=1702
    )
    assert row.describe(40, "pairs of held-out people") == (
        "epoch 1/40: loss 0.2500; 1,702 pairs of held-out people: AUC 0.9744, accuracy 91.4%, EER 8.1%; 61 s"
    )
    older = replace(row, validation_area=None, validation_eer=None, validation_pairs=None)
    assert older.describe(40, "validation pairs") == "epoch 1/40: loss 0.2500; validation pairs: accuracy 91.4%; 61 s"


def test_validation_figures_are_those_of_the_validation_pairs(trained: Trained, data: PairData) -> None:
    scores, same = score_pairs(trained.network, data.album, data.validation)
    row = trained.history[-1]
    assert row.validation_area == rates.area_under_roc(scores, same)
    assert row.validation_eer == rates.equal_error_rate(scores, same)
    assert row.validation_pairs == 3
