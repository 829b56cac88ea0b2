"""Fixtures for runs that take a second: drawn people at the smallest side, a network with few channels."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import settings

from model.imaging.preprocessing import PreprocessingConfig
from tests.training.support.small_pairs import SIDE_PX
from training.data.album import Album
from training.data.datasets import PairData, split
from training.data.lists import read_pairs, resolve
from training.data.preparation import open_album
from training.learning import history

settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")


@pytest.fixture(scope="package", autouse=True)
def _one_thread() -> Iterator[None]:
    """A second thread makes small networks slower."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module", autouse=True)
def _undrawn_curves() -> Iterator[None]:
    """An empty file instead of the learning curves, whose drawing takes nine tenths of the time of a small run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(history, "draw_curves", lambda path, *_: path.touch())
        yield


@pytest.fixture(scope="session")
def album(people: Path, tmp_path_factory: pytest.TempPathFactory) -> Album:
    """The drawn people, prepared."""
    return open_album(people / "people", tmp_path_factory.mktemp("cache"), PreprocessingConfig(side_px=SIDE_PX))


@pytest.fixture(scope="session")
def data(people: Path, album: Album) -> PairData:
    """Nine pairs to train on and three to validate on."""
    path = people / "train.txt"
    training, validation = split(resolve(path, read_pairs(path), album), 0.25, 0)
    return PairData(album=album, training=training, validation=validation)
