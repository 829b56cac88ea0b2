"""Chooses where ONNX Runtime computes."""

import logging

from model.device import has_gpu_files, require_known
from model.errors import DeviceError

logger = logging.getLogger("facepair")

CUDA = "CUDAExecutionProvider"
HOW_TO_INSTALL = "replace the package onnxruntime by onnxruntime-gpu (pip uninstall the first, then install the second)"


def select_device(name: str) -> str:
    """`auto`, `cpu`, `cuda` or `cuda:N` -> `cpu` or `cuda:N`.

    Raises DeviceError if the name is unknown, or if it asks for a GPU and the installed ONNX Runtime cannot use one.
    `auto` is then the CPU, and the log says so.
    """
    require_known(name)
    if name == "cpu" or (name == "auto" and not has_gpu_files()):
        return "cpu"
    import onnxruntime  # here, so that a process on a CPU does not load it

    if CUDA in onnxruntime.get_available_providers():
        return f"cuda:{name.partition(':')[2] or 0}"
    if name != "auto":
        raise DeviceError(
            f"device {name} needs an ONNX Runtime with CUDA for this network; {HOW_TO_INSTALL}, or use --device cpu"
        )
    logger.warning("there is a GPU, but ONNX Runtime cannot use it, so the CPU is used; to use it, %s", HOW_TO_INSTALL)
    return "cpu"
