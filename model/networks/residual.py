"""Residual networks for faces (He et al. 2016), narrow enough for a CPU: embeddings of unit length, a fitted head.

A picture is seen in several views, squares around its centre, each by a tower of its own.

A B batches, C channels, H W pixels, V views, D embedding
"""

from math import sqrt
from typing import Annotated, Literal, Self

import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor, nn
from torch.nn import functional

from model.imaging.preprocessing import MAX_SIDE_PX
from model.networks.heads import CosineHead, JointBayesianHead
from model.networks.inputs import luma, standardise
from model.networks.prelu import PReLU
from model.networks.siamese import Dimension, Width

# The stem and the last three stages halve the sides.
STRIDE = 16
Share = Annotated[float, Field(ge=0.05, le=1)]
Blocks = Annotated[int, Field(ge=0, le=256)]


class ResidualConfig(BaseModel):
    """What a residual network looks like: `views` are shares of the picture's side, each brought to `view_px`.

    Of coloured pictures the `grey_views`, counted from 0, see the luma alone, standardised again.
    With `flip_average` a picture and its mirror image count alike. The towers share out the embedding's `dimension`.
    Fields that the first checkpoints lacked are left out at their defaults, so that older digests hold.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    kind: Literal["residual"] = "residual"
    side_px: int = Field(default=100, ge=STRIDE, le=MAX_SIDE_PX)
    input_channels: Literal[1, 3] = Field(default=1, exclude_if=lambda channels: channels == 1)
    views: tuple[Share, ...] = Field(default=(1.0, 0.64), min_length=1, max_length=64)
    grey_views: tuple[Annotated[int, Field(ge=0)], ...] = Field(default=(), exclude_if=lambda views: not views)
    view_px: int = Field(default=64, ge=STRIDE, le=MAX_SIDE_PX)
    channels: tuple[Width, Width, Width, Width] = (24, 48, 96, 192)
    blocks: tuple[Blocks, Blocks, Blocks, Blocks] = (1, 1, 2, 2)
    dimension: Dimension = 512
    flip_average: bool = True
    head: Literal["cosine", "joint-bayesian"] = "joint-bayesian"

    @model_validator(mode="after")
    def _shared_out(self) -> Self:
        if self.dimension % len(self.views):
            raise ValueError("the dimension must be a multiple of the number of views")
        return self

    @model_validator(mode="after")
    def _grey_of_coloured(self) -> Self:
        if self.grey_views and self.input_channels == 1:
            raise ValueError("views become grey only where the pictures have colours (input_channels 3)")
        if self.grey_views and max(self.grey_views) >= len(self.views):
            raise ValueError(f"there are {len(self.views)} views, counted from 0, that may become grey")
        return self

    @property
    def input_shape(self) -> tuple[int, int]:
        """Channels and side of the pictures."""
        return self.input_channels, self.side_px

    @property
    def view_channels(self) -> tuple[int, ...]:
        """Channels of each view, 1 or 3."""
        return tuple(1 if view in self.grey_views else self.input_channels for view in range(len(self.views)))

    @property
    def features(self) -> int:
        """Values per view that enter the fully connected layer: 4 x 4 x 192 = 3,072 by default."""
        return (-(-self.view_px // STRIDE)) ** 2 * self.channels[-1]


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut; the first may halve the sides and change the channels."""

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
    """From one view to its share of the embedding."""

    def __init__(self, config: ResidualConfig, channels: int) -> None:
        super().__init__()
        dimension = config.dimension // len(config.views)
        self.trunk = _trunk(config, channels)
        self.fully_connected = nn.Linear(config.features, dimension, bias=False)
        self.normalisation = nn.BatchNorm1d(dimension)

    def forward(self, view: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, D / V) float32 of unit length."""
        # channels_last decides how the features lie in memory; flatten always reads them in (C, H, W) order.
        features = self.trunk(view).flatten(1)
        return functional.normalize(self.normalisation(self.fully_connected(features)).float())


class ResidualNetwork(nn.Module):
    """`embed` and `compare`, separate so that embeddings can be stored."""

    calibrated = True  # whether similarities are probabilities, fitted on validation pairs

    def __init__(self, config: ResidualConfig) -> None:
        super().__init__()
        self.config = config
        self.towers = nn.ModuleList(Tower(config, channels) for channels in config.view_channels)
        self.head = CosineHead() if config.head == "cosine" else JointBayesianHead(config.dimension)

    def embed(self, images: Tensor) -> Tensor:
        """(B, C, H, W) float32, standardised -> (B, D) float32 of unit length; the mirror counts in evaluation only."""
        if self.training or not self.config.flip_average:
            return self.forward(images)
        straight, mirrored = self.forward(torch.cat([images, images.flip(3)])).chunk(2)
        return functional.normalize(straight + mirrored)

    def compare(self, left: Tensor, right: Tensor) -> Tensor:
        """(B, D) and (B, D) float32 -> (B,) float32 logits of "same person"; symmetric to the last bit."""
        logits: Tensor = self.head(left, right)
        return logits

    def logit_table(self, left: Tensor, right: Tensor) -> Tensor:
        """(A, D) and (B, D) float32 -> (A, B), the logits of all pairs but for rounding."""
        table: Tensor = self.head.logit_table(left, right)
        return table

    def identical_logit(self) -> Tensor | None:
        """(1,) the logit of two identical pictures, or None where it depends on the picture."""
        return self.head.identical_logit()

    def forward(self, images: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, D) of unit length, of the pictures as they are."""
        parts = [tower(view) for tower, view in zip(self.towers, self._views(images), strict=True)]
        return torch.cat(parts, dim=1) / sqrt(len(parts))

    def _views(self, images: Tensor) -> list[Tensor]:
        config = self.config
        grey = standardise(luma(images)) if config.grey_views else images
        seen = [grey if view in config.grey_views else images for view in range(len(config.views))]
        return [central_view(each, share, config.view_px) for each, share in zip(seen, config.views, strict=True)]


def central_view(images: Tensor, share: float, view_px: int) -> Tensor:
    """(B, C, S, S) -> (B, C, view_px, view_px): the square around the centre with that share of the side."""
    side = images.shape[-1]
    taken = round(side * share)
    start = (side - taken) // 2
    square = images[..., start : start + taken, start : start + taken]
    if taken == view_px:
        return square
    return functional.interpolate(square, (view_px, view_px), mode="bilinear", align_corners=False, antialias=True)


def initialise(network: ResidualNetwork, generator: torch.Generator) -> None:
    """Draws every kernel and matrix from a normal distribution of variance 2 / fan_in (He et al. 2015)."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(layer.weight, generator=generator)


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
