"""What is said about GPUs where ONNX Runtime cannot use them, which is before anything is served."""

from pathlib import Path

import onnxruntime
import pytest

from model import device
from model.errors import DeviceError
from model.onnx import device as onnx_device
from model.onnx.embedder import OnnxEmbedder
from tests.model.support.onnx_graphs import onnx_checkpoint, tiny_graph


@pytest.mark.parametrize("name", ["cuda", "cuda:1"])
def test_a_gpu_without_its_runtime_is_an_error_that_says_what_to_install(name: str) -> None:
    with pytest.raises(DeviceError, match=rf"device {name} needs .*onnxruntime-gpu.*or use --device cpu"):
        OnnxEmbedder(onnx_checkpoint(tiny_graph()), name)


def test_auto_falls_back_to_the_cpu_and_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(device, "GPU_FILES", (tmp_path,))
    assert onnx_device.select_device("auto") == "cpu"
    assert "onnxruntime-gpu" in caplog.text


def test_a_gpu_with_its_runtime_is_taken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(device, "GPU_FILES", (tmp_path,))
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [onnx_device.CUDA])
    names = {name: onnx_device.select_device(name) for name in ("auto", "cuda", "cuda:1", "cpu")}
    assert names == {"auto": "cuda:0", "cuda": "cuda:0", "cuda:1": "cuda:1", "cpu": "cpu"}


def test_a_runtime_that_would_fall_back_to_the_cpu_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """As ONNX Runtime does without the CUDA libraries that it needs."""
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [onnx_device.CUDA])
    with (
        pytest.warns(UserWarning, match="CUDAExecutionProvider"),
        pytest.raises(DeviceError, match="cuda:0 is not available to ONNX Runtime: install the CUDA"),
    ):
        OnnxEmbedder(onnx_checkpoint(tiny_graph()), "cuda")
