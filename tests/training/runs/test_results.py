"""A finished run, read back from its folder, and runs compared."""

from dataclasses import replace

import numpy as np

from model.checkpoint import Header
from tests.conftest import describe
from training.runs.results import Run, compare_runs


def run(pairs: list[tuple[str, str]], scores: list[float], same: list[bool], threshold: float) -> Run:
    header = Header(**dict(describe(threshold=threshold)), canary_similarity=0.5, embedding_sha256="")
    return Run(header=header, history=[], pairs=pairs, scores=np.array(scores), same=np.array(same))


def test_runs_are_compared_on_common_pairs() -> None:
    pairs = [("A/1", "A/2"), ("A/1", "B/1"), ("B/1", "B/2"), ("C/1", "B/1")]
    same = [True, False, True, False]
    first = run(pairs, [0.9, 0.2, 0.4, 0.1], same, 0.5)
    turned = [(right, left) for left, right in reversed(pairs[:3])]
    second = run(turned, [0.4, 0.35, 0.2], [True, False, True], 0.3)
    found = compare_runs(first, second)
    assert found
    assert (found.pairs, found.first_only, found.second_only) == (3, 2, 1)
    assert compare_runs(first, replace(second, pairs=[("X/1", "Y/1")] * 3)) is None
