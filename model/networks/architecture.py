"""Builds networks from configurations and checkpoints, and converts their tensors to what a checkpoint stores.

Checkpoints store kernels and matrices in half precision, vectors (biases, batch normalisation) in single precision.
"""

import torch

from model.arrays import Array, Tensors
from model.checkpoint import Checkpoint
from model.networks.configurations import AnyNetworkConfig, OnnxConfig, ResidualConfig
from model.networks.face_network import FaceNetwork
from model.networks.onnx_network import OnnxNetwork
from model.networks.residual import ResidualNetwork
from model.networks.siamese import SiameseNetwork


def build(config: AnyNetworkConfig) -> FaceNetwork:
    """A network of this configuration, with PyTorch's initial weights."""
    if isinstance(config, ResidualConfig):
        return ResidualNetwork(config)
    if isinstance(config, OnnxConfig):
        return OnnxNetwork(config)
    return SiameseNetwork(config)


def restore(stored: Checkpoint) -> FaceNetwork:
    """A checkpoint's network: float32, on the CPU, in evaluation mode, without gradients."""
    return restore_tensors(stored.header.network, stored.tensors)


@torch.no_grad()
def round_to_storage(network: FaceNetwork) -> None:
    """Rounds the weights in place to a checkpoint's precision, so that measurements hold for the saved network too."""
    for tensor in network.state_dict().values():
        tensor.copy_(tensor.to(_storage_dtype(tensor)))


def restore_tensors(config: AnyNetworkConfig, tensors: Tensors) -> FaceNetwork:
    """As `restore`, from a configuration and tensors as a checkpoint stores them."""
    with torch.device("meta"):
        network = build(config)
    network.load_state_dict({name: _single(array) for name, array in tensors.items()}, strict=True, assign=True)
    return network.eval().requires_grad_(False)


def _single(array: Array) -> torch.Tensor:
    """A copy, float32 unless it is a counter. Training may change it in place without changing the checkpoint."""
    tensor = torch.from_numpy(array)
    return tensor.to(torch.float32 if tensor.is_floating_point() else tensor.dtype, copy=True)


def _stored(tensor: torch.Tensor) -> Array:
    array: Array = tensor.detach().cpu().to(_storage_dtype(tensor)).contiguous().numpy()
    return array


def _storage_dtype(tensor: torch.Tensor) -> torch.dtype:
    if not tensor.is_floating_point():
        return tensor.dtype
    return torch.float16 if tensor.ndim >= 2 else torch.float32


def stored_tensors(network: FaceNetwork) -> dict[str, Array]:
    """A network's tensors as a checkpoint stores them."""
    return {name: _stored(tensor) for name, tensor in network.state_dict().items()}
