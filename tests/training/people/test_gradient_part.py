"""Gradient histograms fitted to a few drawn people."""

from dataclasses import replace

import pytest
import torch

from model.errors import TrainingError
from model.imaging.preprocessing import PreprocessingConfig
from model.networks.embedder import normalise, to_unit
from model.networks.gradients import Fitted, histograms
from model.networks.residual import ResidualNetwork, initialise, luma, standardise
from tests.training.support.small_people import SMALL_PEOPLE, album_of, data_of, draw_people
from training.data.album import owners
from training.data.datasets import PeopleData
from training.fitting import CLEAR, GRADIENTS, fit_head
from training.learning.experiments import LFW_ALIGNMENT
from training.people import gradient_part
from training.people.gradient_part import fit_gradients
from training.scoring import embed_all, raw_scores
from training.statistics.calibration import platt

VALUES = {"gradient_components": 12, "gradient_values": 8, "thumbnail_cells": 8, "thumbnail_values": 4}
CONFIG = SMALL_PEOPLE.network.model_copy(update={**VALUES, "dimension": 16 + 8 + 4, "flip_average": False})
TOWERS, DIRECTIONS = 16, 6


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


def grey(data: PeopleData, pictures: torch.Tensor) -> torch.Tensor:
    return standardise(luma(normalise(to_unit(data.album.pixels[pictures]), data.album.preprocessing)))


def test_components_are_centred_and_of_equal_deviation(network: ResidualNetwork, data: PeopleData) -> None:
    assert network.gradients
    pictures, _ = owners(data.training)
    found = network.gradients.components(histograms(grey(data, pictures)))
    assert found.shape == (len(pictures), 12)
    assert float(found.mean(0).abs().max()) < 1.5  # centred among changed pictures too
    assert 0.2 < float(found.std()) < 2


def test_most_training_pictures_are_clear(network: ResidualNetwork, data: PeopleData) -> None:
    pictures, _ = owners(data.training)
    clarity = embed_all(network, data.album, pictures)[:, TOWERS + DIRECTIONS] * 6**0.5
    assert float(clarity.min()) > 0
    assert 0.7 < float(clarity.median()) < 1


def test_the_clarity_is_that_of_a_logistic_regression() -> None:
    draws = torch.Generator().manual_seed(0)
    unchanged, changed = torch.randn(4000, 3, generator=draws), torch.randn(2000, 3, generator=draws)
    changed[:, 1] += 2  # two Gaussians, whose log likelihood ratio is 2 - 2 x
    layer = Fitted(3, 1)
    gradient_part._fit_clarity(layer, unchanged, [changed[:500], changed[500:]])
    assert layer.weight.flatten().tolist() == pytest.approx([0, -2, 0], abs=0.15)
    assert float(layer.bias) == pytest.approx(2 + gradient_part.SURER, abs=0.15)


def test_pictures_of_a_training_person_have_similar_directions(network: ResidualNetwork, data: PeopleData) -> None:
    pictures, people = owners(data.training)
    found = embed_all(network, data.album, pictures)[:, TOWERS : TOWERS + DIRECTIONS]
    found = found / found.norm(dim=1, keepdim=True)
    same = (people[:, None] == people) & ~torch.eye(len(people), dtype=torch.bool)
    table = found @ found.T
    assert float(table[same].mean()) > float(table[people[:, None] != people].mean()) + 0.3


def test_the_same_seed_fits_the_same_gradients(network: ResidualNetwork, data: PeopleData) -> None:
    names = [name for name in network.state_dict() if name.startswith("gradients.")]
    again, other = (fitted(data, seed).state_dict() for seed in (0, 1))
    assert all(torch.equal(again[name], network.state_dict()[name]) for name in names)
    assert not all(torch.equal(other[name], network.state_dict()[name]) for name in names)


def test_the_head_weighs_gradients_and_clarity(network: ResidualNetwork, data: PeopleData) -> None:
    fit_head(network, data)
    pictures, _ = owners(data.held_out)
    embeddings = embed_all(network, data.album, pictures) * 3**0.5
    directions, clarity = embeddings[:, TOWERS : TOWERS + DIRECTIONS] * 2**0.5, embeddings[:, TOWERS + 6] * 2**0.5
    expected = GRADIENTS * directions @ directions.T - CLEAR * torch.outer(clarity, clarity)
    whole, scale = network.logit_table(embeddings / 3**0.5, embeddings / 3**0.5), float(network.head.scale)
    cross = network.head.get_buffer("cross")
    kept = cross.clone()
    cross[TOWERS : TOWERS + 8] = 0
    without = network.logit_table(embeddings / 3**0.5, embeddings / 3**0.5)
    cross[TOWERS:] = 0
    before, _ = platt(*raw_scores(network, data.album, data.validation))
    cross.copy_(kept)
    assert torch.allclose(whole - without, scale / before * expected, atol=1e-3 * float(expected.abs().max()))


def test_without_gradients_nothing_is_fitted(data: PeopleData) -> None:
    network = ResidualNetwork(SMALL_PEOPLE.network)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    fit_gradients(network, data, torch.Generator().manual_seed(0))
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


def test_no_more_pictures_are_used_than_memory_holds(data: PeopleData, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gradient_part, "MOST_PICTURES", 9)
    network = fitted(data)
    assert network.gradients
    assert torch.isfinite(network.gradients.components.weight).all()
    assert float(network.gradients.projection.weight.abs().max()) > 0


def test_gradients_need_aligned_pictures() -> None:
    preprocessing = PreprocessingConfig(side_px=32, colour="rgb", crop=0.8, standardised=True)
    with pytest.raises(TrainingError, match="gradients need aligned pictures; leave them out"):
        replace(SMALL_PEOPLE, network=CONFIG, preprocessing=preprocessing)
