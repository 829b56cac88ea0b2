"""The multiply-adds of a network, counted from its configuration; one is two floating-point operations.

Counts the convolutions and the fully connected layer for one crop. Biases, normalisation, ReLU, pooling and the
comparison are left out: they are a few in a thousand.
"""

from model.errors import CheckpointError
from model.networks.configurations import KERNELS, AnyNetworkConfig, NetworkConfig, OnnxConfig, ResidualConfig


def multiply_adds(config: NetworkConfig) -> dict[str, int]:
    """The multiply-adds that embed one crop, by layer."""
    counts = {}
    side, before = config.side_px, 1
    for number, (kernel, after) in enumerate(zip(KERNELS, config.channels, strict=True), 1):
        side = side - kernel + 1
        counts[f"convolution {number}"] = side**2 * after * kernel**2 * before
        side, before = side // 2, after
    counts["fully connected"] = config.features * config.dimension
    return counts


def residual_multiply_adds(config: ResidualConfig) -> dict[str, int]:
    """The multiply-adds of one pass of a residual network over all regions of a crop, by stage, shortcuts included."""
    side, before = (config.view_px + 1) // 2, config.channels[0]
    regions = len(config.views)
    counts = {"stem": side**2 * before * 9 * sum(config.region_channels)}
    for number, (after, blocks) in enumerate(zip(config.channels, config.blocks, strict=True), 1):
        side = side if number == 1 else (side + 1) // 2
        kernels = 9 * (before + (2 * blocks - 1) * after) + (before if number > 1 else 0)
        counts[f"stage {number}"] = regions * side**2 * after * kernels
        before = after
    counts["fully connected"] = config.features * config.tower_values
    if config.thumbnail_values:
        counts["thumbnail"] = config.thumbnail_values * config.thumbnail_means
    return counts


def forward_flop(config: AnyNetworkConfig) -> int:
    """The floating-point operations that embed one crop, with its mirror image if the network averages over both.

    Raises CheckpointError for a network from elsewhere.
    """
    mirrored = isinstance(config, ResidualConfig) and config.flip_average
    return 2 * sum(_counts(config).values()) * (2 if mirrored else 1)


def _counts(config: AnyNetworkConfig) -> dict[str, int]:
    """The multiply-adds of one crop by layer; the first layer, which sees the crop, comes first."""
    if isinstance(config, OnnxConfig):
        raise CheckpointError("the arithmetic of a network from elsewhere is not counted; take --weights of our own")
    return residual_multiply_adds(config) if isinstance(config, ResidualConfig) else multiply_adds(config)


def step_flop(config: AnyNetworkConfig) -> int:
    """The floating-point operations for one crop in a training step, where no mirror image is taken."""
    # Each layer takes as many as in the forward pass for the gradients of its weights, and as many again for those of
    # its input. The first layer's input is the crop, which needs no gradient.
    counts = _counts(config)
    return 2 * (3 * sum(counts.values()) - next(iter(counts.values())))
