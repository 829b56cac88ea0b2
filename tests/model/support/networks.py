"""Narrow networks of every kind, with random parameters."""

import torch
from torch import Tensor, nn

from model.networks.architecture import build
from model.networks.configurations import NetworkConfig, ResidualConfig
from model.networks.face_network import FaceNetwork
from model.networks.residual import PReLU, ResidualNetwork
from model.networks.residual import initialise as initialise_residual
from model.networks.siamese import SiameseNetwork
from model.networks.siamese import initialise as initialise_siamese

RESIDUAL = ResidualConfig(side_px=40, views=(1.0, 0.64), view_px=32, channels=(4, 6, 8, 10), dimension=16)
CONFIGS: dict[str, NetworkConfig | ResidualConfig] = {
    "siamese": NetworkConfig(batch_norm=True, embedding_activation="relu", channels=(4, 4, 8, 8), dimension=32),
    "sigmoid": NetworkConfig(
        batch_norm=True, embedding_activation="sigmoid", side_px=69, channels=(32, 32, 8, 8), dimension=32
    ),
    "plain": NetworkConfig(batch_norm=False, embedding_activation="sigmoid", channels=(4, 4, 8, 8), dimension=32),
    "residual": RESIDUAL,
    "coloured": RESIDUAL.model_copy(update={"input_channels": 3, "grey_views": (1,)}),
    "one straight view": RESIDUAL.model_copy(
        update={"views": (1.0,), "view_px": 40, "flip_average": False, "head": "cosine", "blocks": (0, 2, 1, 1)}
    ),
    "thumbnail": RESIDUAL.model_copy(
        update={
            "input_channels": 3,
            "thumbnail_cells": 8,
            "thumbnail_values": 10,
            "dimension": 26,
            "flip_average": False,
        }
    ),
    "gradients": RESIDUAL.model_copy(
        update={
            "input_channels": 3,
            "thumbnail_cells": 8,
            "thumbnail_values": 10,
            "gradient_values": 7,
            "dimension": 33,
            "flip_average": False,
            "head": "fused",
        }
    ),
    "enlarged": RESIDUAL.model_copy(update={"views": (0.5,), "view_px": 33}),
}


def random_network(config: NetworkConfig | ResidualConfig) -> FaceNetwork:
    """A network with random parameters, batch statistics and head, so that every one of them matters."""
    network, generator = build(config), torch.Generator().manual_seed(5)
    if isinstance(network, SiameseNetwork):
        initialise_siamese(network, generator)
    if isinstance(network, ResidualNetwork):
        initialise_residual(network, generator)
        for part in filter(None, (network.head, network.gradients, network.thumbnail)):
            for buffer in part.buffers():
                nn.init.uniform_(buffer, -0.5, 0.5, generator=generator)
        network.head.scale.abs_()  # as of every fitted head
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d | nn.BatchNorm1d):
            nn.init.uniform_(layer.weight, 0.5, 1.5, generator=generator)
            nn.init.uniform_(layer.bias, -0.5, 0.5, generator=generator)
            assert isinstance(layer.running_mean, Tensor)
            assert isinstance(layer.running_var, Tensor)
            nn.init.uniform_(layer.running_mean, -0.2, 0.2, generator=generator)
            nn.init.uniform_(layer.running_var, 0.5, 2, generator=generator)
        if isinstance(layer, PReLU):
            nn.init.uniform_(layer.weight, -0.5, 0.5, generator=generator)
    return network.eval().requires_grad_(False)
