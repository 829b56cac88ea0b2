"""PyTorch's runtime, which serves on GPUs, gives what OpenVINO's gives; here both compute on the CPU."""

from pathlib import Path

import numpy as np
import pytest
import torch

from app.settings import SHIPPED
from model.arrays import Embeddings
from model.checkpoint import load
from model.cpu.embedder import CpuEmbedder
from model.networks.embedder import TorchEmbedder
from model.similarity import similarity
from model.verifier import Verifier
from tests.model.cpu.test_embedder import crops

WEIGHTS = sorted(SHIPPED.parent.glob("*.safetensors"))


def relative_error(wanted: Embeddings, found: Embeddings) -> float:
    """Relative to the largest value, at least 1: embeddings of Experiment 2 reach 6.6, and processors sum otherwise."""
    return float(np.abs(wanted - found).max() / max(1.0, np.abs(wanted).max()))


@pytest.mark.parametrize("path", WEIGHTS, ids=[path.stem for path in WEIGHTS])
def test_both_runtimes_give_the_same_results(path: Path) -> None:
    checkpoint = load(path)
    with_torch, served = TorchEmbedder(checkpoint, torch.device("cpu")), CpuEmbedder(checkpoint)
    Verifier(checkpoint.header, with_torch).check_canary()
    assert with_torch.device == served.device == "cpu"
    assert relative_error(with_torch.canary, served.canary) <= 1e-5
    pixels = crops(checkpoint, 5)
    embeddings, others = with_torch.embed(pixels), served.embed(pixels)
    assert relative_error(embeddings, others) <= 1e-5
    similarities, expected = (similarity(each.compare(others[:2], others[2:4])) for each in (with_torch, served))
    assert similarities.dtype == expected.dtype
    assert np.abs(similarities - expected).max() <= 1e-6
