"""The convolution by Fourier transforms compared with PyTorch's direct convolution."""

import pytest
import torch
from torch import nn

from model.networks.fourier import TILE_PX, FourierConvolution


def drawn(layer: nn.Conv2d) -> nn.Conv2d:
    """The layer with random weights that are the same in every run."""
    generator = torch.Generator().manual_seed(1)
    for parameter in layer.parameters():
        nn.init.uniform_(parameter, -0.2, 0.2, generator=generator)
    return layer.requires_grad_(False)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(
    ("height", "width", "kernel", "tile"),
    [(48, 48, 7, TILE_PX), (48, 48, 7, 27), (21, 34, 7, TILE_PX), (7, 7, 7, TILE_PX), (12, 9, 3, 8), (9, 9, 1, 4)],
)
def test_result_equals_the_direct_convolution(
    height: int, width: int, kernel: int, tile: int, layout: torch.memory_format
) -> None:
    direct = drawn(nn.Conv2d(5, 6, kernel))
    generator = torch.Generator().manual_seed(2)
    images = torch.randn(3, 5, height, width, generator=generator).contiguous(memory_format=layout)
    expected = direct(images)
    found = FourierConvolution(direct, tile)(images)
    assert found.shape == expected.shape
    assert (found - expected).abs().max() <= 1e-5 * expected.abs().max()


def test_layer_without_bias_equals_the_direct_convolution() -> None:
    direct = drawn(nn.Conv2d(2, 3, 7, bias=False))
    images = torch.randn(1, 2, 20, 20, generator=torch.Generator().manual_seed(3))
    assert (FourierConvolution(direct)(images) - direct(images)).abs().max() <= 1e-5


def test_change_of_memory_format_keeps_the_result() -> None:
    direct = drawn(nn.Conv2d(4, 4, 7))
    images = torch.randn(2, 4, 30, 30, generator=torch.Generator().manual_seed(4))
    changed = FourierConvolution(direct).to(memory_format=torch.channels_last)
    assert (changed(images) - direct(images)).abs().max() <= 1e-5


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(2, 2, 7, stride=2),
        nn.Conv2d(2, 2, 7, padding=1),
        nn.Conv2d(2, 2, 7, groups=2),
        nn.Conv2d(2, 2, 7, dilation=2),
        nn.Conv2d(2, 2, (7, 5)),
    ],
    ids=str,
)
def test_other_convolutions_are_refused(layer: nn.Conv2d) -> None:
    with pytest.raises(ValueError, match="square kernel"):
        FourierConvolution(layer)
