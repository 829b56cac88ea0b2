"""One run in several processes, started by `torchrun`. Each takes a share of every batch, and all step together.

Without batch normalisation and dropout, metrics and weights equal those of one process with the same global batch, to
floating-point tolerance: all processes draw the same random numbers, and gradients are those of the global batch's
loss. As usual with DistributedDataParallel, each process normalises by the statistics of its own share, and the
running statistics of the first process are kept. Dropout masks differ between processes.

There are two ways to the gradient of the global loss, since DistributedDataParallel averages over the processes. Either
each process has the mean loss of its share, weighted by the share's size. Or each computes the loss of the whole batch,
with `shares`.

B rows of the global batch, b rows of this process, W processes
"""

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import timedelta
from types import FrameType
from typing import Any, NoReturn, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.rendezvous import rendezvous
from torch.nn.parallel import DistributedDataParallel

from model.errors import FacepairError, TrainingError

T = TypeVar("T")
# The connections over which processes wait for each other for hours, as when one prepares pictures. A collective of a
# step fails after minutes.
_patient: ContextVar[dist.ProcessGroup] = ContextVar("patient")
PATIENCE = timedelta(days=7)
POLL_S = 0.1
ENDED = "another process of the run failed or was stopped; add --resume to continue from the last finished epoch"


@contextmanager
def process_group(device: torch.device) -> Iterator[None]:
    """Joins the processes that `torchrun` started, by gloo on CPUs and NCCL on GPUs. Does nothing without torchrun.

    If a process fails or is killed, all end: one of them raises the error, or TrainingError for a process that was
    lost, and the others raise SystemExit. So the user reads one message.
    """
    if "WORLD_SIZE" not in os.environ:
        yield
        return
    if device.type == "cuda":
        # Broadcasts of objects and barriers use the current device, which is cuda:0 in every process unless set.
        torch.cuda.set_device(device)
    store, number, count = next(rendezvous("env://"))
    dist.init_process_group(
        "nccl" if device.type == "cuda" else "gloo",
        store=store,
        rank=number,
        world_size=count,
        device_id=device if device.type == "cuda" else None,
    )
    patient = dist.new_group(backend="gloo", timeout=PATIENCE)
    assert isinstance(patient, dist.ProcessGroup)
    _patient.set(patient)
    before = signal.signal(signal.SIGTERM, _end)
    try:
        yield
    except (FacepairError, KeyboardInterrupt, RuntimeError) as error:
        _require_ours(error)
        # torchrun sends it to the others when one has ended. It must not cut off the message.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if not _is_first_to_end(lambda: store.add("ended", 1)):
            raise SystemExit(1) from error
        if number > 0:
            sys.stderr.write("\n")  # the first process's progress bar may be on this line
        if isinstance(error, RuntimeError):
            raise TrainingError(ENDED) from error
        raise
    signal.signal(signal.SIGTERM, before)
    dist.destroy_process_group()


def _end(_number: int, _frame: FrameType | None) -> NoReturn:
    """Ends the process as an error does, so that a half-written file is removed."""
    raise TrainingError(ENDED)


def _require_ours(error: BaseException) -> None:
    """Raises any other RuntimeError than those of a connection between processes."""
    if isinstance(error, RuntimeError) and not isinstance(error, dist.DistError) and "gloo" not in str(error):
        raise error


def _is_first_to_end(count: Callable[[], int]) -> bool:
    """Whether `count`, which counts over all processes, is called for the first time."""
    try:
        return count() == 1
    except RuntimeError:  # torchrun, which counts, was killed as well
        return True


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
    """Calls `read` in the first process only, however long it takes, and returns its value in every process."""
    if not dist.is_initialized():
        return read()
    values: list[T | None] = [read() if rank() == 0 else None]
    wait_for_all()
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
    """Returns when every process has called it, however long the slowest takes."""
    if dist.is_initialized():
        arrived = dist.barrier(_patient.get(), async_op=True)
        while not arrived.is_completed():  # signals are handled here, and not inside of `wait`
            time.sleep(POLL_S)
        arrived.wait()


def share(indices: Tensor) -> Tensor:
    """This process's share of a batch, (B,) -> (b,), a W-th rounded up or down."""
    return indices.tensor_split(world_size())[rank()]


def total(values: Tensor) -> Tensor:
    """The element-wise sum over all processes; changes `values` in place."""
    if dist.is_initialized():
        dist.all_reduce(values)
    return values


def wrap(network: nn.Module, *example: Any) -> nn.Module:
    """The network for training: with several processes, gradients are averaged over them.

    `example` are inputs of any size, which it is tried with once.
    """
    if world_size() == 1 or not any(parameter.requires_grad for parameter in network.parameters()):
        return network
    module = DistributedDataParallel(network)
    # It sums gradients in the order of its first backward pass. Without this one, a resumed run's first step would have
    # another order, and three processes or more another rounding.
    training = network.training
    network.eval()  # the running statistics stay
    outputs: Tensor | list[Tensor] = module(*example)
    sums = [each.sum() for each in ([outputs] if isinstance(outputs, Tensor) else outputs)]
    torch.stack(sums).sum().backward()
    network.train(training).zero_grad(set_to_none=True)
    return module
