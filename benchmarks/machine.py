"""The machine of a record, and a matrix product, whose speed other rates are compared with."""

import os
import platform
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

PRODUCT_SIDE = 2048
PRODUCT_FLOP = 2 * PRODUCT_SIDE**3


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What a reader needs to judge whether two records can be compared."""

    cpu: str
    cores: int
    memory_gib: float
    system: str
    python: str
    torch: str
    threads: int
    device: str
    gpu: str | None


def describe_machine(device: torch.device) -> Machine:
    """This machine and the device that computes."""
    return Machine(
        cpu=_cpu(),
        cores=os.cpu_count() or 0,
        memory_gib=round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30, 1),
        system=platform.platform(),
        python=platform.python_version(),
        torch=str(torch.__version__),
        threads=torch.get_num_threads(),
        device=str(device),
        gpu=torch.cuda.get_device_name(device) if device.type == "cuda" else None,
    )


def matrix_product(device: torch.device) -> Callable[[], Tensor]:
    """A function that multiplies two float32 matrices of 2048 x 2048: PRODUCT_FLOP operations."""
    generator = torch.Generator().manual_seed(0)
    left, right = torch.rand(2, PRODUCT_SIDE, PRODUCT_SIDE, generator=generator).to(device)
    return lambda: left @ right


def _cpu() -> str:
    """The processor's name. On Linux `platform` knows only the architecture, so it is read from /proc there."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
