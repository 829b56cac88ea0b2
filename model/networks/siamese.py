"""The network of Koch, Zemel and Salakhutdinov, "Siamese Neural Networks for One-shot Image Recognition" (2015).

A convolutional twin turns each crop into an embedding. The component-wise distance of two embeddings, weighted and
summed, is the logit of "same person". The fields of `NetworkConfig` choose the experiments' variants: batch
normalisation, the embedding's activation, dropout.

A B batches, C channels, H W pixels, D embedding
"""

import math

import torch
from torch import Tensor, nn

from model.networks.configurations import KERNELS, NetworkConfig
from model.networks.face_network import FaceNetwork


class SiameseNetwork(FaceNetwork):
    """The twin (`embed`) and the comparison (`compare`)."""

    calibrated = False
    unit_length = False

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        self.twin = _twin(config)
        self.fully_connected = nn.Linear(config.features, config.dimension)
        self.activation = nn.Sigmoid() if config.embedding_activation == "sigmoid" else nn.ReLU()
        self.dropout = nn.Dropout(config.dropout)
        self.comparison = nn.Linear(config.dimension, 1)

    def stages(self) -> dict[str, list[nn.Module]]:
        """`stage1` to `stage4` (a convolution and what follows it), `embedding` and `comparison`."""
        found: dict[str, list[nn.Module]] = {}
        for layer in self.twin:
            if isinstance(layer, nn.Conv2d):
                found[f"stage{len(found) + 1}"] = []
            found[f"stage{len(found)}"].append(layer)
        return found | {"embedding": [self.fully_connected], "comparison": [self.comparison]}

    def embed(self, images: Tensor) -> Tensor:
        """(B, 1, H, W) float32, -1 to 1 -> (B, D) float32."""
        # flatten reads the features in (C, H, W) order for every memory format.
        features = self.twin(images).flatten(1)
        embeddings: Tensor = self.dropout(self.activation(self.fully_connected(features)))
        return embeddings

    def compare(self, left: Tensor, right: Tensor) -> Tensor:
        """(B, D) and (B, D) float32 -> (B,) float32 logits of "same person"."""
        logits: Tensor = self.comparison((left - right).abs()).squeeze(1)
        return logits

    def logit_table(self, left: Tensor, right: Tensor) -> Tensor:
        """(A, D) and (B, D) float32 -> (A, B), the logits of all pairs up to rounding."""
        weight, total = self.comparison.weight[0], torch.zeros(len(left), len(right), device=left.device)
        for sign in (1, -1):  # apart, since cdist cannot weight components negatively
            some = (weight * sign) > 0
            scale = weight[some].abs()
            total += sign * torch.cdist(left[:, some] * scale, right[:, some] * scale, p=1)
        return total + self.comparison.bias

    def identical_logit(self) -> Tensor | None:
        """(1,), the logit of two identical crops, whose distance is 0."""
        return self.comparison.bias.detach()

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        """Two batches of crops (B, 1, H, W) -> (B,) logits; the twin embeds both in one batch of 2B."""
        # The comparison is cheap, so it keeps the weights' precision even if autocast lowers the twin's.
        embeddings = self.embed(torch.cat([left, right])).to(self.comparison.weight.dtype)
        with torch.autocast(embeddings.device.type, enabled=False):
            return self.compare(*embeddings.chunk(2))


def initialise(network: SiameseNetwork, generator: torch.Generator) -> None:
    """Draws all weights and biases from U(-1/sqrt(fan_in), 1/sqrt(fan_in)), as PyTorch does, with one generator."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            bound = 1 / math.sqrt(layer.weight[0].numel())
            nn.init.uniform_(layer.weight, -bound, bound, generator=generator)
            if layer.bias is not None:
                nn.init.uniform_(layer.bias, -bound, bound, generator=generator)


def _twin(config: NetworkConfig) -> nn.Sequential:
    """Four convolutions, each with ReLU; the first three are followed by 2x2 max-pooling."""
    layers: list[nn.Module] = []
    channels = (1, *config.channels)
    for index, kernel in enumerate(KERNELS):
        layers.append(nn.Conv2d(channels[index], channels[index + 1], kernel))
        if config.batch_norm:
            layers.append(nn.BatchNorm2d(channels[index + 1]))
        layers.append(nn.ReLU(inplace=True))
        if index < len(KERNELS) - 1:
            layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers)
