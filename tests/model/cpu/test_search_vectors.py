"""Vectors for databases: inner products of them are what the verifier computes."""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from app.settings import SHIPPED
from model.arrays import Embeddings
from model.averaging import scale_parts
from model.checkpoint import Checkpoint, load
from model.cpu.heads import comparison_of
from model.cpu.search_vectors import SearchVectors, logit_of
from model.errors import CheckpointError
from model.networks.architecture import stored_tensors
from model.networks.configurations import OnnxConfig
from model.onnx.session import unit_rows
from model.similarity import Calibration, similarity
from tests.model.support.networks import CONFIGS, random_network

PAGE = Path(__file__).parents[3] / "docs" / "stored-embeddings.md"


def pairs(dimension: int, count: int = 200) -> tuple[Embeddings, Embeddings]:
    """Pairs of length 1, from alike to unlike."""
    rng = np.random.default_rng(0)
    left, noise = rng.normal(size=(2, count, dimension))
    right = left + noise * np.linspace(0, 3, count)[:, None]
    one, other = ((side / np.linalg.norm(side, axis=1, keepdims=True)).astype(np.float32) for side in (left, right))
    return one, other


def unit_parts(rows: Embeddings, parts: Sequence[int]) -> Embeddings:
    """The rows with parts of the same length."""
    scaled = rows.astype(np.float64)
    scale_parts(scaled, parts)
    return scaled.astype(np.float32)


def calibrated(checkpoint: Checkpoint, calibration: Calibration) -> Checkpoint:
    header = checkpoint.header.model_copy(update={"calibration": calibration})
    return Checkpoint(header=header, tensors=checkpoint.tensors)


@pytest.fixture(scope="module", params=["experiment-5", "experiment-10"])
def checkpoint(request: pytest.FixtureRequest) -> Checkpoint:
    return load(SHIPPED.with_name(f"{request.param}.safetensors"))


@pytest.mark.parametrize("mean", [False, True], ids=["as shipped", "with a mean"])
def test_an_inner_product_is_the_logit(checkpoint: Checkpoint, mean: bool) -> None:
    dimension = checkpoint.header.network.dimension
    left, right = pairs(dimension)
    calibration = checkpoint.header.calibration
    if mean:
        calibration = Calibration(mean=tuple(np.full(dimension, 0.01)), scale=0.8, bias=-0.4)
    vectors = SearchVectors.of(calibrated(checkpoint, calibration))
    products = np.einsum("bk,bk->b", vectors.queries(left), vectors.stored(right))  # in single precision
    parts = checkpoint.header.network.unit_parts
    logits = comparison_of(checkpoint.tensors, parts)(calibration.centre(left), calibration.centre(right))
    expected = calibration.adjust(logits)
    assert np.ptp(expected) > 1
    assert products.dtype == np.float32
    assert np.abs(products - expected).max() <= 1e-5
    assert np.abs(similarity(products.astype(np.float64)) - similarity(expected)).max() <= 1e-5


def test_there_are_two_values_more_than_the_head_uses(checkpoint: Checkpoint) -> None:
    vectors = SearchVectors.of(checkpoint)
    own, cross = (checkpoint.tensors[f"head.{name}"] for name in ("own", "cross"))
    used = np.count_nonzero((own != 0) | (cross != 0)) + 2
    one, other = pairs(checkpoint.header.network.dimension, 3)
    assert vectors.queries(one).shape == vectors.stored(other).shape == (3, used)
    assert (vectors.stored(other)[:, -2] == 1).all()


def test_a_calibration_of_scale_and_bias_leaves_stored_vectors_as_they_are(checkpoint: Checkpoint) -> None:
    left, right = pairs(checkpoint.header.network.dimension, 3)
    changed = SearchVectors.of(calibrated(checkpoint, Calibration(scale=2.0, bias=-1.0)))
    assert (changed.stored(right) == SearchVectors.of(checkpoint).stored(right)).all()
    assert (changed.queries(left) != SearchVectors.of(checkpoint).queries(left)).any()


def test_a_head_of_cosines_has_them_too(checkpoint: Checkpoint) -> None:
    cosine = {"head.scale": np.array([3.0], np.float32), "head.bias": np.array([-0.5], np.float32)}
    left, right = pairs(checkpoint.header.network.dimension)
    vectors = SearchVectors.of(Checkpoint(header=checkpoint.header, tensors=cosine))
    products = np.einsum("bk,bk->b", vectors.queries(left), vectors.stored(right))
    assert np.abs(products - comparison_of(cosine, ())(left, right)).max() <= 1e-5


def test_a_network_from_elsewhere_has_them_whatever_the_length_of_its_embeddings(checkpoint: Checkpoint) -> None:
    network = OnnxConfig(
        family="custom", side_px=112, dimension=512, output="embedding", unit_length=False, graph_bytes=10
    )
    calibration = Calibration(mean=tuple(np.full(512, 0.01)), scale=4.0, bias=-1.0)
    header = checkpoint.header.model_copy(update={"network": network, "calibration": calibration})
    vectors = SearchVectors.of(Checkpoint(header=header, tensors={}))
    left, right = (length * side for length, side in zip((3.0, 0.2), pairs(512), strict=True))
    products = np.einsum("bk,bk->b", vectors.queries(left), vectors.stored(right))
    one, other = (unit_rows(calibration.centre(side)).astype(np.float64) for side in (left, right))
    assert np.abs(products - calibration.adjust((one * other).sum(1))).max() <= 1e-5


def test_of_a_fused_head_an_inner_product_is_a_bound_of_the_logit(checkpoint: Checkpoint) -> None:
    config = CONFIGS["gradients"]
    tensors = stored_tensors(random_network(config))
    header = checkpoint.header.model_copy(update={"network": config, "calibration": Calibration(scale=0.8, bias=-0.4)})
    left, right = (unit_parts(side, config.unit_parts) for side in pairs(config.dimension))
    vectors = SearchVectors.of(Checkpoint(header=header, tensors=tensors))
    products = np.einsum("bk,bk->b", vectors.queries(left), vectors.stored(right))
    logits = header.calibration.adjust(comparison_of(tensors, config.unit_parts)(left, right))
    assert (products >= logits - 1e-5).all()
    alike = {"head.weights": tensors["head.weights"][[0, 0, 0]], "head.biases": tensors["head.biases"][[0, 0, 0]]}
    vectors = SearchVectors.of(Checkpoint(header=header, tensors=tensors | alike))
    products = np.einsum("bk,bk->b", vectors.queries(left), vectors.stored(right))
    logits = header.calibration.adjust(comparison_of(tensors | alike, config.unit_parts)(left, right))
    assert np.abs(products - logits).max() <= 1e-5  # where all sums are the same it is the logit


def test_a_network_that_compares_distances_has_none() -> None:
    with pytest.raises(CheckpointError, match="no inner product gives"):
        SearchVectors.of(load(SHIPPED.with_name("experiment-2.safetensors")))


@pytest.mark.parametrize("value", [1e-6, 0.5, 0.9388477277795795, 1 - 1e-9])
def test_a_threshold_is_a_logit(value: float) -> None:
    assert similarity(np.array([logit_of(value)]))[0] == pytest.approx(value, rel=1e-9)


def test_the_page_has_the_thresholds_and_the_length_of_the_default_checkpoint() -> None:
    header = load(SHIPPED).header
    page = PAGE.read_text()
    rows = re.findall(r"^\| ([\d.]+) \| ([\d.]+) \| ([\d.-]+) \|$", page, re.MULTILINE)
    assert [(float(rate), float(value)) for rate, value, _ in rows] == [
        (point.max_fmr, round(point.threshold, 6)) for point in header.operating_points
    ]
    for (_, _, product), point in zip(rows, header.operating_points, strict=True):
        assert float(product) == round(logit_of(point.threshold), 6)
    length = SearchVectors.of(load(SHIPPED)).stored(pairs(header.network.dimension, 1)[0]).shape[1]
    assert set(re.findall(r"vector\((\d+)\)", page)) == {str(length)}
