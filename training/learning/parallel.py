"""One run in several processes, started by `torchrun`. Each takes a share of every batch, and all step together.

Without batch normalisation and dropout, metrics and weights equal those of one process with the same global batch, to
floating-point tolerance: every loss is weighted by the size of its share, and all processes draw the same random
numbers. As usual with DistributedDataParallel, each process normalises by the statistics of its own share, and the
running statistics of the first process are kept. Dropout masks differ between processes.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from model.errors import TrainingError

T = TypeVar("T")


@contextmanager
def process_group(device: torch.device) -> Iterator[None]:
    """Joins the processes that `torchrun` started, by gloo on CPUs and NCCL on GPUs. Does nothing without torchrun."""
    if "WORLD_SIZE" not in os.environ:
        yield
        return
    if device.type == "cuda":
        # Broadcasts of objects and barriers use the current device, which is cuda:0 in every process unless set.
        torch.cuda.set_device(device)
        dist.init_process_group("nccl", device_id=device)
    else:
        dist.init_process_group("gloo")
    try:
        yield
    finally:
        dist.destroy_process_group()


def local_device(device: torch.device) -> torch.device:
    """This process's GPU: `torchrun` starts one process for each. A CPU is returned as it is."""
    return (
        torch.device("cuda", int(os.environ.get("LOCAL_RANK", device.index or 0))) if device.type == "cuda" else device
    )


def rank() -> int:
    """This process's number. Process 0 writes the files."""
    return dist.get_rank() if dist.is_initialized() else 0


def world_size() -> int:
    return dist.get_world_size() if dist.is_initialized() else 1


def from_first(read: Callable[[], T]) -> T:
    """Calls `read` in the first process only, and returns its value in every process."""
    if not dist.is_initialized():
        return read()
    values: list[T | None] = [read() if rank() == 0 else None]
    dist.broadcast_object_list(values)
    return values[0]  # type: ignore[return-value]  # None only before the broadcast


def require_share_of(pairs: int, batch_pairs: int) -> None:
    """Raises TrainingError if the last batch has fewer pairs than there are processes."""
    last = pairs % batch_pairs or batch_pairs
    if last < world_size():
        raise TrainingError(
            f"the last batch has too few pairs ({last}) for {world_size()} processes; start fewer processes"
        )


def require_lone_process() -> None:
    """Raises TrainingError under `torchrun` with several processes, which would all do the same work."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise TrainingError("only `run` supports several processes; start this command without torchrun")


def wait_for_all() -> None:
    """Returns when every process has called it."""
    if dist.is_initialized():
        dist.barrier()


def share(indices: Tensor) -> Tensor:
    """This process's share of a batch, (B,) -> (B / processes,), rounded up or down."""
    return indices.tensor_split(world_size())[rank()]


def total(values: Tensor) -> Tensor:
    """The element-wise sum over all processes; changes `values` in place."""
    if dist.is_initialized():
        dist.all_reduce(values)
    return values


def wrap(network: nn.Module) -> nn.Module:
    """The network for training: with several processes, gradients are averaged over them."""
    return network if world_size() == 1 else DistributedDataParallel(network)
