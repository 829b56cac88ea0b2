"""Which devices need PyTorch. The tests replace what is found, so that they run alike on every machine."""

import logging
from pathlib import Path

import pytest

from model import device
from model.device import needs_torch
from model.errors import DeviceError

MonkeyPatch = pytest.MonkeyPatch


def machine(monkeypatch: MonkeyPatch, *, gpu: bool, torch: bool) -> None:
    here = Path(__file__)
    monkeypatch.setattr(device, "GPU_FILES", (here.with_name("missing"), here if gpu else here.with_name("none")))
    monkeypatch.setattr(device, "find_spec", lambda _: object() if torch else None)


@pytest.mark.parametrize("torch", [False, True])
@pytest.mark.parametrize("gpu", [False, True])
def test_cpu_never_needs_torch(monkeypatch: MonkeyPatch, gpu: bool, torch: bool) -> None:
    machine(monkeypatch, gpu=gpu, torch=torch)
    assert not needs_torch("cpu")


@pytest.mark.parametrize(("gpu", "torch"), [(False, False), (False, True), (True, True)])
def test_auto_needs_torch_where_there_is_a_gpu(
    monkeypatch: MonkeyPatch, caplog: pytest.LogCaptureFixture, gpu: bool, torch: bool
) -> None:
    machine(monkeypatch, gpu=gpu, torch=torch)
    assert needs_torch("auto") == gpu
    assert not caplog.records


def test_auto_with_a_gpu_and_without_torch_is_the_cpu_and_says_so(
    monkeypatch: MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    machine(monkeypatch, gpu=True, torch=False)
    with caplog.at_level(logging.WARNING):
        assert not needs_torch("auto")
    [record] = caplog.records
    assert "there is a GPU, but PyTorch is not installed" in record.getMessage()
    assert "make gpu" in record.getMessage()


@pytest.mark.parametrize("name", ["cuda", "cuda:1"])
@pytest.mark.parametrize("gpu", [False, True])
def test_gpu_is_refused_without_torch(monkeypatch: MonkeyPatch, gpu: bool, name: str) -> None:
    machine(monkeypatch, gpu=gpu, torch=True)
    assert needs_torch(name)
    machine(monkeypatch, gpu=gpu, torch=False)
    with pytest.raises(DeviceError, match=f"device {name} needs PyTorch, which is not installed; .*make gpu"):
        needs_torch(name)


@pytest.mark.parametrize(
    "name", ["", "gpu", "CUDA", "cuda:", "cuda:-1", "cuda: 0", "cuda:0x1", "cpu:0", "cpu\n", "mps"]
)
def test_unknown_names_are_refused_in_one_line(name: str) -> None:
    with pytest.raises(DeviceError, match="use auto, cpu, cuda or cuda:N") as caught:
        needs_torch(name)
    assert "\n" not in str(caught.value)
