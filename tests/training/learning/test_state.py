"""The state of a run on disk: complete when loaded, refused when damaged or of another run."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from model.errors import TrainingError
from tests.training.support.small_pairs import SMALL
from training.learning.history import Epoch, best_epoch
from training.learning.state import RunState, flatten_optimizer, restore_optimizer

DATA = "a" * 64


def row(epoch: int, validation_loss: float) -> Epoch:
    return Epoch(
        epoch=epoch,
        learning_rate=1e-4,
        train_loss=0.5 / epoch,
        train_accuracy=0.75,
        validation_loss=validation_loss,
        validation_bce=validation_loss,
        validation_mse=0.2,
        validation_accuracy=0.7,
        seconds=1.5,
        images_per_s=100.25,
    )


def tensors(seed: int) -> dict[str, Tensor]:
    draws = torch.Generator().manual_seed(seed)
    kernel = torch.randn(3, 2, 4, 4, generator=draws).to(memory_format=torch.channels_last)
    return {"twin.0.weight": kernel, "count": torch.tensor(7), "bias": torch.randn(3, generator=draws)}


def state() -> RunState:
    return RunState(
        weights=tensors(0),
        optimizer=tensors(1),
        best=tensors(2),
        history=[row(1, 0.6), row(2, 1 / 3)],
        torch_versions=["2.1"],
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "state.safetensors"
    state().save(path, SMALL.identity(DATA))
    return path


def refused(path: Path) -> str:
    with pytest.raises(TrainingError) as caught:
        RunState.load(path, SMALL.identity(DATA))
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message


def test_loaded_state_equals_the_saved_state(path: Path) -> None:
    found, wanted = RunState.load(path, SMALL.identity(DATA)), state()
    assert (found.history, found.torch_versions) == (wanted.history, ["2.1"])
    for left, right in (
        (found.weights, wanted.weights),
        (found.optimizer, wanted.optimizer),
        (found.best, wanted.best),
    ):
        assert left.keys() == right.keys()
        assert all(torch.equal(left[name], right[name]) for name in right)


def test_everybody_may_read_a_state(path: Path) -> None:
    """safetensors writes private files, but another user may go on with a run."""
    assert path.stat().st_mode & 0o777 == 0o644


def test_state_without_best_weights_is_loaded(tmp_path: Path) -> None:
    path = tmp_path / "state.safetensors"
    RunState(weights=tensors(0), optimizer=tensors(1)).save(path, SMALL.identity(DATA))
    found = RunState.load(path, SMALL.identity(DATA))
    assert found.best == {}
    assert found.history == []


def test_saving_replaces_the_previous_epoch(path: Path) -> None:
    later = state()
    later.history.append(row(3, 0.5))
    later.save(path, SMALL.identity(DATA))
    assert RunState.load(path, SMALL.identity(DATA)).history == later.history
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("length", [0, 5, 200, -1])
def test_truncated_state_is_refused(path: Path, length: int) -> None:
    path.write_bytes(path.read_bytes()[:length])
    assert "cannot be read as the state of a run" in refused(path)


@pytest.mark.parametrize("content", [b"no safetensors file", bytes(1000)])
def test_other_file_is_refused(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    refused(path)


@pytest.mark.parametrize(
    "metadata",
    [
        None,
        {"other": "{}"},
        {"facepair-run": "no json"},
        {"facepair-run": "{}"},
        {"facepair-run": "[]"},
        {"facepair-run": json.dumps({"run": {}})},
        {"facepair-run": json.dumps({"run": {}, "history": []})},
    ],
)
def test_foreign_header_is_refused(path: Path, metadata: dict[str, str] | None) -> None:
    save_file({"x": torch.zeros(2)}, path, metadata=metadata)
    refused(path)


def test_state_with_other_threads_or_processes_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sums would be rounded in another order, and the run would end with other weights."""
    threads = torch.get_num_threads()
    monkeypatch.setattr("torch.get_num_threads", lambda: 17)
    assert f"the run began with {threads} threads; add --threads {threads}" in refused(path)
    monkeypatch.setattr("training.learning.parallel.world_size", lambda: 17)
    assert "belongs to another run (threads, processes differ)" in refused(path)


def test_checkpoint_is_refused_as_a_state(path: Path, checkpoint_path: Path) -> None:
    path.write_bytes(checkpoint_path.read_bytes())
    refused(path)


def test_missing_state_is_refused(tmp_path: Path) -> None:
    refused(tmp_path / "absent.safetensors")


def test_best_epoch_is_the_first_with_the_lowest_loss() -> None:
    assert best_epoch([]) == 0
    assert best_epoch([row(1, 0.6), row(2, 0.4), row(3, 0.5), row(4, 0.4)]) == 2


def adam(layer: nn.Module) -> torch.optim.Adam:
    return torch.optim.Adam(layer.parameters(), 0.1, weight_decay=0.01)


def take_steps(layer: nn.Module, optimizer: torch.optim.Adam, count: int) -> None:
    for number in range(count):
        optimizer.zero_grad()
        (layer(torch.full((1, 3), 1.0 + number)) ** 2).sum().backward()
        optimizer.step()


def test_restored_optimizer_takes_the_same_steps() -> None:
    first, second = nn.Linear(3, 2), nn.Linear(3, 2)
    optimizer, restored = adam(first), adam(second)
    take_steps(first, optimizer, 3)
    second.load_state_dict(first.state_dict())
    restore_optimizer(restored, {name: tensor.clone() for name, tensor in flatten_optimizer(optimizer).items()})
    for layer, one in ((first, optimizer), (second, restored)):
        take_steps(layer, one, 2)
    assert all(torch.equal(*pair) for pair in zip(first.parameters(), second.parameters(), strict=True))
    flat, wanted = flatten_optimizer(restored), flatten_optimizer(optimizer)
    assert flat.keys() == wanted.keys() == {f"{i}.{name}" for i in (0, 1) for name in ("step", "exp_avg", "exp_avg_sq")}
    assert all(torch.equal(flat[name], wanted[name]) for name in wanted)
