"""`python -m benchmarks.http`: pairs per second and latencies of /verify, compared with its parts in the same run."""

import argparse
import asyncio
import os
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
from benchmarks.command import add_weights, new_parser, run_benchmark
from benchmarks.record import Figures, Row
from benchmarks.service import serving
from benchmarks.stages import Pair, StageCosts, measure_stages
from benchmarks.timing import spread
from model.checkpoint import load as load_checkpoint
from tests.drawing import encode
from tests.faces import Placed, scene
from training.commands.options import positive

CONNECTIONS = (1, 4, 16)
# Images in a request.
IMAGES = 2
PEOPLE = 8
WARM_UP = 4
BARE_ROUNDS = 10
# Nothing is refused, once the service knows how fast it is.
ENDLESS_QUEUE = ("--max-wait-s", "600", "--queue", "4096", "--connections", "1024")


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """The sizes of the measurement. A load ends after `requests` or `seconds`, whichever is reached first."""

    connections: Sequence[int] = CONNECTIONS
    rounds: int = 3
    requests: int = 2000
    seconds: int = 10
    bare_rounds: int = BARE_ROUNDS
    stage_seconds: float = 3.0


@dataclass(kw_only=True)
class Measured:
    """For each round, the bare network's rate and the stages' costs; by number of connections, for each round, the load
    and the CPU time of the service and of its event loop.
    """

    bare: list[PairRate] = field(default_factory=list)
    stages: list[StageCosts] = field(default_factory=list)
    loads: dict[int, list[Load]] = field(default_factory=dict)
    service_cpu_s: dict[int, list[float]] = field(default_factory=dict)
    loop_cpu_s: dict[int, list[float]] = field(default_factory=dict)


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit status."""
    parser = new_parser("http", "benchmarks.http", "Times POST /verify of a real service.", rounds=Bounds.rounds)
    add_weights(parser)
    parser.add_argument("--connections", type=positive, nargs="+", default=CONNECTIONS, metavar="N", help="at a time")
    parser.add_argument("--requests", type=positive, default=Bounds.requests, help="most requests of one load")
    parser.add_argument("--seconds", type=positive, default=Bounds.seconds, help="longest time of one load")
    return run_benchmark(parser, arguments, _measure)


def drawn_requests() -> list[bytes]:
    """Requests with two drawn photos, of one person or of two people."""
    images = drawn_photographs()
    firsts, seconds = images[::2], images[1::2]
    same = [verify_request(*pair) for pair in zip(firsts, seconds, strict=True)]
    different = [verify_request(firsts[i], seconds[(i + 1) % PEOPLE]) for i in range(PEOPLE)]
    return same + different


def drawn_photographs() -> list[bytes]:
    """Two photos of each person in turn, as large as LFW's in pixels and bytes."""
    return [
        encode(_photograph(person, tilt_deg), "JPEG", quality=95) for person in range(PEOPLE) for tilt_deg in (-4, 4)
    ]


def _photograph(person: int, tilt_deg: float) -> Image.Image:
    return scene(Placed(person=person, at=(125, 112), inter_eye_px=43, tilt_deg=tilt_deg), size=(250, 250))


async def measure_service(weights: Path, device: str, bounds: Bounds) -> Measured:
    """Starts the service. Each round measures the network and the stages while the service is idle, then loads it."""
    requests = drawn_requests()
    left, right, *_ = drawn_photographs()
    measured = Measured(
        loads={connections: [] for connections in bounds.connections},
        service_cpu_s={connections: [] for connections in bounds.connections},
        loop_cpu_s={connections: [] for connections in bounds.connections},
    )
    processes = ProcessPoolExecutor(1, mp_context=get_context("spawn"))
    with serving(weights, device, *ENDLESS_QUEUE) as service, processes:
        await load(service.port, requests, connections=1, most=WARM_UP, seconds=bounds.seconds)
        for _ in range(bounds.rounds):
            bare = processes.submit(measure_pairs, weights, device, bounds.bare_rounds)
            measured.bare.append(await asyncio.wrap_future(bare))
            pair = Pair(left=left, right=right)
            stages = asyncio.to_thread(measure_stages, weights, pair, bounds.stage_seconds)
            measured.stages.append(await stages)
            for connections, loads in measured.loads.items():
                before, loop_before = service.cpu_s(), service.loop_cpu_s()
                loads.append(await load(service.port, requests, connections, bounds.requests, bounds.seconds))
                measured.service_cpu_s[connections].append(service.cpu_s() - before)
                measured.loop_cpu_s[connections].append(service.loop_cpu_s() - loop_before)
    return measured


def http_figures(measured: Measured) -> Figures:
    """The table has a row for each number of connections. Percentiles of latencies are over all rounds."""
    bare = [rate.pairs_per_s for rate in measured.bare]
    return Figures(
        summary={
            "rounds": len(bare),
            "bare_pairs_per_s": median(bare),
            "product_gflop_per_s": median(rate.product_gflop_per_s for rate in measured.bare),
            "decode_core_ms": median(stages.decode_ms for stages in measured.stages),
            "face_core_ms": median(stages.face_ms for stages in measured.stages),
            "network_core_ms": median(stages.network_ms for stages in measured.stages),
        },
        table=[_row(connections, measured) for connections in measured.loads],
    )


def _row(connections: int, measured: Measured) -> Row:
    loads, bare = measured.loads[connections], [rate.pairs_per_s for rate in measured.bare]
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
        **_core_ms(connections, measured),
        **spread("ratio_to_bare", [rate / alone for rate, alone in zip(rates, bare, strict=True)]),
        **spread("ratio_to_cores", _shares_of_cores(loads, measured.stages)),
    }


def _core_ms(connections: int, measured: Measured) -> Row:
    """The CPU time of a request: of the client, of the service, of its event loop (HTTP and the queue), and the part of
    the service's that the stages do not explain.
    """
    loads, services = measured.loads[connections], measured.service_cpu_s[connections]
    counts = [len(one.latencies_s) for one in loads]
    service = [1000 * cpu_s / count for cpu_s, count in zip(services, counts, strict=True)]
    client = [1000 * one.client_cpu_s / count for one, count in zip(loads, counts, strict=True)]
    loop = [1000 * cpu_s / count for cpu_s, count in zip(measured.loop_cpu_s[connections], counts, strict=True)]
    rest = [spent - stages.total_ms for spent, stages in zip(service, measured.stages, strict=True)]
    return {
        "client_core_ms": median(client),
        "service_core_ms": median(service),
        "loop_core_ms": median(loop),
        "beside_stages_core_ms": median(rest),
    }


def _shares_of_cores(loads: Sequence[Load], stages: Sequence[StageCosts]) -> list[float]:
    """Pairs per second as a share of what the cores could do if a pair cost only the stages and the client."""
    cores = os.cpu_count() or 1
    shares = []
    for one, costs in zip(loads, stages, strict=True):
        count = len(one.latencies_s)
        pair_s = costs.total_ms / 1000 + one.client_cpu_s / count
        shares.append(count / one.elapsed_s * pair_s / cores)
    return shares


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
