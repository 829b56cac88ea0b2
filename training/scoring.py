"""Scores pairs of an album with a network, as the service would.

B batch, N pictures, P pairs, D embedding
"""

from collections.abc import Callable

import torch
from torch import Tensor

from model.imaging.preprocessing import PreprocessingConfig
from model.networks.architecture import FaceNetwork
from model.networks.inputs import normalise, to_unit
from model.networks.residual import ResidualNetwork
from model.similarity import similarity
from training.data.album import Album
from training.data.pairs import PairSet
from training.statistics.rates import Labels, Scores

BATCH = 128


def score_pairs(
    network: FaceNetwork, config: PreprocessingConfig, album: Album, pairs: PairSet
) -> tuple[Scores, Labels]:
    """Similarities float64 (P,) and labels bool (P,); every picture is embedded once."""
    logits = compare_pairs(network.compare, network, config, album, pairs)
    return similarity(logits).cpu().numpy(), pairs.same.bool().numpy()


def raw_scores(
    network: ResidualNetwork, config: PreprocessingConfig, album: Album, pairs: PairSet
) -> tuple[Scores, Labels]:
    """What the head gives before it is calibrated, float64 (P,), and labels bool (P,)."""
    raw = compare_pairs(network.head.score, network, config, album, pairs)
    return raw.double().cpu().numpy(), pairs.same.bool().numpy()


@torch.no_grad()
def compare_pairs(
    compare: Callable[[Tensor, Tensor], Tensor],
    network: FaceNetwork,
    config: PreprocessingConfig,
    album: Album,
    pairs: PairSet,
) -> Tensor:
    """(P,) of what `compare` makes of the embeddings of two pictures; every picture is embedded once."""
    used, places = torch.cat([pairs.left, pairs.right]).unique(return_inverse=True)
    embeddings = embed_all(network, config, album.pixels[used])
    left, right = places.chunk(2)
    chunks = zip(left.split(BATCH), right.split(BATCH), strict=True)
    return torch.cat([compare(embeddings[a], embeddings[b]) for a, b in chunks])


def embed_all(network: FaceNetwork, config: PreprocessingConfig, pixels: Tensor) -> Tensor:
    """uint8 (N, H, W) or (N, H, W, 3), any number of them -> float32 (N, D)."""
    return torch.cat([embed_pictures(network, config, chunk) for chunk in pixels.split(BATCH)])


@torch.no_grad()
def embed_pictures(network: FaceNetwork, config: PreprocessingConfig, pixels: Tensor) -> Tensor:
    """Prepared pictures -> float32 (B, D), which the service's folded network equals to 1e-5. Sets evaluation mode."""
    network.eval().to(memory_format=torch.channels_last)
    device = next(network.parameters()).device
    images = normalise(to_unit(pixels.to(device)), config)
    return network.embed(images.contiguous(memory_format=torch.channels_last))
