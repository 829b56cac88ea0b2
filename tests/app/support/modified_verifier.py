"""Verifiers whose network was changed after its checkpoint was loaded and verified."""

import threading
from collections.abc import Callable
from pathlib import Path
from unittest.mock import Mock

import numpy as np

from model.arrays import Embeddings, Pixels
from model.checkpoint import load
from model.cpu.embedder import CpuEmbedder
from model.verifier import Verifier

PATIENCE_S = 30


def modified_verifier(checkpoint_path: Path, change: Callable[[CpuEmbedder], object]) -> Verifier:
    """The checkpoint's verifier after `change` was made to its network."""
    verifier = Verifier.of(load(checkpoint_path), "cpu")
    change(cpu_embedder(verifier))
    return verifier


def cpu_embedder(verifier: Verifier) -> CpuEmbedder:
    """The verifier's network on the CPU."""
    assert isinstance(verifier.embedder, CpuEmbedder)
    return verifier.embedder


def spoil(embedder: CpuEmbedder) -> None:
    """Makes every similarity NaN."""
    embedder.compare_logits = lambda left, _: np.full(len(left), np.nan)


def drift(embedder: CpuEmbedder) -> None:
    """Makes every similarity a little wrong."""
    compare = embedder.compare_logits
    embedder.compare_logits = lambda left, right: compare(left, right) + 0.01


def explode(embedder: CpuEmbedder) -> None:
    """Makes every embedding raise what nobody expects."""
    embedder.embed = Mock(side_effect=RuntimeError("SECRET cause"))  # type: ignore[method-assign]


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

    def before(self, embedder: CpuEmbedder) -> None:
        """Puts the gate before the network."""
        embed = embedder.embed

        def stop(pixels: Pixels, threads: int | None = None) -> Embeddings:
            self.wait()
            return embed(pixels, threads)

        embedder.embed = stop  # type: ignore[method-assign]
