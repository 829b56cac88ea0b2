"""The precision of a run's forward pass."""

from dataclasses import replace
from typing import Any, Literal, TypeVar

import torch

from training.learning.experiment import Experiment

Run = TypeVar("Run", bound=Experiment[Any])
# Instructions that multiply bfloat16 numbers. Without them it has less than half of float32's speed.
BFLOAT16 = ("avx512_bf16", "amx_bf16", "bf16")


def with_precision(experiment: Run, device: torch.device) -> Run:
    """A copy whose precision is what is fastest on the device, if it is "auto"; else the experiment itself."""
    if experiment.precision != "auto":
        return experiment
    return replace(experiment, precision=fastest_precision(device))


def fastest_precision(device: torch.device) -> Literal["float32", "bfloat16"]:
    """bfloat16 where the processor or the GPU has instructions for it, else float32."""
    if device.type == "cuda":
        supported = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        supported = any(torch.cpu.get_capabilities().get(name) for name in BFLOAT16)
    return "bfloat16" if supported else "float32"
