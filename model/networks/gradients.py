"""The part of an embedding that is made of gradient histograms: what is fitted in closed form, and not learned.

B batch, C channels, H W pixels, F values of histograms
"""

from math import sqrt

import torch
from torch import Tensor, nn
from torch.nn import functional

from model.imaging import gradient_cells
from model.imaging.gradient_cells import LEAST_LENGTH, LEAST_MEAN, SCALES, Scale
from model.networks.configurations import ResidualConfig

# Images whose filtered ones a processor's caches hold: several times as fast as a hundred at once.
AT_ONCE = 16


class Fitted(nn.Module):
    """As `nn.Linear`, with buffers, since they are not learned."""

    weight: Tensor
    bias: Tensor

    def __init__(self, entering: int, leaving: int) -> None:
        super().__init__()
        self.register_buffer("weight", torch.zeros(leaving, entering))
        self.register_buffer("bias", torch.zeros(leaving))

    def forward(self, rows: Tensor) -> Tensor:
        """(B, entering) -> (B, leaving)."""
        return functional.linear(rows, self.weight, self.bias)


class Gradients(nn.Module):
    """Gradient histograms in the directions that tell people apart, and how clear the picture is.

    Blurred, noisy or covered faces have histograms that say more of the blur than of the person. So the values are
    multiplied by the clarity of the picture, from 0 to 1, and two more values keep that and the length of 1. All three
    layers are fitted after the training (`training.people.gradient_part`).
    """

    def __init__(self, config: ResidualConfig) -> None:
        super().__init__()
        self.side_px = config.side_px
        self.components = Fitted(config.histogram_values, config.gradient_components)
        self.projection = Fitted(config.gradient_components, config.gradient_directions)
        self.clarity = Fitted(config.gradient_components, 1)

    def forward(self, grey: Tensor) -> Tensor:
        """(B, 1, H, W) standardised -> (B, gradient_values) of unit length.

        These are the directions times the clarity, the clarity (both divided by the root of 2), and what is missing.
        """
        found = self.components(histograms(grey))
        directions = functional.normalize(self.projection(functional.normalize(found)))
        clear, unclear = self.clarity(found).sigmoid(), (-self.clarity(found)).sigmoid()
        missing = (unclear * (1 + clear)).sqrt()
        return torch.cat([directions * clear / sqrt(2), clear / sqrt(2), missing], dim=1)


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
