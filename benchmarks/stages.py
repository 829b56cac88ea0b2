"""The cost of each stage of a /verify request by itself: decoding, face detection and alignment, the network.

Each stage runs in one single-threaded process per core at the same time, as under load: two cores may share arithmetic
units, and are slower together than alone.
"""

import os
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.synchronize import Barrier
from pathlib import Path

from benchmarks.bare import load_bare
from model.imaging.analysis import Choice, analyse
from model.imaging.decoding import decode
from model.imaging.detection import FaceFinder

MAX_FACES = 64
BARRIER_S = 60.0
# Makes all processes start each stage together; every process gets it at its start.
_barrier: Barrier


@dataclass(frozen=True, kw_only=True)
class Pair:
    """The two files of a request."""

    left: bytes
    right: bytes


@dataclass(frozen=True, kw_only=True)
class StageCosts:
    """CPU milliseconds for a pair while all cores are busy with the same stage."""

    decode_ms: float
    face_ms: float
    network_ms: float

    @property
    def total_ms(self) -> float:
        """The sum of the three stages."""
        return self.decode_ms + self.face_ms + self.network_ms


def measure_stages(weights: Path, pair: Pair, seconds: float) -> StageCosts:
    """Runs each stage on every core for `seconds`."""
    cores = os.cpu_count() or 1
    context = get_context("spawn")
    with ProcessPoolExecutor(
        cores, mp_context=context, initializer=_join, initargs=(context.Barrier(cores),)
    ) as processes:
        rates = [processes.submit(_rates, weights, pair, seconds) for _ in range(cores)]
        sums = [sum(each) for each in zip(*(rate.result() for rate in rates), strict=True)]
    decoding, finding, embedding = (1000 * cores / rate for rate in sums)
    return StageCosts(decode_ms=decoding, face_ms=finding, network_ms=embedding)


def stage_works(weights: Path, pair: Pair) -> list[Callable[[], object]]:
    """The three stages. Each gets the result of the one before."""
    bare, finder = load_bare(weights, "cpu", threads=1), FaceFinder()
    header = bare.header
    config = header.preprocessing
    choice: Choice = "largest" if config.alignment else "none"
    files = (pair.left, pair.right)
    decoded = [decode(data, config) for data in files]
    return [
        lambda: [decode(data, config) for data in files],
        lambda: [
            analyse(photograph, choice, config, finder, trained_on=header.trained_on, conditions=header.conditions)
            for photograph in decoded
        ],
        bare.verification(),
    ]


def _join(barrier: Barrier) -> None:
    """Gives a process the barrier."""
    global _barrier
    _barrier = barrier


def _rates(weights: Path, pair: Pair, seconds: float) -> list[float]:
    """Pairs per second of each stage in this process."""
    works = stage_works(weights, pair)
    rates = []
    for work in works:
        work()
        _barrier.wait(BARRIER_S)
        started, calls = time.perf_counter(), 0
        while time.perf_counter() - started < seconds:
            work()
            calls += 1
        rates.append(calls / (time.perf_counter() - started))
    return rates
