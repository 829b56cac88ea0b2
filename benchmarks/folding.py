"""`python -m benchmarks.folding`: a network fused for inference on a CPU, compared with the same network as trained.

Runs on one thread and measures its CPU time, so that other work on the machine hardly matters.
"""

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from statistics import median

import torch
from torch import Tensor

from benchmarks.bare import BareNetwork, load_bare
from benchmarks.command import add_weights, new_parser, run_benchmark
from benchmarks.record import Figures, Row
from benchmarks.timing import Seconds, Work, interleave, spread
from model.checkpoint import load
from model.networks.architecture import restore
from training.commands.options import positive

BATCHES = (1, 2, 4, 8)


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit status."""
    parser = new_parser("folding", "benchmarks.folding", "Times the fused network on a CPU.", rounds=30, cpu_alone=True)
    add_weights(parser)
    parser.add_argument("--batches", type=positive, nargs="+", default=BATCHES, metavar="B", help="batch sizes")
    return run_benchmark(parser, arguments, _measure)


def folding_figures(trained: BareNetwork, served: BareNetwork, batches: Sequence[int], rounds: int) -> Figures:
    """The table has a row for each batch size: both times, the speed-up, and the largest difference of embeddings."""
    return Figures(
        summary={"model": trained.header.name, "threads": torch.get_num_threads(), "rounds": rounds},
        table=[_row(batch, trained.embedding(batch), served.embedding(batch), rounds) for batch in batches],
    )


def _row(batch: int, trained: Callable[[], Tensor], served: Callable[[], Tensor], rounds: int) -> Row:
    works = {"trained": Work(run=trained), "served": Work(run=served)}
    seconds: Seconds = interleave(works, rounds, torch.device("cpu"), clock=time.process_time)
    return {
        "batch": batch,
        **{f"{name}_ms": 1000 * median(values) for name, values in seconds.items()},
        **spread("times_faster", [a / b for a, b in zip(seconds["trained"], seconds["served"], strict=True)]),
        "embeddings_differ_by": float((trained() - served()).abs().max()),
    }


def _measure(options: argparse.Namespace) -> Figures:
    cpu, threads = torch.device("cpu"), torch.get_num_threads()
    checkpoint = load(options.weights)
    network = restore(checkpoint).to(memory_format=torch.channels_last)
    trained = BareNetwork(header=checkpoint.header, network=network, device=cpu)
    torch.set_num_threads(1)
    try:
        return folding_figures(trained, load_bare(options.weights, cpu), options.batches, options.rounds)
    finally:
        torch.set_num_threads(threads)


if __name__ == "__main__":
    sys.exit(main())
