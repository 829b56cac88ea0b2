"""Which networks there are, how a configuration becomes one, and how a checkpoint does.

Networks store kernels and matrices in half precision, vectors (biases, batch normalisation) in single.
"""

from pathlib import Path

import torch

from model import checkpoint
from model.arrays import Array, Tensors
from model.canary import canary_pair
from model.checkpoint import Checkpoint, Description, Header
from model.errors import CheckpointError
from model.networks.configurations import NetworkConfig, ResidualConfig
from model.networks.heads import similarity
from model.networks.inputs import embed_pixels
from model.networks.residual import ResidualNetwork
from model.networks.siamese import SiameseNetwork

FaceNetwork = SiameseNetwork | ResidualNetwork


def build(config: NetworkConfig | ResidualConfig) -> FaceNetwork:
    """A network as its configuration says, with weights that mean nothing yet."""
    if isinstance(config, ResidualConfig):
        return ResidualNetwork(config)
    return SiameseNetwork(config)


def restore(stored: Checkpoint) -> FaceNetwork:
    """The network of a checkpoint: float32, on the CPU, in evaluation mode, without gradients."""
    return _restore(stored.header.network, stored.tensors)


@torch.no_grad()
def round_to_storage(network: FaceNetwork) -> None:
    """Rounds the weights, in place, to what a checkpoint stores; measure after this, and save loses nothing more."""
    for tensor in network.state_dict().values():
        tensor.copy_(tensor.to(_storage_dtype(tensor)))


def save(path: Path, network: FaceNetwork, description: Description) -> Header:
    """Writes a network's checkpoint atomically and returns its header.

    Raises CheckpointError if it is not fit to serve: weights or the canary's similarity that are not finite, or a
    threshold that identical pictures do not reach.
    """
    tensors = {name: _stored(tensor) for name, tensor in network.state_dict().items()}
    checkpoint.require_finite(tensors)
    restored = _restore(description.network, tensors)
    _require_reachable(restored, description.threshold.value)
    embeddings = embed_pixels(restored, canary_pair(description.preprocessing.input_shape), description.preprocessing)
    score = float(similarity(restored.compare(*embeddings.chunk(2))))
    return checkpoint.save(path, tensors, description, canary_similarity=score)


def _restore(config: NetworkConfig | ResidualConfig, tensors: Tensors) -> FaceNetwork:
    with torch.device("meta"):
        network = build(config)
    network.load_state_dict({name: _single(array) for name, array in tensors.items()}, strict=True, assign=True)
    return network.eval().requires_grad_(False)


def _single(array: Array) -> torch.Tensor:
    """A copy, float32 unless it is a counter: the network's own, which training may change in place."""
    tensor = torch.from_numpy(array)
    return tensor.to(torch.float32 if tensor.is_floating_point() else tensor.dtype, copy=True)


def _stored(tensor: torch.Tensor) -> Array:
    array: Array = tensor.detach().cpu().to(_storage_dtype(tensor)).contiguous().numpy()
    return array


def _storage_dtype(tensor: torch.Tensor) -> torch.dtype:
    if not tensor.is_floating_point():
        return tensor.dtype
    return torch.float16 if tensor.ndim >= 2 else torch.float32


def _require_reachable(network: FaceNetwork, threshold: float) -> None:
    """A threshold above what identical pictures score, where that is known, would call them different."""
    logit = network.identical_logit()
    if logit is not None and threshold > (identical := float(similarity(logit))):
        raise CheckpointError(
            f"the threshold {threshold:.6f} lies above {identical:.6f}, the similarity of two identical pictures"
        )
