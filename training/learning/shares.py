"""What several processes compute together in a step, with gradients: each process's rows are a share of a batch.

If every process computes the loss of the whole batch, from rows of all processes, the gradient arises in each of them.
`Shares.gather` and `total_with_gradients` add these up, and DistributedDataParallel divides by their number, which
gives the gradient of the loss.

B rows of the batch, b rows of this process, W processes, D values in a row
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import torch
import torch.distributed as dist
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from training.learning.parallel import rank, total, world_size


@dataclass(frozen=True)
class Shares:
    """Which rows of a batch each process has: `places` has their indices int64 (b,) in order, for each process."""

    places: tuple[Tensor, ...]

    @classmethod
    def dealt(cls, rows: int, block: int) -> Self:
        """Blocks of `block` rows are dealt to the processes in turn, so that each gets some of every kind."""
        owner = torch.arange(rows) // block % world_size()
        return cls(tuple((owner == number).nonzero().flatten() for number in range(world_size())))

    @property
    def mine(self) -> Tensor:
        """The indices of this process's rows, int64 (b,)."""
        return self.places[rank()]

    def gather(self, rows: Tensor) -> Tensor:
        """This process's rows (b, D) -> those of all processes (B, D), in the order of the batch.

        The gradient of a row is the sum of its gradients in all processes.
        """
        if world_size() == 1:
            return rows
        missing = self._most - len(rows)
        gathered: Tensor = _Gather.apply(functional.pad(rows, (0, 0, 0, missing)))
        return gathered[self._order.to(rows.device)]

    @cached_property
    def _most(self) -> int:
        return max(map(len, self.places))

    @cached_property
    def _order(self) -> Tensor:
        """Where each row of the batch is among the padded rows of one process after the other, int64 (B,)."""
        order = torch.empty(sum(map(len, self.places)), dtype=torch.int64)
        for number, places in enumerate(self.places):
            order[places] = number * self._most + torch.arange(len(places))
        return order


class _Gather(torch.autograd.Function):
    """The rows of all processes, one process after the other, each with the same number."""

    @staticmethod
    def forward(_ctx: Any, rows: Tensor) -> Tensor:
        gathered = rows.new_empty(world_size() * len(rows), *rows.shape[1:])
        dist.all_gather_into_tensor(gathered, rows.contiguous())
        return gathered

    @staticmethod
    @once_differentiable
    def backward(_ctx: Any, gradient: Tensor) -> Tensor:
        mine = gradient.new_empty(len(gradient) // world_size(), *gradient.shape[1:])
        dist.reduce_scatter_tensor(mine, gradient.contiguous())
        return mine


class _Total(torch.autograd.Function):
    """The sum over all processes. The gradient is the sum of those of all processes."""

    @staticmethod
    def forward(_ctx: Any, values: Tensor) -> Tensor:
        return total(values.clone())

    @staticmethod
    @once_differentiable
    def backward(_ctx: Any, gradient: Tensor) -> Tensor:
        return total(gradient.clone())


def total_with_gradients(values: Tensor) -> Tensor:
    """The element-wise sum over all processes, through which gradients flow to the values of all of them."""
    summed: Tensor = values if world_size() == 1 else _Total.apply(values)
    return summed


def highest(values: Tensor) -> Tensor:
    """The element-wise maximum over all processes, without gradients."""
    values = values.detach().clone()
    if dist.is_initialized():
        dist.all_reduce(values, dist.ReduceOp.MAX)
    return values


def collect(rows: Tensor, sizes: Sequence[int]) -> Tensor:
    """The rows of all processes on the CPU, in the first; the others get theirs back. `sizes` are their numbers."""
    if rank() > 0:
        dist.send(rows.contiguous(), 0)
        return rows
    parts = [rows.cpu()]
    for number, size in list(enumerate(sizes))[1:]:
        part = rows.new_empty(size, *rows.shape[1:])
        dist.recv(part, number)
        parts.append(part.cpu())
    return torch.cat(parts)
