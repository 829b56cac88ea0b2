"""The parametric rectifier equals PyTorch's in values and gradients."""

import pytest
import torch
from torch import Tensor, nn

from model.networks.residual import PReLU


def gradients(layer: nn.PReLU, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The layer's values, and the gradients of its input and its slopes."""
    entering = images.clone().requires_grad_()
    values = layer(entering)
    (values * torch.linspace(-1, 1, values.numel()).view_as(values)).sum().backward()
    assert entering.grad is not None
    assert layer.weight.grad is not None
    return values.detach(), entering.grad, layer.weight.grad


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_values_and_gradients_equal_pytorch(layout: torch.memory_format) -> None:
    images = torch.randn(3, 4, 5, 6, generator=torch.Generator().manual_seed(0)).contiguous(memory_format=layout)
    images[0, 0, 0, :2] = torch.tensor([0.0, -0.0])
    ours, theirs = PReLU(4), nn.PReLU(4)
    with torch.no_grad():
        for layer in (ours, theirs):
            layer.weight.copy_(torch.tensor([0.25, -0.5, 1.5, 0.0]))
    values, for_input, for_slope = gradients(ours, images)
    expected, expected_input, expected_slope = gradients(theirs, images)
    assert torch.equal(values, expected)
    assert torch.equal(for_input, expected_input)
    assert torch.allclose(for_slope, expected_slope, rtol=1e-5)
    assert list(ours.state_dict()) == list(theirs.state_dict())


def test_values_and_slope_keep_their_types() -> None:
    layer = PReLU(2)
    images = torch.randn(2, 2, 3, 3, generator=torch.Generator().manual_seed(0)).bfloat16()
    values, for_input, for_slope = gradients(layer, images)
    assert (values.dtype, for_input.dtype, for_slope.dtype) == (torch.bfloat16, torch.bfloat16, torch.float32)


def test_nan_stays_nan() -> None:
    assert bool(PReLU(1)(torch.full((1, 1, 1, 1), torch.nan)).isnan().all())
