"""`python -m benchmarks.runtimes`: the runtime that serves on a CPU compared with PyTorch: speed, start, memory.

On one thread the times are CPU time, so that other work on the machine hardly matters; on several they are wall time.
"""

import argparse
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import numpy as np
import torch

from benchmarks.bare import BareNetwork
from benchmarks.command import add_weights, new_parser, run_benchmark
from benchmarks.record import Figures, Row
from benchmarks.timing import Seconds, Work, interleave, spread
from model.checkpoint import Checkpoint, load
from model.cpu.embedder import CpuEmbedder
from model.networks.embedder import TorchEmbedder
from training.commands.options import positive

BATCHES = (1, 2, 4, 8, 16)
THREADS = (1, 2)
CPU = torch.device("cpu")
ROOT = Path(__file__).parent.parent
# Opens the checkpoint, which embeds the canary pair, and prints the CPU time since the start and the memory.
OPEN = """
import os, sys, time
from pathlib import Path
from benchmarks.processes import own_bytes
from model.checkpoint import load
if sys.argv[1] == "torch":
    import torch
    from model.networks.embedder import TorchEmbedder
    torch.set_num_threads(1)
    embedder = TorchEmbedder(load(Path(sys.argv[2])), torch.device("cpu"))
else:
    from model.cpu.embedder import CpuEmbedder
    embedder = CpuEmbedder(load(Path(sys.argv[2])))
print(time.process_time(), own_bytes(os.getpid()))
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit status."""
    description = "Compares OpenVINO with PyTorch on a CPU."
    parser = new_parser("runtimes", "benchmarks.runtimes", description, rounds=30, cpu_alone=True)
    add_weights(parser)
    parser.add_argument("--batches", type=positive, nargs="+", default=BATCHES, metavar="B", help="batch sizes")
    parser.add_argument("--threads", type=positive, nargs="+", default=THREADS, metavar="N", help="numbers of threads")
    return run_benchmark(parser, arguments, _measure)


def runtime_rows(checkpoint: Checkpoint, batches: Sequence[int], threads: int, rounds: int) -> list[Row]:
    """A row for each batch size: both times, the speed-up, and the largest difference of embeddings."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    torch_network = BareNetwork(header=checkpoint.header, embedder=TorchEmbedder(checkpoint, CPU))
    served_network = BareNetwork(header=checkpoint.header, embedder=CpuEmbedder(checkpoint, threads))
    try:
        return [_row(torch_network, served_network, batch, threads, rounds) for batch in batches]
    finally:
        torch.set_num_threads(before)


def _row(torch_network: BareNetwork, served_network: BareNetwork, batch: int, threads: int, rounds: int) -> Row:
    with_torch, served = torch_network.embedding(batch), served_network.embedding(batch)
    clock = time.process_time if threads == 1 else time.perf_counter
    seconds: Seconds = interleave({"torch": Work(run=with_torch), "served": Work(run=served)}, rounds, CPU, clock=clock)
    return {
        "threads": threads,
        "batch": batch,
        **{f"{name}_ms": 1000 * median(values) for name, values in seconds.items()},
        **spread("times_faster", [a / b for a, b in zip(seconds["torch"], seconds["served"], strict=True)]),
        "embeddings_differ_by": float(np.abs(with_torch() - served()).max()),
    }


def _opening(runtime: str, weights: Path) -> Row:
    """The CPU time from the start to the first embeddings, and the memory then, of a process of its own."""
    program = [sys.executable, "-c", OPEN, runtime, str(weights.resolve())]
    ended = subprocess.run(program, cwd=ROOT, check=True, capture_output=True, text=True)
    cpu_s, own_bytes = ended.stdout.split()
    return {f"{runtime}_start_cpu_s": float(cpu_s), f"{runtime}_mib": int(own_bytes) / 2**20}


def _measure(options: argparse.Namespace) -> Figures:
    checkpoint = load(options.weights)
    openings = {name: value for each in ("torch", "served") for name, value in _opening(each, options.weights).items()}
    return Figures(
        summary={"model": checkpoint.header.name, "rounds": options.rounds, **openings},
        table=[
            row
            for threads in options.threads
            for row in runtime_rows(checkpoint, options.batches, threads, options.rounds)
        ],
    )


if __name__ == "__main__":
    sys.exit(main())
