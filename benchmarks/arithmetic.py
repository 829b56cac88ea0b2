"""The multiply-adds of the network, counted from its configuration; one is two floating-point operations.

Convolutions and the fully connected layer of one picture. Left out, being a few in a thousand: biases, normalisation,
ReLU, pooling, and the comparison.
"""

from model.networks.configurations import KERNELS, NetworkConfig, ResidualConfig


def multiply_adds(config: NetworkConfig) -> dict[str, int]:
    """What embedding one picture costs, layer by layer."""
    counts = {}
    side, before = config.side_px, 1
    for number, (kernel, after) in enumerate(zip(KERNELS, config.channels, strict=True), 1):
        side = side - kernel + 1
        counts[f"convolution {number}"] = side**2 * after * kernel**2 * before
        side, before = side // 2, after
    counts["fully connected"] = config.features * config.dimension
    return counts


def residual_multiply_adds(config: ResidualConfig) -> dict[str, int]:
    """What one pass of a residual network over one picture costs, all its views, stage by stage.

    Shortcuts are in their stage.
    """
    side, before = (config.view_px + 1) // 2, config.channels[0]
    views = len(config.views)
    counts = {"stem": side**2 * before * 9 * sum(config.region_channels)}
    for number, (after, blocks) in enumerate(zip(config.channels, config.blocks, strict=True), 1):
        side = side if number == 1 else (side + 1) // 2
        kernels = 9 * (before + (2 * blocks - 1) * after) + (before if number > 1 else 0)
        counts[f"stage {number}"] = views * side**2 * after * kernels
        before = after
    counts["fully connected"] = config.features * config.dimension
    return counts


def forward_flop(config: NetworkConfig | ResidualConfig) -> int:
    """Floating-point operations that embed one picture, with its mirror image where both count."""
    if isinstance(config, ResidualConfig):
        return 2 * sum(residual_multiply_adds(config).values()) * (2 if config.flip_average else 1)
    return 2 * sum(multiply_adds(config).values())


def step_flop(config: NetworkConfig) -> int:
    """Floating-point operations for one picture in a training step: forward, and in each layer as many again for the
    gradients of its weights and of its input; the first layer's input is the picture, which needs no gradient.
    """
    counts = multiply_adds(config)
    return 2 * (3 * sum(counts.values()) - counts["convolution 1"])
