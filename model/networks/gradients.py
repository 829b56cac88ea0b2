"""The part of an embedding that is made of gradient histograms: what is fitted in closed form, and not learned.

B batch, C channels, H W pixels, F values of histograms
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from model.imaging import gradient_cells
from model.imaging.gradient_cells import LEAST_LENGTH, LEAST_MEAN, SCALES, Scale
from model.networks.configurations import ResidualConfig

# Images whose filtered ones a processor's caches hold: several times as fast as a hundred at once.
AT_ONCE = 16


class Gradients(nn.Module):
    """Gradient histograms in the directions that tell people apart.

    The weight and the bias are fitted after the training (`training.people.gradient_part`).
    """

    weight: Tensor
    bias: Tensor

    def __init__(self, config: ResidualConfig) -> None:
        super().__init__()
        self.register_buffer("weight", torch.zeros(config.gradient_values, config.histogram_values))
        self.register_buffer("bias", torch.zeros(config.gradient_values))

    def forward(self, grey: Tensor) -> Tensor:
        """(B, 1, H, W) standardised -> (B, gradient_values) of unit length."""
        return functional.normalize(functional.linear(histograms(grey), self.weight, self.bias))


def histograms(grey: Tensor) -> Tensor:
    """(B, 1, H, W) standardised -> (B, F)."""
    rows = [torch.cat([_of_scale(few, scale) for scale in SCALES], dim=1) for few in grey.split(AT_ONCE)]
    return torch.cat(rows)


def _of_scale(grey: Tensor, scale: Scale) -> Tensor:
    side_px = grey.shape[-1]
    if scale.shrink > 1:
        grey = functional.avg_pool2d(grey, scale.shrink)
    padded = functional.pad(grey, (1, 1, 1, 1), mode="replicate")
    derivatives, directed, second = (
        functional.conv2d(padded, grey.new_tensor(kernels))
        for kernels in (gradient_cells.DERIVATIVES, gradient_cells.DIRECTED, gradient_cells.SECOND)
    )
    length = derivatives.square().sum(1, keepdim=True).sqrt() + LEAST_LENGTH
    means, around = (grey.new_tensor(each) for each in (scale.means(side_px), scale.surroundings(side_px)))
    kinds = []
    for values in (directed.relu().square() / length, second.relu()):
        cells = means.T @ values @ means
        nearby = around.T @ cells.sum(1, keepdim=True) @ around
        kinds.append((cells / (nearby + LEAST_MEAN)).sqrt())
    return torch.cat(kinds, dim=1).flatten(1)
