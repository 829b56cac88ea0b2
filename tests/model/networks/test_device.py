"""The selection of PyTorch's device. The tests replace what PyTorch finds, so that they run alike on every machine."""

import pytest
import torch

from model.errors import DeviceError
from model.networks.device import select_device

MonkeyPatch = pytest.MonkeyPatch


def give_gpus(monkeypatch: MonkeyPatch, count: int) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)


@pytest.mark.parametrize("gpus", [0, 2])
def test_cpu_is_always_available(monkeypatch: MonkeyPatch, gpus: int) -> None:
    give_gpus(monkeypatch, gpus)
    assert select_device("cpu") == torch.device("cpu")


@pytest.mark.parametrize(("gpus", "expected"), [(0, "cpu"), (1, "cuda:0"), (2, "cuda:0")])
def test_auto_selects_the_first_gpu(monkeypatch: MonkeyPatch, gpus: int, expected: str) -> None:
    give_gpus(monkeypatch, gpus)
    assert str(select_device("auto")) == expected


@pytest.mark.parametrize(("name", "index"), [("cuda", 0), ("cuda:0", 0), ("cuda:1", 1)])
def test_gpu_is_selected_by_number(monkeypatch: MonkeyPatch, name: str, index: int) -> None:
    give_gpus(monkeypatch, 2)
    assert select_device(name) == torch.device("cuda", index)


@pytest.mark.parametrize("name", ["cuda", "cuda:0", "cuda:3"])
def test_gpu_is_refused_without_gpus(monkeypatch: MonkeyPatch, name: str) -> None:
    give_gpus(monkeypatch, 0)
    with pytest.raises(DeviceError, match=f"device {name} is not available: PyTorch finds no GPU"):
        select_device(name)


@pytest.mark.parametrize("name", ["cuda:2", "cuda:99999999999999999999"])
def test_gpu_number_beyond_the_last_is_refused(monkeypatch: MonkeyPatch, name: str) -> None:
    give_gpus(monkeypatch, 2)
    with pytest.raises(DeviceError, match=f"device {name} is not available: there are 2 GPUs"):
        select_device(name)


def test_unknown_names_are_refused(monkeypatch: MonkeyPatch) -> None:
    give_gpus(monkeypatch, 2)
    with pytest.raises(DeviceError, match="use auto, cpu, cuda or cuda:N"):
        select_device("gpu")
