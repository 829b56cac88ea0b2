"""Saving refuses networks that are not fit to serve, and never leaves half a file."""

import math
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from torch import Tensor, nn

from model.checkpoint import Description, load
from model.errors import CheckpointError
from model.imaging.preprocessing import PreprocessingConfig
from model.networks.embedder import save
from model.networks.siamese import SiameseNetwork
from model.similarity import Metric
from tests.conftest import describe
from tests.model.support.checkpoints import tiny

IDENTICAL = 1 / (1 + math.exp(-1.0))  # the tiny network's bias is 1


def refuse(folder: Path, network: SiameseNetwork, description: Description) -> str:
    """The message of the error; asserts that nothing was written."""
    with pytest.raises(CheckpointError) as caught:
        save(folder / "weights", network, description)
    assert list(folder.iterdir()) == []
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("name", ["twin.0.weight", "twin.1.running_var", "comparison.bias"])
def test_values_that_are_not_finite_are_refused(tmp_path: Path, name: str, value: float) -> None:
    network = tiny()
    network.state_dict()[name].view(-1)[-1] = value
    assert name in refuse(tmp_path, network, describe())


def test_values_too_large_for_half_precision_are_refused(tmp_path: Path) -> None:
    network = tiny()
    network.state_dict()["fully_connected.weight"].view(-1)[0] = 70_000
    assert "fully_connected.weight" in refuse(tmp_path, network, describe())


def test_weights_without_a_finite_score_are_refused(tmp_path: Path) -> None:
    network = tiny()
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.weight.fill_(1e30)
    refuse(tmp_path, network, describe())


def test_unreachable_threshold_is_refused(tmp_path: Path) -> None:
    message = refuse(tmp_path, tiny(), describe(threshold=math.nextafter(IDENTICAL, 1)))
    assert f"{IDENTICAL:.6f}" in message


def test_highest_reachable_threshold_is_saved(tmp_path: Path) -> None:
    save(tmp_path / "weights", tiny(), describe(threshold=math.nextafter(IDENTICAL, 0)))
    assert load(tmp_path / "weights").header.threshold.value == math.nextafter(IDENTICAL, 0)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_descriptions_refuse_values_that_are_not_finite(value: float) -> None:
    with pytest.raises(ValidationError):
        Metric(name="accuracy", split="test", value=value, pairs=1)
    with pytest.raises(ValidationError):
        PreprocessingConfig(mean=value)
    with pytest.raises(ValidationError):
        PreprocessingConfig(std=value)


def test_description_with_different_sides_is_refused() -> None:
    fields = dict(describe()) | {"preprocessing": PreprocessingConfig(side_px=106)}
    with pytest.raises(ValidationError, match="side_px"):
        Description(**fields)


def break_the_disk(monkeypatch: pytest.MonkeyPatch, failure: BaseException) -> None:
    """Makes writing fail half way, as on a full disk."""

    def fail(tensors: dict[str, Tensor], path: Path, metadata: dict[str, str]) -> None:
        assert tensors
        assert metadata
        path.write_bytes(b"half a file")
        raise failure

    monkeypatch.setattr("model.checkpoint.save_file", fail)


FAILURES: list[tuple[BaseException, type[BaseException]]] = [
    (OSError("no space left"), CheckpointError),
    (SafetensorError("no space left"), CheckpointError),
    (KeyboardInterrupt(), KeyboardInterrupt),
]


@pytest.mark.parametrize(("failure", "seen"), FAILURES)
def test_failed_save_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: BaseException, seen: type[BaseException]
) -> None:
    path = tmp_path / "weights"
    old = save(path, tiny(), describe())
    break_the_disk(monkeypatch, failure)
    with pytest.raises(seen):
        save(path, tiny(seed=1), describe())
    assert load(path).header == old
    assert list(tmp_path.iterdir()) == [path]
