"""Comparisons with NumPy compared with the networks' heads."""

import numpy as np
import pytest
import torch

from model.arrays import Embeddings
from model.cpu.heads import comparison_of
from model.networks.architecture import restore_tensors, stored_tensors
from model.networks.configurations import NetworkConfig, ResidualConfig
from model.networks.heads import similarity as torch_similarity
from model.similarity import similarity
from tests.model.support.networks import CONFIGS, random_network

each_config = pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS.keys())


def pairs(dimension: int) -> tuple[Embeddings, Embeddings]:
    """Nine pairs of unit length."""
    drawn = np.random.default_rng(1).normal(size=(2, 9, dimension))
    left, right = (drawn / np.linalg.norm(drawn, axis=2, keepdims=True)).astype(np.float32)
    return left, right


@each_config
def test_similarities_equal_those_of_the_network(config: NetworkConfig | ResidualConfig) -> None:
    tensors = stored_tensors(random_network(config))
    left, right = pairs(config.dimension)
    logits = comparison_of(tensors, config.unit_parts)(left, right)
    expected = restore_tensors(config, tensors).compare(torch.from_numpy(left), torch.from_numpy(right))
    assert logits.dtype == np.float64
    assert np.ptp(logits) > 0.01
    assert np.abs(logits - expected.numpy()).max() <= 1e-5
    assert np.abs(similarity(logits) - torch_similarity(expected).numpy()).max() <= 1e-6


@each_config
def test_comparisons_are_symmetric_bit_for_bit(config: NetworkConfig | ResidualConfig) -> None:
    compare = comparison_of(stored_tensors(random_network(config)), config.unit_parts)
    left, right = pairs(config.dimension)
    assert np.array_equal(compare(left, right), compare(right, left))


@each_config
def test_a_pair_has_the_same_logit_in_any_batch(config: NetworkConfig | ResidualConfig) -> None:
    compare = comparison_of(stored_tensors(random_network(config)), config.unit_parts)
    left, right = pairs(config.dimension)
    alone = [compare(left[each : each + 1], right[each : each + 1])[0] for each in range(len(left))]
    assert np.abs(compare(left, right) - alone).max() <= 1e-12
