"""`python -m benchmarks.network`: the bare network's crops per second by batch size, compared with a matrix product."""

import argparse
import sys
from collections.abc import Sequence
from statistics import median

from benchmarks.arithmetic import forward_flop
from benchmarks.bare import BareNetwork, load_bare
from benchmarks.command import add_weights, new_parser, run_benchmark
from benchmarks.machine import PRODUCT_FLOP, matrix_product
from benchmarks.record import Figures, Row
from benchmarks.timing import Seconds, Work, against_product, interleave, spread
from model.checkpoint import Header
from training.commands.options import positive

BATCHES = (1, 2, 4, 8, 16, 32)
PRODUCT = "product"


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit status."""
    parser = new_parser("network", "benchmarks.network", "Times the bare network by batch size.", rounds=15)
    add_weights(parser)
    parser.add_argument("--batches", type=positive, nargs="+", default=BATCHES, metavar="B", help="batch sizes")
    return run_benchmark(parser, arguments, _measure)


def time_batches(bare: BareNetwork, batches: Sequence[int], rounds: int) -> Seconds:
    """Seconds for each batch size, by its number, and for the matrix product. Every turn embeds as many crops."""
    works = {PRODUCT: Work(run=matrix_product(bare.device), calls=2)}
    for batch in batches:
        works[str(batch)] = Work(run=bare.embedding(batch), calls=max(1, max(batches) // batch))
    return interleave(works, rounds, bare.device)


def network_figures(header: Header, batches: Sequence[int], seconds: Seconds) -> Figures:
    """The table has a row for each batch size."""
    flop = forward_flop(header.network)
    return Figures(
        summary={
            "model": header.name,
            "embedding_sha256": header.embedding_sha256,
            "forward_mflop_per_image": flop / 1e6,
            "product_gflop_per_s": PRODUCT_FLOP / median(seconds[PRODUCT]) / 1e9,
            "rounds": len(seconds[PRODUCT]),
        },
        table=[_row(batch, batch * flop, seconds[str(batch)], seconds[PRODUCT]) for batch in batches],
    )


def _row(batch: int, flop: int, seconds: Sequence[float], product: Sequence[float]) -> Row:
    typical = median(seconds)
    return {
        "batch": batch,
        "batch_ms": 1000 * typical,
        "images_per_s": batch / typical,
        "gflop_per_s": flop / typical / 1e9,
        **spread("ratio_to_product", against_product(flop, seconds, PRODUCT_FLOP, product)),
    }


def _measure(options: argparse.Namespace) -> Figures:
    bare = load_bare(options.weights, options.device)
    return network_figures(bare.header, options.batches, time_batches(bare, options.batches, options.rounds))


if __name__ == "__main__":
    sys.exit(main())
