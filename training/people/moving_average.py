"""Exponential moving average (EMA) of a network's weights; it validates better than the weights."""

import torch
from torch import nn


@torch.no_grad()
def update_average(average: nn.Module, network: nn.Module, decay: float, step: int) -> None:
    """Moves the average towards the network, in place; step counts from 0.

    Early steps move it further, so that the first weights, which mean nothing, do not stay. The statistics of batch
    normalisation are averaged alike; counters are copied.
    """
    stays = min(decay, (1 + step) / (10 + step))
    current = network.state_dict()
    for name, tensor in average.state_dict().items():
        if tensor.is_floating_point():
            tensor.lerp_(current[name], 1 - stays)
        else:
            tensor.copy_(current[name])
