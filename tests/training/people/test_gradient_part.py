"""Gradient histograms fitted to a few drawn people."""

from dataclasses import replace

import pytest
import torch

from model.errors import TrainingError
from model.imaging.preprocessing import PreprocessingConfig
from model.networks.residual import ResidualNetwork, initialise
from tests.training.support.small_people import SMALL_PEOPLE, album_of, data_of, draw_people
from training.data.album import owners
from training.data.datasets import PeopleData
from training.learning.experiments import LFW_ALIGNMENT
from training.people import gradient_part
from training.people.gradient_part import fit_gradients
from training.scoring import embed_all

VALUES = {"gradient_values": 8, "thumbnail_cells": 8, "thumbnail_values": 4}
CONFIG = SMALL_PEOPLE.network.model_copy(
    update={**VALUES, "dimension": 16 + 8 + 4, "flip_average": False, "head": "fused"}
)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> PeopleData:
    folder = tmp_path_factory.mktemp("people")
    album = album_of(draw_people(folder), folder / "cache")
    # The drawn people are not aligned, but eyes are about where an aligned face has them.
    aligned = album.preprocessing.model_copy(update={"alignment": LFW_ALIGNMENT})
    return data_of(replace(album, preprocessing=aligned))


def new_network() -> ResidualNetwork:
    network = ResidualNetwork(CONFIG).requires_grad_(False)
    initialise(network, torch.Generator().manual_seed(0))
    return network


def fitted(data: PeopleData, seed: int = 0) -> ResidualNetwork:
    network = new_network()
    fit_gradients(network, data, torch.Generator().manual_seed(seed))
    return network


@pytest.fixture(scope="module")
def network(data: PeopleData) -> ResidualNetwork:
    return fitted(data)


def test_components_are_centred_and_of_equal_deviation() -> None:
    draws = torch.Generator().manual_seed(0)
    rows = torch.randn(300, 40, generator=draws) * torch.linspace(0.5, 5, 40) + 3
    found = gradient_part._principal_components(rows, draws).of(rows)
    assert found.shape == (300, 40)
    assert float(found.mean(0).abs().max()) < 1e-4
    assert torch.allclose(found.T @ found / 300, torch.eye(40), atol=1e-3)


def test_what_a_shared_change_does_is_no_direction_of_people() -> None:
    """Two values tell people apart, and every change moves all pictures of its group along the second."""
    draws = torch.Generator().manual_seed(0)
    people = torch.arange(100).repeat_interleave(4)
    means = torch.randn(100, 2, generator=draws)[people]
    unchanged = means + 0.3 * torch.randn(400, 2, generator=draws)
    moves = torch.tensor([0.0, 8.0]) * torch.randn(20, 1, generator=draws)
    groups, places = torch.arange(20).repeat_interleave(20), torch.arange(400)
    changed = gradient_part.Changed(components=unchanged + moves[groups], places=places, groups=groups)
    without = gradient_part.Changed(components=unchanged, places=places, groups=groups)
    (first, second), (still, moved) = (
        gradient_part._directions(unchanged, people, [each], 2)[0].square().sum(1).sqrt() for each in (without, changed)
    )
    assert float(second / first) == pytest.approx(1, abs=0.2)
    assert float(moved / still) < 0.6


def test_pictures_of_a_training_person_have_similar_directions(network: ResidualNetwork, data: PeopleData) -> None:
    pictures, people = owners(data.training)
    found = embed_all(network, data.album, pictures)[:, 16:24] * 3**0.5
    same = (people[:, None] == people) & ~torch.eye(len(people), dtype=torch.bool)
    table = found @ found.T
    assert float(table[same].mean()) > float(table[people[:, None] != people].mean()) + 0.3


def test_the_same_seed_fits_the_same_gradients(network: ResidualNetwork, data: PeopleData) -> None:
    names = [name for name in network.state_dict() if name.startswith("gradients.")]
    again, other = (fitted(data, seed).state_dict() for seed in (0, 1))
    assert all(torch.equal(again[name], network.state_dict()[name]) for name in names)
    assert not all(torch.equal(other[name], network.state_dict()[name]) for name in names)


def test_without_gradients_nothing_is_fitted(data: PeopleData) -> None:
    network = ResidualNetwork(SMALL_PEOPLE.network)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    fit_gradients(network, data, torch.Generator().manual_seed(0))
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


def test_no_more_pictures_are_used_than_memory_holds(data: PeopleData, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gradient_part, "MOST_PICTURES", 9)
    network = fitted(data)
    assert network.gradients
    assert torch.isfinite(network.gradients.weight).all()
    assert float(network.gradients.weight.abs().max()) > 0


def test_the_head_needs_aligned_pictures() -> None:
    preprocessing = PreprocessingConfig(side_px=32, colour="rgb", crop=0.8, standardised=True)
    with pytest.raises(TrainingError, match="head fused needs aligned pictures; choose another"):
        replace(SMALL_PEOPLE, network=CONFIG, preprocessing=preprocessing)
