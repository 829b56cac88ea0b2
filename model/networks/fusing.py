"""Optimises a network for inference: the same function up to rounding, in fewer and cheaper steps."""

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

from model.networks.face_network import FaceNetwork
from model.networks.fourier import FourierConvolution
from model.networks.residual import PReLU, Tower

# From this kernel and this number of channels on, the transforms save more than they cost.
FOURIER_KERNEL_PX = 7
FOURIER_CHANNELS = 32


class PackedLinear(nn.Module):
    """Computes an `nn.Linear` by oneDNN, which takes half the time of PyTorch's BLAS for a few rows."""

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        self.weight, self.bias = layer.weight, layer.bias

    def forward(self, rows: Tensor) -> Tensor:
        """(B, features) float32 -> (B, outputs) float32."""
        product: Tensor = functional.linear(rows.to_mkldnn(), self.weight, self.bias).to_dense()
        return product


def fuse_for_inference(network: FaceNetwork, device: torch.device) -> FaceNetwork:
    """Optimises a network in evaluation mode in place, moves it to the device and returns it. Idempotent."""
    for module in list(network.modules()):
        if isinstance(module, nn.Sequential):
            _fuse_normalisation(module)
        if isinstance(module, Tower) and isinstance(module.normalisation, nn.BatchNorm1d):
            module.fully_connected = fuse_linear_bn_eval(module.fully_connected, module.normalisation)
            module.register_module("normalisation", nn.Identity())
        _replace_prelu(module)
    if device.type == "cpu":
        _optimise_for_cpu(network)
    return network.to(device).to(memory_format=torch.channels_last)


def _fuse_normalisation(layers: nn.Sequential) -> None:
    """Fuses batch normalisation, which scales and shifts each channel, into the convolution before it."""
    for index in range(len(layers) - 1):
        convolution, normalisation = layers[index], layers[index + 1]
        if isinstance(convolution, nn.Conv2d) and isinstance(normalisation, nn.BatchNorm2d):
            layers[index] = fuse_conv_bn_eval(convolution, normalisation)
            layers[index + 1] = nn.Identity()


def _replace_prelu(module: nn.Module) -> None:
    """Replaces `residual.PReLU`, which is faster in training, by PyTorch's, which is faster without gradients."""
    for name, child in module.named_children():
        if isinstance(child, PReLU):
            plain = nn.PReLU(child.num_parameters)
            plain.weight = child.weight
            setattr(module, name, plain)


def _optimise_for_cpu(network: FaceNetwork) -> None:
    for layers in [module for module in network.modules() if isinstance(module, nn.Sequential)]:
        for index, layer in enumerate(layers):
            if isinstance(layer, nn.Conv2d) and _is_large(layer):
                layers[index] = FourierConvolution(layer)
            # Pooling before ReLU gives the same result, and leaves ReLU a quarter of the values.
            if isinstance(layer, nn.MaxPool2d) and isinstance(layers[index - 1], nn.ReLU):
                layers[index - 1], layers[index] = layer, layers[index - 1]
    for name, layer in list(network.named_children()):
        if isinstance(layer, nn.Linear) and layer.out_features > 1 and torch.backends.mkldnn.is_available():
            network.register_module(name, PackedLinear(layer))


def _is_large(layer: nn.Conv2d) -> bool:
    return layer.kernel_size[0] >= FOURIER_KERNEL_PX and min(layer.in_channels, layer.out_channels) >= FOURIER_CHANNELS
