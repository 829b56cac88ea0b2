"""Which runtime opens a checkpoint on which device."""

from pathlib import Path

import pytest
import torch

from model import device
from model.checkpoint import Checkpoint, load
from model.cpu.embedder import CpuEmbedder
from model.embedder import open_embedder


@pytest.fixture
def gpu_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that has a GPU's files."""
    monkeypatch.setattr(device, "GPU_FILES", (Path(__file__),))


@pytest.mark.usefixtures("gpu_files")
@pytest.mark.parametrize("name", ["cpu", "auto"])
def test_openvino_serves_on_a_cpu_and_where_torch_finds_no_gpu(
    monkeypatch: pytest.MonkeyPatch, checkpoint_path: Path, name: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    embedder = open_embedder(load(checkpoint_path), name, 2)
    assert isinstance(embedder, CpuEmbedder)
    assert (embedder.device, embedder.threads) == ("cpu", 2)


@pytest.mark.usefixtures("gpu_files")
@pytest.mark.parametrize(("name", "index"), [("auto", 0), ("cuda", 0), ("cuda:1", 1)])
def test_torch_serves_on_a_gpu(monkeypatch: pytest.MonkeyPatch, checkpoint_path: Path, name: str, index: int) -> None:
    opened: list[torch.device] = []

    def open_with_torch(_: Checkpoint, selected: torch.device) -> None:
        opened.append(selected)

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr("model.networks.embedder.TorchEmbedder", open_with_torch)
    open_embedder(load(checkpoint_path), name)
    assert opened == [torch.device("cuda", index)]
