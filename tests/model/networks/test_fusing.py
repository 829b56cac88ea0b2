"""A fused network gives the same results as the network itself."""

import copy

import pytest
import torch
from torch import Tensor, nn

from model.networks.architecture import build
from model.networks.configurations import NetworkConfig, ResidualConfig
from model.networks.face_network import FaceNetwork
from model.networks.fourier import FourierConvolution
from model.networks.fusing import PackedLinear, fuse_for_inference
from model.networks.heads import similarity
from model.networks.residual import PReLU, ResidualNetwork
from model.networks.residual import initialise as initialise_residual
from model.networks.siamese import SiameseNetwork
from model.networks.siamese import initialise as initialise_siamese

CPU = torch.device("cpu")
SIAMESE = NetworkConfig(batch_norm=True, embedding_activation="relu", channels=(4, 4, 8, 8), dimension=32)
WIDE = NetworkConfig(batch_norm=True, embedding_activation="sigmoid", side_px=69, channels=(32, 32, 8, 8), dimension=32)
PLAIN = NetworkConfig(batch_norm=False, embedding_activation="sigmoid", channels=(4, 4, 8, 8), dimension=32)
RESIDUAL = ResidualConfig(side_px=40, views=(1.0, 0.64), view_px=32, channels=(4, 6, 8, 10), dimension=16)
CONFIGS = [SIAMESE, WIDE, PLAIN, RESIDUAL]


def random_network(config: NetworkConfig | ResidualConfig) -> FaceNetwork:
    """A network with random parameters and batch statistics, so that every one of them matters."""
    network, generator = build(config), torch.Generator().manual_seed(5)
    if isinstance(network, SiameseNetwork):
        initialise_siamese(network, generator)
    if isinstance(network, ResidualNetwork):
        initialise_residual(network, generator)
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d | nn.BatchNorm1d):
            nn.init.uniform_(layer.weight, 0.5, 1.5, generator=generator)
            nn.init.uniform_(layer.bias, -0.5, 0.5, generator=generator)
            assert isinstance(layer.running_mean, Tensor)
            assert isinstance(layer.running_var, Tensor)
            nn.init.uniform_(layer.running_mean, -0.2, 0.2, generator=generator)
            nn.init.uniform_(layer.running_var, 0.5, 2, generator=generator)
        if isinstance(layer, PReLU):
            nn.init.uniform_(layer.weight, -0.5, 0.5, generator=generator)
    return network.eval().requires_grad_(False)


def pictures(config: NetworkConfig | ResidualConfig, count: int = 6) -> Tensor:
    return (
        2
        * torch.rand(
            count, *config.input_shape[:1], config.side_px, config.side_px, generator=torch.Generator().manual_seed(6)
        )
        - 1
    )


@pytest.mark.parametrize("config", CONFIGS, ids=["siamese", "wide", "plain", "residual"])
def test_fused_network_gives_the_same_results(config: NetworkConfig | ResidualConfig) -> None:
    network = random_network(config)
    images = pictures(config)
    fused = fuse_for_inference(copy.deepcopy(network), CPU)
    expected, found = network.embed(images), fused.embed(images)
    assert (found - expected).abs().max() <= 1e-5
    left, right = [similarity(each.compare(*each.embed(images).chunk(2))) for each in (network, fused)]
    assert (left - right).abs().max() <= 1e-5


@pytest.mark.parametrize("config", CONFIGS, ids=["siamese", "wide", "plain", "residual"])
def test_fused_network_has_no_normalisation(config: NetworkConfig | ResidualConfig) -> None:
    fused = fuse_for_inference(random_network(config), CPU)
    normalisations = nn.BatchNorm1d | nn.BatchNorm2d | PReLU
    assert not [layer for layer in fused.modules() if isinstance(layer, normalisations)]


def test_fusing_twice_changes_nothing() -> None:
    fused = fuse_for_inference(random_network(WIDE), CPU)
    images = pictures(WIDE)
    once = fused.embed(images)
    assert torch.equal(fuse_for_inference(fused, CPU).embed(images), once)


def test_wide_convolution_and_fully_connected_layer_are_replaced() -> None:
    fused = fuse_for_inference(random_network(WIDE), CPU)
    assert isinstance(fused, SiameseNetwork)
    kinds = [type(layer) for layer in fused.twin]
    assert [kind for kind in kinds if kind in (nn.Conv2d, FourierConvolution)] == [
        nn.Conv2d, FourierConvolution, nn.Conv2d, nn.Conv2d
    ]  # fmt: skip
    assert kinds.index(nn.MaxPool2d) < kinds.index(nn.ReLU)
    assert isinstance(fused.fully_connected, PackedLinear)
