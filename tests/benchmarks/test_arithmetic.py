"""The counted operations, against those that really go through the layers."""

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.arithmetic import forward_flop, multiply_adds, residual_multiply_adds, step_flop
from benchmarks.machine import PRODUCT_FLOP, matrix_product
from model.networks.architecture import build
from model.networks.configurations import NetworkConfig, ResidualConfig
from model.networks.siamese import SiameseNetwork
from tests.conftest import TINY
from training.learning.experiments import EXPERIMENT_2


def hooked_counts(config: NetworkConfig | ResidualConfig) -> list[int]:
    """Multiply-adds of each layer that has a kernel or a matrix, from what really goes through it."""
    with torch.device("meta"):
        built = build(config)
        channels, side = config.input_shape
        picture = torch.empty(1, channels, side, side)
    counts: list[int] = []

    def count(layer: nn.Module, _: tuple[Tensor, ...], output: Tensor) -> None:
        counts.append(output.numel() * layer.get_parameter("weight")[0].numel())

    for layer in built.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            layer.register_forward_hook(count)
    built.eval().embed(picture)
    return counts


def test_multiply_adds_of_experiment_2_are_those_counted_by_hand() -> None:
    assert multiply_adds(EXPERIMENT_2.network) == {
        "convolution 1": 96 * 96 * 64 * 10 * 10 * 1,
        "convolution 2": 42 * 42 * 128 * 7 * 7 * 64,
        "convolution 3": 18 * 18 * 128 * 4 * 4 * 128,
        "convolution 4": 6 * 6 * 256 * 4 * 4 * 128,
        "fully connected": 9216 * 4096,
    }
    assert sum(multiply_adds(EXPERIMENT_2.network).values()) == 908_623_872


@pytest.mark.parametrize("config", [EXPERIMENT_2.network, TINY, TINY.model_copy(update={"side_px": 80})])
def test_multiply_adds_are_those_that_go_through_the_layers(config: NetworkConfig) -> None:
    assert list(multiply_adds(config).values()) == hooked_counts(config)


@pytest.mark.parametrize(
    "config",
    [
        ResidualConfig(),
        ResidualConfig(input_channels=3),
        ResidualConfig(input_channels=3, grey_views=(1,)),
        ResidualConfig(side_px=50, views=(1.0,), view_px=50, channels=(4, 4, 6, 8)),
    ],
)
def test_operations_of_a_residual_network_are_those_that_go_through_the_layers(config: ResidualConfig) -> None:
    assert forward_flop(config) == 2 * sum(hooked_counts(config))
    plain = config.model_copy(update={"flip_average": False})
    assert forward_flop(plain) == 2 * sum(hooked_counts(plain)) == forward_flop(config) / 2
    assert list(residual_multiply_adds(plain)) == ["stem", *(f"stage {n}" for n in range(1, 5)), "fully connected"]


def test_operations_are_those_that_torch_counts_forward_and_backward() -> None:
    with torch.device("meta"):
        built = SiameseNetwork(EXPERIMENT_2.network)
        images = torch.empty(3, 1, 105, 105)
    with FlopCounterMode(display=False) as forward:
        embeddings = built.embed(images)
    with FlopCounterMode(display=False) as backward:
        embeddings.sum().backward()
    assert forward.get_total_flops() == 3 * forward_flop(EXPERIMENT_2.network)
    assert forward.get_total_flops() + backward.get_total_flops() == 3 * step_flop(EXPERIMENT_2.network)


def test_the_matrix_product_has_as_many_operations_as_it_is_said_to_have() -> None:
    product = matrix_product(torch.device("meta"))
    with FlopCounterMode(display=False) as counted:
        result = product()
    assert (result.dtype, counted.get_total_flops()) == (torch.float32, PRODUCT_FLOP)
