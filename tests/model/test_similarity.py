import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from pydantic import ValidationError

from model.networks.heads import similarity as torch_similarity
from model.similarity import FalseMatchCurve, Threshold, decide, similarity


def by_torch(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """What training computes for logits in single precision."""
    found = torch_similarity(torch.from_numpy(logits.astype(np.float32)))
    assert found.dtype == torch.float64
    return found.numpy()


either = pytest.mark.parametrize("similar", [similarity, by_torch])
Similar = Callable[[NDArray[np.float64]], NDArray[np.float64]]


@either
def test_similarity_is_the_sigmoid(similar: Similar) -> None:
    logits = np.linspace(-12, 12, 49)
    expected = [1 / (1 + math.exp(-logit)) for logit in logits.tolist()]
    assert similar(logits).tolist() == pytest.approx(expected, abs=1e-15)


@either
def test_similarities_of_large_logits_differ(similar: Similar) -> None:
    similarities = similar(np.array([18.0, 20.0, 25.0, 30.0])).tolist()
    assert similarities == sorted(set(similarities))
    assert similarities[-1] < 1


@either
def test_extreme_logits_stay_between_0_and_1(similar: Similar) -> None:
    assert similar(np.array([-1e30, 1e30, -math.inf, math.inf])).tolist() == [0.0, 1.0, 0.0, 1.0]
    assert np.isnan(similar(np.array([math.nan]))).all()


def test_similarity_equal_to_the_threshold_is_the_same_person() -> None:
    assert decide(0.5, 0.5) == "same"
    assert decide(math.nextafter(0.5, 0), 0.5) == "different"
    assert decide(0.9, 0.5) == "same"


@pytest.mark.parametrize("value", [-0.01, 1.01, math.nan, math.inf])
def test_threshold_outside_0_to_1_is_refused(value: float) -> None:
    with pytest.raises(ValidationError):
        Threshold(value=value, method="given", split="none", pairs=0)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_0_and_1_are_valid_thresholds(value: float) -> None:
    assert Threshold(value=value, method="given", split="none", pairs=0).value == value


def test_threshold_is_immutable() -> None:
    threshold = Threshold(value=0.5, method="given", split="none", pairs=0)
    with pytest.raises(ValidationError):
        threshold.value = 0.6  # type: ignore[misc]


def curve(**changes: object) -> FalseMatchCurve:
    values = {"thresholds": (0.1, 0.5, 0.9), "rates": (1.0, 0.1, 0.001), "split": "held", "pairs": 1000, "people": 50}
    return FalseMatchCurve.model_validate(values | changes)


@pytest.mark.parametrize(("value", "rate"), [(0.0, 1.0), (0.1, 1.0), (0.5, 0.1), (0.7, 0.01), (0.9, 0.001), (1, 0.001)])
def test_rate_is_interpolated_in_its_logarithm(value: float, rate: float) -> None:
    assert curve().rate_at(value) == pytest.approx(rate)


@pytest.mark.parametrize(
    "changes",
    [
        {"thresholds": (0.1, 0.9, 0.5)},
        {"rates": (0.1, 1.0, 0.001)},
        {"rates": (1.0, 0.1, 0.0)},
        {"rates": (1.0, 0.1)},
        {"thresholds": (0.1,), "rates": (1.0,)},
    ],
)
def test_invalid_curves_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        curve(**changes)
