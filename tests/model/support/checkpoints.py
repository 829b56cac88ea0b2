"""Networks that tests may change, and edited checkpoint files."""

import copy
import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from model.checkpoint import METADATA_KEY, Checkpoint, load
from model.errors import CheckpointError
from model.networks.configurations import NetworkConfig
from model.networks.siamese import SiameseNetwork
from tests.conftest import TINY, tiny_network

_built = functools.cache(tiny_network)


def tiny(config: NetworkConfig = TINY, seed: int = 0) -> SiameseNetwork:
    """A new copy of a tiny network, which is faster than building one."""
    return copy.deepcopy(_built(seed, config))


def read_header(path: Path) -> dict[str, Any]:
    with safe_open(path, framework="pt") as file:
        header: dict[str, Any] = json.loads(file.metadata()[METADATA_KEY])
    return header


def edited(
    path: Path,
    folder: Path,
    header: Callable[[dict[str, Any]], object] = lambda _: None,
    tensors: Callable[[dict[str, Tensor]], object] = lambda _: None,
) -> Path:
    """A copy of a checkpoint with its old digests, after the functions changed its header and its tensors."""
    contents, weights = read_header(path), load_file(path)
    header(contents)
    tensors(weights)
    path = folder / "edited.safetensors"
    save_file(weights, path, metadata={METADATA_KEY: json.dumps(contents)})
    return path


def refused(path: Path, *reasons: str) -> None:
    """Asserts that loading fails with a one-line message that has the file's name and the reasons."""
    with pytest.raises(CheckpointError) as caught:
        load(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert message.isprintable()
    assert all(reason in message for reason in reasons), message


def same(a: Checkpoint, b: Checkpoint) -> bool:
    """Whether all values of two checkpoints are equal."""
    names = a.tensors.keys() == b.tensors.keys()
    return a.header == b.header and names and all((a.tensors[name] == b.tensors[name]).all() for name in a.tensors)
