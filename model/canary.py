"""A drawn pair whose similarity a checkpoint records, so that whoever loads it can tell that it computes the same.

B batch, D embedding, H W pixels
"""

import numpy as np
import torch
from torch import Tensor

from model.arrays import Pixels
from model.imaging.preprocessing import PreprocessingConfig
from model.networks.architecture import FaceNetwork
from model.networks.inputs import normalise, to_unit
from model.similarity import similarity


def canary_pair(shape: tuple[int, int]) -> Pixels:
    """For so many channels (1 or 3) and such a side uint8 (2, H, W) or (2, H, W, 3).

    Soft waves, other ones in each colour, and the same with a bright square laid over a corner.
    """
    channels, side_px = shape
    y, x = np.mgrid[0:side_px, 0:side_px]
    waves = [((x * x + steepness * y * y) // side_px % 256).astype(np.uint8) for steepness in (3, 5, 7)[:channels]]
    plain = waves[0] if channels == 1 else np.stack(waves, axis=-1)
    marked = plain.copy()
    marked[: side_px // 4, : side_px // 4] = 230
    return np.stack([plain, marked])


@torch.inference_mode()
def canary_embeddings(network: FaceNetwork, config: PreprocessingConfig) -> Tensor:
    """(2, D) float32: those of the canary pair, on the device where the network is."""
    device = next(network.parameters()).device
    images = normalise(to_unit(torch.from_numpy(canary_pair(config.input_shape)).to(device)), config)
    embeddings: Tensor = network.embed(images)
    return embeddings


@torch.inference_mode()
def canary_similarity(network: FaceNetwork, embeddings: Tensor) -> float:
    """(2, D) embeddings of the canary pair -> its similarity."""
    left, right = embeddings.chunk(2)
    return float(similarity(network.compare(left, right)))
