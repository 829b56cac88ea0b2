"""The mean of several embeddings of a person."""

import numpy as np
import pytest

from model.arrays import Embeddings
from model.averaging import mean_embedding
from model.errors import InferenceError


def draw(count: int, *, unit_length: bool) -> Embeddings:
    rows = np.random.default_rng(0).normal(size=(count, 16))
    lengths = np.linalg.norm(rows, axis=1, keepdims=True) if unit_length else 1.0
    return np.asarray(rows / lengths, np.float32)


@pytest.mark.parametrize("unit_length", [True, False])
def test_one_embedding_stays_the_same_bit_for_bit(unit_length: bool) -> None:
    rows = draw(1, unit_length=False)
    assert mean_embedding(rows, (16,) if unit_length else ()).tobytes() == rows[0].tobytes()


@pytest.mark.parametrize("unit_length", [True, False])
def test_mean_equals_that_of_a_loop(unit_length: bool) -> None:
    rows = draw(5, unit_length=unit_length)
    wanted = [sum(float(row[column]) for row in rows) / 5 for column in range(16)]
    if unit_length:
        length = sum(value**2 for value in wanted) ** 0.5
        wanted = [value / length for value in wanted]
    found = mean_embedding(rows, (16,) if unit_length else ())
    assert found.dtype == np.float32
    assert found == pytest.approx(wanted, abs=1e-7)
    assert (abs(np.linalg.norm(found) - 1) < 1e-6) == unit_length


def test_the_order_of_embeddings_does_not_matter() -> None:
    rows = draw(8, unit_length=True)
    assert mean_embedding(rows[::-1], (16,)) == pytest.approx(mean_embedding(rows, (16,)), abs=1e-7)


def test_parts_keep_the_same_length() -> None:
    rows = np.concatenate([draw(5, unit_length=True), draw(5, unit_length=True)[:, :4]], axis=1)
    found = mean_embedding(rows, (16, 4))
    for part, own in zip(np.split(found, [16]), np.split(rows, [16], axis=1), strict=True):
        mean = own.mean(axis=0, dtype=np.float64)
        assert part == pytest.approx(mean / np.linalg.norm(mean) / 2**0.5, abs=1e-7)
    with pytest.raises(InferenceError, match="cancel each other out"):
        mean_embedding(np.concatenate([rows, rows * np.repeat([1, -1], [16, 4])]).astype(np.float32), (16, 4))


def test_opposite_embeddings_of_length_1_have_no_mean() -> None:
    rows = draw(1, unit_length=True)
    with pytest.raises(InferenceError, match="cancel each other out"):
        mean_embedding(np.concatenate([rows, -rows]), (16,))
