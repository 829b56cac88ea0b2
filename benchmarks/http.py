"""`python -m benchmarks.http`: pairs per second and latencies of /verify, against the bare network in the same run."""

import argparse
import asyncio
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from statistics import median

import numpy as np
from PIL import Image

from benchmarks.bare import PairRate, measure_pairs
from benchmarks.client import Load, load, verify_request
from benchmarks.command import add_weights, new_parser, positive, run_benchmark
from benchmarks.record import Figures, Row
from benchmarks.service import serving
from benchmarks.timing import spread
from model.checkpoint import load as load_checkpoint
from tests.drawing import encode
from tests.faces import Placed, scene

CONNECTIONS = (1, 4, 16)
PEOPLE = 8
WARM_UP = 4
BARE_ROUNDS = 10


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """How much is asked: each load ends after so many requests or seconds, whichever is first."""

    connections: Sequence[int] = CONNECTIONS
    rounds: int = 3
    requests: int = 2000
    seconds: int = 10
    bare_rounds: int = BARE_ROUNDS


@dataclass(kw_only=True)
class Measured:
    """In each round the bare network's rate, and a load for every number of connections."""

    bare: list[PairRate] = field(default_factory=list)
    loads: dict[int, list[Load]] = field(default_factory=dict)


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit status."""
    parser = new_parser("http", "benchmarks.http", "Times POST /verify of a real service.", rounds=Bounds.rounds)
    add_weights(parser)
    parser.add_argument("--connections", type=positive, nargs="+", default=CONNECTIONS, metavar="N", help="at a time")
    parser.add_argument("--requests", type=positive, default=Bounds.requests, help="most requests of one load")
    parser.add_argument("--seconds", type=positive, default=Bounds.seconds, help="longest time of one load")
    return run_benchmark(parser, arguments, _measure)


def drawn_requests() -> list[bytes]:
    """Requests with two drawn photographs of one person or of two, as large as LFW's in pixels and in bytes."""
    images = [
        [encode(_photograph(person, tilt_deg), "JPEG", quality=95) for tilt_deg in (-4, 4)] for person in range(PEOPLE)
    ]
    same = [verify_request(*pair) for pair in images]
    different = [verify_request(images[i][0], images[(i + 1) % PEOPLE][1]) for i in range(PEOPLE)]
    return same + different


def _photograph(person: int, tilt_deg: float) -> Image.Image:
    return scene(Placed(person=person, at=(125, 112), inter_eye_px=43, tilt_deg=tilt_deg), size=(250, 250))


async def measure_service(weights: Path, device: str, bounds: Bounds) -> Measured:
    """Starts the service and, in turns, lets the bare network run beside it, idle, and loads it."""
    requests = drawn_requests()
    measured = Measured(loads={connections: [] for connections in bounds.connections})
    processes = ProcessPoolExecutor(1, mp_context=get_context("spawn"))
    with serving(weights, device) as port, processes:
        await load(port, requests, connections=1, most=WARM_UP, seconds=bounds.seconds)
        for _ in range(bounds.rounds):
            bare = processes.submit(measure_pairs, weights, device, bounds.bare_rounds)
            measured.bare.append(await asyncio.wrap_future(bare))
            for connections, loads in measured.loads.items():
                loads.append(await load(port, requests, connections, bounds.requests, bounds.seconds))
    return measured


def http_figures(measured: Measured) -> Figures:
    """The table has a row for each number of connections; latencies are of all rounds together."""
    bare = [rate.pairs_per_s for rate in measured.bare]
    return Figures(
        summary={
            "rounds": len(bare),
            "bare_pairs_per_s": median(bare),
            "product_gflop_per_s": median(rate.product_gflop_per_s for rate in measured.bare),
        },
        table=[_row(connections, loads, bare) for connections, loads in measured.loads.items()],
    )


def _row(connections: int, loads: Sequence[Load], bare: Sequence[float]) -> Row:
    rates = [len(one.latencies_s) / one.elapsed_s for one in loads]
    latencies_ms = 1000 * np.concatenate([one.latencies_s for one in loads])
    p50, p90, p99 = np.percentile(latencies_ms, [50, 90, 99]).tolist()
    return {
        "connections": connections,
        "requests": len(latencies_ms),
        "pairs_per_s": median(rates),
        "p50_ms": p50,
        "p90_ms": p90,
        "p99_ms": p99,
        **spread("ratio_to_bare", [rate / alone for rate, alone in zip(rates, bare, strict=True)]),
    }


def _measure(options: argparse.Namespace) -> Figures:
    header = load_checkpoint(options.weights).header
    bounds = Bounds(
        connections=options.connections, rounds=options.rounds, requests=options.requests, seconds=options.seconds
    )
    figures = http_figures(asyncio.run(measure_service(options.weights, options.device, bounds)))
    model: Row = {"model": header.name, "embedding_sha256": header.embedding_sha256}
    return Figures(summary={**model, **figures.summary}, table=figures.table)


if __name__ == "__main__":
    sys.exit(main())
