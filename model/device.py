"""The names of devices, and whether a GPU may be used, without loading PyTorch."""

import logging
import re
from importlib.util import find_spec
from pathlib import Path

from model.errors import DeviceError

logger = logging.getLogger("facepair")

# What the drivers of Nvidia's and AMD's GPUs make, and Windows' subsystem for Linux.
GPU_FILES = tuple(map(Path, ("/dev/nvidiactl", "/dev/nvidia0", "/dev/kfd", "/dev/dxg")))
HOW_TO_INSTALL = "install it by `make gpu`, or the extra `gpu` by pip"


def require_known(name: str) -> None:
    """Raises DeviceError unless it is `auto`, `cpu`, `cuda` or `cuda:N`."""
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", name):
        raise DeviceError(f"unknown device {name!r}; use auto, cpu, cuda or cuda:N")


def has_gpu_files() -> bool:
    """Whether a GPU's driver has made its files."""
    return any(path.exists() for path in GPU_FILES)


def needs_torch(name: str) -> bool:
    """Whether PyTorch is to compute our own networks on this device: on `cuda`, and for `auto` if there may be a GPU.

    Raises DeviceError if the name is unknown, or if it asks for a GPU and PyTorch is not installed. `auto` is then
    the CPU, and the log says so.
    """
    require_known(name)
    if name == "cpu" or (name == "auto" and not has_gpu_files()):
        return False
    if find_spec("torch"):
        return True
    if name != "auto":
        raise DeviceError(f"device {name} needs PyTorch, which is not installed; {HOW_TO_INSTALL}, or use --device cpu")
    logger.warning(
        "there is a GPU, but PyTorch is not installed, so the CPU is used; to use the GPU %s", HOW_TO_INSTALL
    )
    return False
