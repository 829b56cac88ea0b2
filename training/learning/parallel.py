"""One run over several processes, as `torchrun` starts them: each takes a share of every batch, all step as one.

Without batch normalisation and dropout, figures and weights are those of one process with the same global batch, to
floating-point tolerance: every loss is weighted by the size of its share, and all processes draw the same random
numbers. Each process normalises by the statistics of its own share, as DistributedDataParallel does, and keeps the
running statistics of the first process; dropout draws another mask in each.

B batch
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
    """Joins the processes that `torchrun` started, over gloo on CPUs and NCCL on GPUs; does nothing for a lone one."""
    if "WORLD_SIZE" not in os.environ:
        yield
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)  # which broadcasts of objects and barriers take, else every process's is cuda:0
        dist.init_process_group("nccl", device_id=device)
    else:
        dist.init_process_group("gloo")
    try:
        yield
    finally:
        dist.destroy_process_group()


def local_device(device: torch.device) -> torch.device:
    """The GPU of this process, where `torchrun` started one process for each."""
    return (
        torch.device("cuda", int(os.environ.get("LOCAL_RANK", device.index or 0))) if device.type == "cuda" else device
    )


def rank() -> int:
    """This process's number; 0 writes the files."""
    return dist.get_rank() if dist.is_initialized() else 0


def world_size() -> int:
    """How many processes there are."""
    return dist.get_world_size() if dist.is_initialized() else 1


def from_first(read: Callable[[], T]) -> T:
    """What `read` gives in the first process, in every process; the others do not read."""
    if not dist.is_initialized():
        return read()
    values: list[T | None] = [read() if rank() == 0 else None]
    dist.broadcast_object_list(values)
    return values[0]  # type: ignore[return-value]  # the first process's, which has read


def require_share_of(pairs: int, batch_pairs: int) -> None:
    """Raises TrainingError if the last batch is too small for every process to have a pair of it."""
    last = pairs % batch_pairs or batch_pairs
    if last < world_size():
        raise TrainingError(f"{world_size()} processes cannot share the last batch of {last} pairs; start fewer")


def require_lone_process() -> None:
    """Raises TrainingError under `torchrun` with several processes, of which each would do the same."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise TrainingError("only `run` shares its work between processes; start this without torchrun")


def wait_for_all() -> None:
    """Returns when every process has come here."""
    if dist.is_initialized():
        dist.barrier()


def share(indices: Tensor) -> Tensor:
    """This process's part of a batch, (B,) -> (B / processes,), give or take one."""
    return indices.tensor_split(world_size())[rank()]


def total(values: Tensor) -> Tensor:
    """The element-wise sum over all processes."""
    if dist.is_initialized():
        dist.all_reduce(values)
    return values


def wrap(network: nn.Module) -> nn.Module:
    """The network as training calls it: with gradients averaged over the processes where there are several."""
    if world_size() == 1:
        return network
    return DistributedDataParallel(network)
