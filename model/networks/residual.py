"""Residual networks for faces (He et al. 2016), narrow enough for a CPU, with unit-length embeddings and a fitted head.

A network has one tower for each region of the crop, a square around its centre.

A B batches, C channels, H W pixels, R regions, D embedding
"""

from itertools import islice
from math import sqrt
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from model.imaging.preprocessing import LUMA, MIN_DEVIATION
from model.networks.configurations import ResidualConfig
from model.networks.face_network import FaceNetwork
from model.networks.gradients import Gradients
from model.networks.heads import CosineHead, FusedHead, Head, JointBayesianHead

# Convolution, normalisation and activation.
STEM_LAYERS = 3


class PReLU(nn.PReLU):
    """The parametric rectifier (He et al. 2015): the values of `nn.PReLU`, and its gradients up to rounding.

    It trains several times as fast as PyTorch's on a CPU, because its steps are vectorised.
    """

    def forward(self, images: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        result: Tensor = _Rectify.apply(images, self.weight)
        return result


class _Rectify(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, images: Tensor, slope: Tensor) -> Tensor:
        ctx.save_for_backward(images, slope)
        return images.clamp_min(0).add_(images.clamp_max(0).mul_(_by_channel(slope, images)))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        images, slope = ctx.saved_tensors
        above = torch.ops.aten.threshold_backward(gradient, images, 0)
        below = gradient - above
        for_slope = (below * images).sum((0, 2, 3)).to(slope.dtype)
        return above.add_(below.mul_(_by_channel(slope, images))), for_slope


def _by_channel(slope: Tensor, images: Tensor) -> Tensor:
    return slope.to(images.dtype)[:, None, None]


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut; the first convolution may halve the sides and change the channels."""

    def __init__(self, entering: int, leaving: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(entering, leaving, 3, stride, padding=1, bias=False),
            nn.BatchNorm2d(leaving),
            PReLU(leaving),
            nn.Conv2d(leaving, leaving, 3, padding=1, bias=False),
            nn.BatchNorm2d(leaving),
        )
        self.shortcut = _shortcut(entering, leaving, stride)
        self.activation = PReLU(leaving)

    def forward(self, images: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C', H', W')."""
        result: Tensor = self.activation(self.body(images) + self.shortcut(images))
        return result


class Tower(nn.Module):
    """From one region to its part of the embedding."""

    def __init__(self, config: ResidualConfig, channels: int) -> None:
        super().__init__()
        dimension = config.tower_values // len(config.views)
        self.blocks = config.blocks
        self.trunk = _trunk(config, channels)
        self.fully_connected = nn.Linear(config.features, dimension, bias=False)
        self.normalisation = nn.BatchNorm1d(dimension)

    def stages(self) -> dict[str, list[nn.Module]]:
        """The layers by the name of their stage."""
        layers = iter(self.trunk)
        found = {"stem": list(islice(layers, STEM_LAYERS))}
        found |= {f"stage{number}": list(islice(layers, count)) for number, count in enumerate(self.blocks, 1)}
        return found | {"embedding": [self.fully_connected, self.normalisation]}

    def forward(self, region: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, D / R) float32 of unit length."""
        # flatten reads the features in (C, H, W) order for every memory format.
        features = self.trunk(region).flatten(1)
        return functional.normalize(self.normalisation(self.fully_connected(features)).float())


class Thumbnail(nn.Module):
    """Principal components of the crop's cells, by whose inner product two pictures are alike or not.

    `mean` and `projection` are not learned but fitted after the training (`training.fitting`).
    """

    mean: Tensor
    projection: Tensor

    def __init__(self, config: ResidualConfig) -> None:
        super().__init__()
        self.cell_px = config.side_px // config.thumbnail_cells
        self.register_buffer("mean", torch.zeros(config.thumbnail_means))
        self.register_buffer("projection", torch.zeros(config.thumbnail_values, config.thumbnail_means))

    def cells(self, images: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C cells^2), the mean of each cell in each channel."""
        return functional.avg_pool2d(images, self.cell_px).flatten(1)

    def forward(self, images: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, thumbnail_values) of unit length."""
        return functional.normalize((self.cells(images) - self.mean) @ self.projection.T)


class ResidualNetwork(FaceNetwork):
    """Towers, one a view, perhaps gradients and a thumbnail (`embed`), and a head (`compare`)."""

    calibrated = True
    unit_length = True

    def __init__(self, config: ResidualConfig) -> None:
        super().__init__()
        self.config = config
        self.unit_parts = config.unit_parts
        self.towers = nn.ModuleList(Tower(config, channels) for channels in config.region_channels)
        self.head = _head(config)
        self.gradients = Gradients(config) if config.gradient_values else None
        self.thumbnail = Thumbnail(config) if config.thumbnail_cells else None

    def stages(self) -> dict[str, list[nn.Module]]:
        """`stem`, `stage1` to `stage4` and `embedding`, each of all towers."""
        towers = [tower.stages() for tower in self.towers if isinstance(tower, Tower)]
        return {name: [layer for each in towers for layer in each[name]] for name in towers[0]}

    def embed(self, images: Tensor) -> Tensor:
        """(B, C, H, W) float32, standardised -> (B, D) float32 of unit length; with the mirror image in evaluation."""
        if self.thumbnail:
            parts = [self.forward(images), self.thumbnail(images)]
            if self.gradients:
                parts.insert(1, self.gradients(standardise(luma(images))))
            return torch.cat(parts, dim=1) / sqrt(len(parts))
        if self.training or not self.config.flip_average:
            return self.forward(images)
        straight, mirrored = self.forward(torch.cat([images, images.flip(3)])).chunk(2)
        return functional.normalize(straight + mirrored)

    def compare(self, left: Tensor, right: Tensor) -> Tensor:
        """(B, D) and (B, D) float32 -> (B,) float32 logits of "same person"; symmetric to the last bit."""
        logits: Tensor = self.head(left, right)
        return logits

    def logit_table(self, left: Tensor, right: Tensor) -> Tensor:
        """(A, D) and (B, D) float32 -> (A, B), the logits of all pairs up to rounding."""
        table: Tensor = self.head.logit_table(left, right)
        return table

    def identical_logit(self) -> Tensor | None:
        """(1,), the logit of two identical crops, or None if it depends on the crop."""
        return self.head.identical_logit()

    def forward(self, images: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, tower_values) of unit length: what the towers give, which is trained."""
        parts = [tower(region) for tower, region in zip(self.towers, self._regions(images), strict=True)]
        return torch.cat(parts, dim=1) / sqrt(len(parts))

    def _regions(self, images: Tensor) -> list[Tensor]:
        config = self.config
        grey = standardise(luma(images)) if config.grey_views else images
        seen = [grey if region in config.grey_views else images for region in range(len(config.views))]
        return [central_region(each, share, config.view_px) for each, share in zip(seen, config.views, strict=True)]


def central_region(images: Tensor, share: float, region_px: int) -> Tensor:
    """(B, C, S, S) -> (B, C, region_px, region_px): the square around the centre with that share of the side."""
    side = images.shape[-1]
    taken = round(side * share)
    start = (side - taken) // 2
    square = images[..., start : start + taken, start : start + taken]
    if taken == region_px:
        return square
    return functional.interpolate(square, (region_px, region_px), mode="bilinear", align_corners=False, antialias=True)


def initialise(network: ResidualNetwork, generator: torch.Generator) -> None:
    """Draws every kernel and matrix from a normal distribution of variance 2 / fan_in (He et al. 2015)."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(layer.weight, generator=generator)


def _head(config: ResidualConfig) -> Head:
    """Until it is fitted it compares what the towers give."""
    if config.head == "cosine":
        return CosineHead()
    if config.head == "fused":
        return FusedHead(config.unit_parts)
    head = JointBayesianHead(config.dimension)
    head.cross[config.tower_values :] = 0
    return head


def _trunk(config: ResidualConfig, channels: int) -> nn.Sequential:
    stem = [nn.Conv2d(channels, config.channels[0], 3, 2, padding=1, bias=False),
            nn.BatchNorm2d(config.channels[0]), PReLU(config.channels[0])]  # fmt: skip
    entering, blocks = config.channels[0], []
    for stage, (leaving, count) in enumerate(zip(config.channels, config.blocks, strict=True)):
        for number in range(count):
            blocks.append(ResidualBlock(entering, leaving, 2 if stage > 0 and number == 0 else 1))
            entering = leaving
    return nn.Sequential(*stem, *blocks)


def _shortcut(entering: int, leaving: int, stride: int) -> nn.Module:
    if entering == leaving and stride == 1:
        return nn.Identity()
    return nn.Sequential(nn.Conv2d(entering, leaving, 1, stride, bias=False), nn.BatchNorm2d(leaving))


def standardise(images: Tensor) -> Tensor:
    """float32 (B, C, H, W) -> the same shape, each crop with mean 0 and deviation 1 over all its channels."""
    deviation, mean = torch.std_mean(images, dim=(1, 2, 3), correction=0, keepdim=True)
    return (images - mean) / deviation.clamp_min(MIN_DEVIATION)


def luma(images: Tensor) -> Tensor:
    """float (B, 3, H, W), red, green and blue -> float (B, 1, H, W), grey."""
    return (images * images.new_tensor(LUMA)[:, None, None]).sum(1, keepdim=True)
