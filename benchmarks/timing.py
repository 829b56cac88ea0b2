"""Timing on a noisy machine: works take turns, so that a slow phase slows all of them, and medians are reported."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

import torch

# The seconds per call of each work, one value per round.
Seconds = dict[str, list[float]]


@dataclass(frozen=True, kw_only=True)
class Work:
    """A function to time, and how often it is called in a turn; short functions need several calls."""

    run: Callable[[], object]
    calls: int = 1


def interleave(
    works: Mapping[str, Work], rounds: int, device: torch.device, clock: Callable[[], float] = time.perf_counter
) -> Seconds:
    """Calls every work once without timing, then times one turn of each in every round."""
    for work in works.values():
        work.run()
    seconds: Seconds = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            seconds[name].append(_turn(work, device, clock))
    return seconds


def against_product(
    flop: float, seconds: Sequence[float], product_flop: float, product: Sequence[float]
) -> list[float]:
    """A work's floating-point rate as a share of the matrix product's, for each round."""
    return [(flop / mine) / (product_flop / other) for mine, other in zip(seconds, product, strict=True)]


def spread(name: str, values: Sequence[float]) -> dict[str, float]:
    """The median, the lowest and the highest value, as fields of a record."""
    return {name: median(values), f"{name}_low": min(values), f"{name}_high": max(values)}


def _turn(work: Work, device: torch.device, clock: Callable[[], float]) -> float:
    _wait_for(device)
    started = clock()
    for _ in range(work.calls):
        work.run()
    _wait_for(device)
    return (clock() - started) / work.calls


def _wait_for(device: torch.device) -> None:
    """Waits for a GPU, which runs asynchronously; a CPU has finished when a call returns."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
