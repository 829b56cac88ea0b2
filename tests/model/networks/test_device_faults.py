"""PyTorch's exceptions for a device's faults become DeviceExhausted or DeviceLost."""

import weakref
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.modules.module import register_module_forward_pre_hook

from model.checkpoint import load
from model.errors import DeviceExhausted, DeviceLost, FacepairError
from model.networks.embedder import TorchEmbedder, translate_faults
from model.verifier import Verifier

CPU = torch.device("cpu")
MEMORY = (
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB."),
    torch.cuda.OutOfMemoryError("CUDA out of memory."),
    torch.AcceleratorError("CUDA error: out of memory\nSearch for `cudaErrorMemoryAllocation'"),
    RuntimeError("CUDA error: out of memory"),
    RuntimeError("CUDA driver error: out of memory"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    MemoryError(),
)
LOSSES = (
    torch.AcceleratorError("CUDA error: device-side assert triggered"),
    torch.AcceleratorError("an accelerator's error in other words"),
    RuntimeError("CUDA error: an illegal memory access was encountered"),
    RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasSgemm(...)`"),
    RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"),
    RuntimeError("CUDA driver error: unspecified launch failure"),
)


def raising(error: Exception) -> Callable[[], None]:
    @translate_faults
    def work() -> None:
        raise error

    return work


@pytest.mark.parametrize("error", MEMORY, ids=str)
def test_memory_errors_become_device_exhausted(error: Exception) -> None:
    with pytest.raises(DeviceExhausted) as caught:
        raising(error)()
    check_text(caught.value, error)


@pytest.mark.parametrize("error", LOSSES, ids=str)
def test_other_device_errors_become_device_lost(error: Exception) -> None:
    with pytest.raises(DeviceLost) as caught:
        raising(error)()
    check_text(caught.value, error)


def check_text(fault: FacepairError, error: Exception) -> None:
    """The message is one line without PyTorch's text, which is in the note."""
    assert "\n" not in str(fault)
    assert "CUDA" not in str(fault)
    assert str(error) in fault.__notes__[0]


def test_cpu_allocation_failure_becomes_device_exhausted() -> None:
    with pytest.raises(DeviceExhausted):
        translate_faults(torch.empty)(10**15)


@pytest.mark.parametrize("error", [RuntimeError("mat1 and mat2 shapes cannot be multiplied"), ValueError("CUDA error")])
def test_other_errors_are_raised_unchanged(error: Exception) -> None:
    with pytest.raises(type(error)) as caught:
        raising(error)()
    assert caught.value is error


def test_error_does_not_keep_tensors_of_the_failed_pass() -> None:
    held: list[weakref.ref[Tensor]] = []

    @translate_faults
    def work() -> None:
        activations = torch.zeros(3)
        held.append(weakref.ref(activations))
        raise torch.OutOfMemoryError("CUDA out of memory.")

    with pytest.raises(DeviceExhausted) as caught:
        work()
    assert caught.value.__traceback__ is not None
    assert caught.value.__context__ is None
    assert held[0]() is None


def test_verifier_translates_device_errors(checkpoint_path: Path) -> None:
    checkpoint = load(checkpoint_path)
    verifier = Verifier(checkpoint.header, TorchEmbedder(checkpoint, CPU))
    embedding = np.zeros((1, verifier.header.network.dimension), np.float32)

    def fail(*_: object) -> None:
        raise torch.AcceleratorError("CUDA error: unspecified launch failure")

    side = verifier.header.preprocessing.side_px
    calls: list[Callable[[], object]] = [
        lambda: verifier.embed(np.zeros((1, side, side), np.uint8)),
        lambda: verifier.compare(embedding, embedding),
        verifier.check_canary,
    ]
    handle = register_module_forward_pre_hook(fail)
    try:
        for call in calls:
            with pytest.raises(DeviceLost):
                call()
    finally:
        handle.remove()
