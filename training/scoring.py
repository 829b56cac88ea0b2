"""Scores pairs of an album with a network, as the service would.

B batch, P pairs, D embedding
"""

import torch
from torch import Tensor

from model.network import SiameseNetwork
from model.preprocessing import PreprocessingConfig, normalise, to_unit
from model.similarity import similarity
from training.album import Album
from training.evaluation import Labels, Scores
from training.pairs import PairSet

BATCH = 128


@torch.no_grad()
def score_pairs(
    network: SiameseNetwork, config: PreprocessingConfig, album: Album, pairs: PairSet
) -> tuple[Scores, Labels]:
    """Similarities float64 (P,) and labels bool (P,); every picture is embedded once."""
    used, places = torch.cat([pairs.left, pairs.right]).unique(return_inverse=True)
    embeddings = torch.cat([embed_pictures(network, config, album.pixels[chunk]) for chunk in used.split(BATCH)])
    left, right = places.chunk(2)
    logits = [
        network.compare(embeddings[a], embeddings[b])
        for a, b in zip(left.split(BATCH), right.split(BATCH), strict=True)
    ]
    return similarity(torch.cat(logits)).cpu().numpy(), pairs.same.bool().numpy()


@torch.no_grad()
def embed_pictures(network: SiameseNetwork, config: PreprocessingConfig, pixels: Tensor) -> Tensor:
    """uint8 (B, H, W) -> float32 (B, D): bit for bit the service's for the same batch. Sets evaluation mode."""
    network.eval().to(memory_format=torch.channels_last)
    device = next(network.parameters()).device
    images = normalise(to_unit(pixels.to(device)), config)
    return network.embed(images.contiguous(memory_format=torch.channels_last))
