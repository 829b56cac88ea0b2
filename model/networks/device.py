"""Selects PyTorch's device, and classifies PyTorch's errors."""

import re

import torch

from model.device import require_known
from model.errors import MSG_DEVICE_EXHAUSTED, MSG_DEVICE_LOST, DeviceError, DeviceExhausted, DeviceLost

# Messages of CUDA and its libraries: PyTorch raises some of their errors as plain RuntimeErrors.
CUDA_MESSAGE = re.compile(r"CUDA (driver )?error|cuDNN error|CUBLAS_STATUS|CUDNN_STATUS|CUFFT_|cuFFT error")
MEMORY_MESSAGE = re.compile(r"out of memory|ALLOC_FAILED|DefaultCPUAllocator")


def select_device(name: str) -> torch.device:
    """`auto`, `cpu`, `cuda` or `cuda:N` -> an available device. Raises DeviceError."""
    require_known(name)
    if name == "auto":
        return torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")
    if name == "cpu":
        return torch.device("cpu")
    index = int(name.partition(":")[2] or 0)
    if not torch.cuda.is_available():
        raise DeviceError(f"device {name} is not available: PyTorch finds no GPU; use --device cpu or auto")
    if index >= torch.cuda.device_count():
        raise DeviceError(
            f"device {name} is not available: there are {torch.cuda.device_count()} GPUs, numbered from 0"
        )
    return torch.device("cuda", index)


def fault_of(error: RuntimeError | MemoryError) -> DeviceExhausted | DeviceLost | None:
    """The device's fault that a PyTorch error stands for, or None if it has another cause."""
    text = str(error)
    if isinstance(error, torch.OutOfMemoryError | MemoryError) or MEMORY_MESSAGE.search(text):
        return DeviceExhausted(MSG_DEVICE_EXHAUSTED)
    if isinstance(error, torch.AcceleratorError) or CUDA_MESSAGE.search(text):
        return DeviceLost(MSG_DEVICE_LOST)
    return None
