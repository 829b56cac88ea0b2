"""A drawn pair whose similarity a checkpoint records, so that whoever loads it can tell that it computes the same.

B batch, H W pixels
"""

import numpy as np
import torch
from numpy.typing import NDArray

from model.architecture import FaceNetwork
from model.preprocessing import PreprocessingConfig, normalise, to_unit
from model.similarity import similarity


def canary_pair(side_px: int) -> NDArray[np.uint8]:
    """uint8 (2, H, W): soft waves, and the same with a bright square laid over a corner."""
    y, x = np.mgrid[0:side_px, 0:side_px]
    waves = ((x * x + 3 * y * y) // side_px % 256).astype(np.uint8)
    marked = waves.copy()
    marked[: side_px // 4, : side_px // 4] = 230
    return np.stack([waves, marked])


@torch.inference_mode()
def canary_similarity(network: FaceNetwork, config: PreprocessingConfig) -> float:
    """The similarity of the canary pair, on the device where the network is."""
    device = next(network.parameters()).device
    images = normalise(to_unit(torch.from_numpy(canary_pair(config.side_px)).to(device)), config)
    left, right = network.embed(images).chunk(2)
    return float(similarity(network.compare(left, right)))
