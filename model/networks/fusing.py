"""Optimises a network for inference: the same function up to rounding, in fewer and cheaper steps."""

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

from model.networks.face_network import FaceNetwork
from model.networks.residual import PReLU, Tower


def fuse_for_inference(network: FaceNetwork, device: torch.device) -> FaceNetwork:
    """Optimises a network in evaluation mode in place, moves it to the device and returns it. Idempotent."""
    for module in list(network.modules()):
        if isinstance(module, nn.Sequential):
            _fuse_normalisation(module)
        if isinstance(module, Tower) and isinstance(module.normalisation, nn.BatchNorm1d):
            module.fully_connected = fuse_linear_bn_eval(module.fully_connected, module.normalisation)
            module.register_module("normalisation", nn.Identity())
        _replace_prelu(module)
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
