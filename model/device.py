"""Which device computes, and what becomes of its faults."""

import re
import traceback

import torch

from model.errors import DeviceError, DeviceExhausted, DeviceLost

# What CUDA and its libraries say; PyTorch raises some of it as plain RuntimeErrors.
OF_CUDA = re.compile(r"CUDA (driver )?error|cuDNN error|CUBLAS_STATUS|CUDNN_STATUS|CUFFT_|cuFFT error")
OF_MEMORY = re.compile(r"out of memory|ALLOC_FAILED|DefaultCPUAllocator")
EXHAUSTED = "the device has too little memory at this moment; ask again, or send fewer images at once"
LOST = "the device failed, and the replica ends; ask another"


def select_device(name: str) -> torch.device:
    """`auto`, `cpu`, `cuda` or `cuda:N` -> a device that is there. Raises DeviceError."""
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", name):
        raise DeviceError(f"device {name!r} is not known; use auto, cpu, cuda or cuda:N")
    if name == "auto":
        return torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")
    if name == "cpu":
        return torch.device("cpu")
    index = int(name.partition(":")[2] or 0)
    if not torch.cuda.is_available():
        raise DeviceError(f"device {name} was asked for, but PyTorch finds no GPU here; use --device cpu or auto")
    if index >= torch.cuda.device_count():
        raise DeviceError(f"device {name} was asked for, but there are only {torch.cuda.device_count()} GPUs here")
    return torch.device("cuda", index)


def fault_of(error: RuntimeError | MemoryError) -> DeviceExhausted | DeviceLost | None:
    """What the error says of the device, or None if it says nothing of it."""
    text = str(error)
    fault: DeviceExhausted | DeviceLost
    if isinstance(error, torch.OutOfMemoryError | MemoryError) or OF_MEMORY.search(text):
        fault = DeviceExhausted(EXHAUSTED)
    elif isinstance(error, torch.AcceleratorError) or OF_CUDA.search(text):
        fault = DeviceLost(LOST)
    else:
        return None
    fault.add_note("".join(traceback.format_exception(error)))
    return fault
