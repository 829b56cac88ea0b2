import math

import torch
from torch import nn

from model.networks.siamese import SiameseNetwork, initialise
from tests.conftest import TINY


def initialised(seed: int) -> SiameseNetwork:
    network = SiameseNetwork(TINY)
    initialise(network, torch.Generator().manual_seed(seed))
    return network


def same(a: SiameseNetwork, b: SiameseNetwork) -> bool:
    pairs = zip(a.parameters(), b.parameters(), strict=True)
    return all(torch.equal(left, right) for left, right in pairs)


def test_weights_depend_only_on_the_given_generator() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        one = initialised(seed=7)
        torch.manual_seed(2)
        other = initialised(seed=7)
    assert same(one, other)


def test_different_seeds_give_different_networks() -> None:
    assert not same(initialised(seed=7), initialised(seed=8))


def test_global_generator_is_not_used() -> None:
    network = SiameseNetwork(TINY)
    before = torch.get_rng_state()
    initialise(network, torch.Generator().manual_seed(7))
    assert torch.equal(torch.get_rng_state(), before)


def test_weights_and_biases_fill_the_bounds_of_their_layer() -> None:
    network = SiameseNetwork(TINY)
    layers = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    with torch.no_grad():
        for layer in layers:
            layer.weight.fill_(math.nan)
            assert layer.bias is not None
            layer.bias.fill_(math.nan)
    initialise(network, torch.Generator().manual_seed(7))
    assert len(layers) == 6
    for layer in layers:
        bound = 1 / math.sqrt(layer.weight.numel() / layer.weight.shape[0])
        assert layer.bias is not None
        assert layer.bias.abs().max() <= bound
        assert 0.8 * bound < layer.weight.abs().max() <= bound
        assert layer.weight.min() < 0 < layer.weight.max()
