"""A fused network gives the same results as the network itself."""

import copy

import pytest
import torch
from torch import Tensor, nn

from model.networks.configurations import NetworkConfig, ResidualConfig
from model.networks.fusing import fuse_for_inference
from model.networks.heads import similarity
from model.networks.residual import PReLU
from tests.model.support.networks import CONFIGS, random_network

CPU = torch.device("cpu")
each_config = pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS.keys())


def pictures(config: NetworkConfig | ResidualConfig, count: int = 6) -> Tensor:
    channels, side = config.input_shape
    return 2 * torch.rand(count, channels, side, side, generator=torch.Generator().manual_seed(6)) - 1


@each_config
def test_fused_network_gives_the_same_results(config: NetworkConfig | ResidualConfig) -> None:
    network = random_network(config)
    images = pictures(config)
    fused = fuse_for_inference(copy.deepcopy(network), CPU)
    expected, found = network.embed(images), fused.embed(images)
    assert (found - expected).abs().max() <= 1e-5
    left, right = [similarity(each.compare(*each.embed(images).chunk(2))) for each in (network, fused)]
    assert (left - right).abs().max() <= 1e-5


@each_config
def test_fused_network_has_no_normalisation(config: NetworkConfig | ResidualConfig) -> None:
    fused = fuse_for_inference(random_network(config), CPU)
    normalisations = nn.BatchNorm1d | nn.BatchNorm2d | PReLU
    assert not [layer for layer in fused.modules() if isinstance(layer, normalisations)]


def test_fusing_twice_changes_nothing() -> None:
    config = CONFIGS["residual"]
    fused = fuse_for_inference(random_network(config), CPU)
    images = pictures(config)
    once = fused.embed(images)
    assert torch.equal(fuse_for_inference(fused, CPU).embed(images), once)
