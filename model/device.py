"""Which device computes."""

import re

import torch

from model.errors import DeviceError


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
