"""Rates over streamed impostor pairs equal those over all of them in memory."""

from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from model.similarity import similarity
from training.statistics import operating_points, similar_people
from training.statistics.operating_points import FalseMatchRates
from training.statistics.streamed_rates import Block, Logits, Stream, false_match_rates

ROWS = 7


def stream_of(table: Logits, owner: NDArray[np.int64]) -> tuple[Stream, list[int]]:
    """The stream of a table (N, N), and how many passes were made."""
    passes: list[int] = []

    def blocks() -> Iterator[Block]:
        passes.append(1)
        for first in range(0, len(table), ROWS):
            yield first, table[first : first + ROWS, first:]

    return Stream(owner=owner, blocks=blocks, similarity=lambda logits: similarity(logits.astype(np.float64))), passes


def in_memory(table: Logits, owner: NDArray[np.int64]) -> FalseMatchRates:
    left, right = np.triu_indices(len(owner), 1)
    strangers = owner[left] != owner[right]
    left, right = left[strangers], right[strangers]
    scores = similarity(table[left, right].astype(np.float64))
    points, curve = operating_points.false_match_rates(scores, owner[left], owner[right], "split")
    return similar_people.with_similar_strangers(points, table, owner), curve


def logits_of(draws: np.random.Generator, owner: NDArray[np.int64], kind: str) -> Logits:
    """Symmetric logits (N, N): spread, in few steps, so high that similarities are equal, or all equal."""
    people = draws.normal(size=(owner[-1] + 1, 3))
    rows = people[owner] + draws.normal(size=(len(owner), 3))
    table = rows @ rows.T - 2
    if kind == "steps":
        table = table.round()
    if kind == "saturated":
        table = table * 2 + 20
    if kind == "equal":
        table = np.full_like(table, 0.25)
    if kind == "around zero":
        table = table * 1e-3
        table[draws.random(table.shape) < 0.2] = -0.0
        table = np.triu(table) + np.triu(table, 1).T
    return table.astype(np.float32)


@pytest.mark.parametrize("kind", ["spread", "steps", "saturated", "equal", "around zero"])
@pytest.mark.parametrize("seed", range(4))
def test_streamed_rates_equal_those_in_memory(kind: str, seed: int) -> None:
    draws = np.random.default_rng(seed)
    owner = np.sort(draws.permutation(np.concatenate([np.arange(30), draws.integers(0, 30, 90)])))
    table = logits_of(draws, owner, kind)
    stream, passes = stream_of(table, owner)
    (points, curve), (wanted, wanted_curve) = false_match_rates(stream, "split"), in_memory(table, owner)
    assert curve == wanted_curve
    assert [point.name for point in points] == [point.name for point in wanted]
    assert kind == "equal" or len(points) >= 2
    for point, other in zip(points, wanted, strict=True):
        similar = {"fmr_of_similar": None, "interval_of_similar": None}
        assert point.model_copy(update=similar) == other.model_copy(update=similar)
        assert point.fmr_of_similar == pytest.approx(other.fmr_of_similar, abs=1e-9)
        assert point.interval_of_similar == pytest.approx(other.interval_of_similar, abs=1e-9)
        assert point.fmr_of_similar is not None
    assert len(passes) <= 6


def test_few_people_have_no_most_similar_ones() -> None:
    owner = np.repeat(np.arange(5), 20)
    table = logits_of(np.random.default_rng(0), owner, "spread")
    points, _ = false_match_rates(stream_of(table, owner)[0], "split")
    assert [point.fmr_of_similar for point in points] == [None] * 3
    assert points == in_memory(table, owner)[0]
