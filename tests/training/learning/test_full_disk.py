"""If the disk fills up while a file is saved, the previous file is kept."""

import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch

from model.checkpoint import load
from model.errors import CheckpointError, TrainingError
from model.networks.embedder import save
from tests.conftest import describe, tiny_network
from training.data import shards
from training.data.cropping import Cropped
from training.learning.state import RunState

RUN = {"name": "run"}


@contextmanager
def no_file_larger_than(limit_bytes: int) -> Iterator[None]:
    """Limits the size of files: writing more fails as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def test_full_disk_keeps_the_previous_state(tmp_path: Path) -> None:
    path = tmp_path / "state.safetensors"
    RunState(weights={"a": torch.ones(5000)}).save(path, RUN)
    larger = RunState(weights={"a": torch.zeros(50_000)})
    with no_file_larger_than(30_000), pytest.raises(TrainingError, match=r"state\.safetensors: cannot be saved"):
        larger.save(path, RUN)
    assert RunState.load(path, RUN).weights["a"].sum() == 5000
    assert [entry.name for entry in tmp_path.iterdir()] == ["state.safetensors"]


def test_full_disk_keeps_the_previous_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "tiny.safetensors"
    written = save(path, tiny_network(seed=1), describe())
    with no_file_larger_than(2_000), pytest.raises(CheckpointError, match=r"tiny\.safetensors: cannot be saved"):
        save(path, tiny_network(seed=2), describe())
    assert load(path).header == written
    assert [entry.name for entry in tmp_path.iterdir()] == ["tiny.safetensors"]


def test_crops_of_which_the_last_bytes_find_no_room_are_an_error(tmp_path: Path) -> None:
    """`numpy.save` into a file does not notice: its stream keeps them until it is closed."""
    row = shards.Row(path="P/1.png", stamp="", outcome=Cropped(pixels=np.zeros((40, 40), np.uint8)))
    with no_file_larger_than(1_700), pytest.raises(OSError, match="File too large"):
        shards.write(tmp_path, 0, "test", [row], (40, 40))
    assert list(tmp_path.iterdir()) == []
