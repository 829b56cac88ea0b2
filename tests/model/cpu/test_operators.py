"""Weights of a resize compared with PyTorch's."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from model.cpu.operators import resize_weights


@pytest.mark.parametrize(("side_px", "wanted_px"), [(100, 64), (64, 64), (63, 64), (20, 33), (7, 1), (1, 5), (101, 17)])
def test_resize_weights_equal_pytorch(side_px: int, wanted_px: int) -> None:
    """The columns of a resized unit matrix are the weights."""
    rows = torch.eye(side_px)[None, None]
    expected = functional.interpolate(rows, (wanted_px, side_px), mode="bilinear", align_corners=False, antialias=True)[
        0, 0
    ]
    assert np.abs(resize_weights(side_px, wanted_px) - expected.numpy()).max() <= 5e-6
