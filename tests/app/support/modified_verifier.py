"""Verifiers whose network was changed after its checkpoint was loaded and verified."""

import threading
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from model.checkpoint import load
from model.networks.embedder import TorchEmbedder
from model.networks.siamese import SiameseNetwork
from model.verifier import Verifier

PATIENCE_S = 30


def modified_verifier(checkpoint_path: Path, change: Callable[[SiameseNetwork], object]) -> Verifier:
    """The checkpoint's verifier after `change` was made to its network."""
    verifier = Verifier.of(load(checkpoint_path), "cpu")
    assert isinstance(verifier.embedder, TorchEmbedder)
    assert isinstance(verifier.embedder.network, SiameseNetwork)
    with torch.no_grad():
        change(verifier.embedder.network)
    return verifier


def spoil(network: SiameseNetwork) -> None:
    """Makes every similarity NaN."""
    network.comparison.bias.fill_(float("nan"))


def drift(network: SiameseNetwork) -> None:
    """Makes every similarity a little wrong."""
    network.comparison.bias.add_(0.01)


def explode(network: SiameseNetwork) -> None:
    """Makes every embedding raise what nobody expects."""

    def fail(*_: object) -> None:
        raise RuntimeError("SECRET cause")

    network.twin.register_forward_pre_hook(fail)


class Gate:
    """A place where the work stops until it is told to go on."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self.opened = threading.Event()
        self.in_time = False

    def wait(self) -> None:
        """Called by the work."""
        self.reached.set()
        self.in_time = self.opened.wait(PATIENCE_S)

    def before(self, network: SiameseNetwork) -> None:
        """Puts the gate before the network's first layer."""

        def stop(_: nn.Module, __: object) -> None:
            self.wait()

        network.twin.register_forward_pre_hook(stop)
