"""The head "fused" fitted to drawn scores and drawn people."""

from dataclasses import replace
from itertools import combinations
from math import log

import pytest
import torch
from torch import Tensor

from model.errors import TrainingError
from model.networks.embedder import normalise
from model.networks.heads import FusedHead, soft_minimum
from model.networks.residual import ResidualNetwork, initialise
from tests.training.support.small_people import SMALL_PEOPLE, album_of, data_of, draw_people
from training.data.album import owners
from training.data.datasets import PeopleData
from training.fitting import fit_head
from training.learning.experiments import LFW_ALIGNMENT
from training.people import fused_head
from training.people.changed_pictures import changed_groups
from training.people.fused_head import Pairs, fit_fused_head, fit_sums
from training.scoring import embed_all, raw_scores, score_pairs
from training.statistics.calibration import platt
from training.statistics.rates import Labels, Scores

CONFIG = SMALL_PEOPLE.network.model_copy(
    update={"thumbnail_cells": 8, "thumbnail_values": 4, "dimension": 20, "flip_average": False, "head": "fused"}
)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> PeopleData:
    folder = tmp_path_factory.mktemp("people")
    album = album_of(draw_people(folder), folder / "cache")
    # The drawn people are not aligned, but eyes are about where an aligned face has them.
    return data_of(replace(album, preprocessing=album.preprocessing.model_copy(update={"alignment": LFW_ALIGNMENT})))


def fitted(data: PeopleData, seed: int = 0) -> ResidualNetwork:
    network = ResidualNetwork(CONFIG).requires_grad_(False)
    initialise(network, torch.Generator().manual_seed(0))
    fit_head(network, data)
    fit_fused_head(network, data, torch.Generator().manual_seed(seed))
    return network


def normal(mean: tuple[float, float], seed: int) -> Tensor:
    return torch.randn(20_000, 2, generator=torch.Generator().manual_seed(seed)) + torch.tensor(mean)


GENUINE = Pairs(scores=normal((3, 1), 0), weight=1)
ORDINARY, ALIKE = Pairs(scores=normal((0, 0), 1), weight=0.6), Pairs(scores=normal((1, 4), 2), weight=0.4)


def passing(who: Pairs, weights: Tensor, biases: Tensor) -> float:
    return float((soft_minimum(who.scores.double() @ weights.T + biases) > 0).double().mean())


def test_the_sums_are_log_likelihood_ratios_against_each_kind_of_strangers() -> None:
    """Of Gaussians with the same covariance these are linear."""
    weights, biases = fit_sums([GENUINE], [ORDINARY, ALIKE])
    # log of N(x; 3, 1) / (0.6 N(x; 0, 0)), and likewise against (1, 4) with 0.4
    assert weights.flatten().tolist() == pytest.approx([3, 1, 2, -3], abs=0.25)
    assert biases.tolist() == pytest.approx([-4.49, 4.42], abs=0.35)


def test_strangers_who_are_alike_in_another_part_do_not_pass() -> None:
    blind = fit_sums([GENUINE], [ORDINARY])
    assert passing(ALIKE, *blind) > 0.6
    fitted_to_both = fit_sums([GENUINE], [ORDINARY, ALIKE])
    assert passing(ALIKE, *fitted_to_both) < 0.07  # the best that is possible has 6%
    assert passing(GENUINE, *fitted_to_both) > 0.85


def test_a_fitted_head_uses_all_parts(data: PeopleData) -> None:
    network = fitted(data)
    assert isinstance(network.head, FusedHead)
    assert network.head.weights.shape == (3, 2)
    assert float(network.head.weights.abs().min()) > 0
    assert torch.equal(network.head.weights, network.head.weights.half().float())
    similarities, same = score_pairs(network, data.album, data.validation)
    assert similarities[same].mean() > similarities[~same].mean() + 0.1


def test_the_same_seed_fits_the_same_head(data: PeopleData) -> None:
    first, again, other = (fitted(data, seed).state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(tensor, again[name]) for name, tensor in first.items())
    assert not torch.equal(first["head.weights"], other["head.weights"])


def test_without_other_strangers_the_first_sum_stands_three_times(
    data: PeopleData, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fused_head, "ROUNDS", 0)
    monkeypatch.setattr(fused_head, "ALIKE_SCORE", 1.1)
    head = fitted(data).head
    assert isinstance(head, FusedHead)
    assert float(head.weights[0].abs().min()) > 0
    assert torch.equal(head.weights, head.weights[:1].expand(3, -1))
    assert torch.equal(head.biases, head.biases[:1].expand(3))
    scores = torch.tensor([[0.3, 0.2]])
    alone = scores @ head.weights[0] + head.biases[0] - log(3)
    assert torch.allclose(soft_minimum(scores @ head.weights.T + head.biases), alone)


def test_another_head_stays_as_it_is(data: PeopleData) -> None:
    network = ResidualNetwork(SMALL_PEOPLE.network)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    fit_fused_head(network, data, torch.Generator().manual_seed(0))
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


def drawn(data: PeopleData) -> fused_head.Pictures:
    pictures, people = owners(data.held_out)
    return fused_head.Pictures(pictures=pictures, people=people)


def rows(scores: Tensor) -> list[list[float]]:
    return sorted([round(value, 4) for value in row] for row in scores.tolist())


def test_ordinary_and_alike_strangers_are_pairs_of_two_people(
    data: PeopleData, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fused_head, "ALIKE_SCORE", 0.2)
    network, held_out = fitted(data), drawn(data)
    assert isinstance(network.head, FusedHead)
    ordinary, alike = fused_head._unchanged_strangers(
        network, network.head, data, held_out, torch.Generator().manual_seed(3)
    )
    embeddings = embed_all(network, data.album, held_out.pictures)
    every = torch.cat(
        [
            network.head.part_scores(embeddings[[left]], embeddings[[right]])
            for left, right in combinations(range(len(embeddings)), 2)
            if held_out.people[left] != held_out.people[right]
        ]
    )
    assert rows(alike) == rows(every[every[:, -1] >= 0.2])
    assert 0 < len(alike) < len(every)
    assert {tuple(row) for row in rows(ordinary)} == {tuple(row) for row in rows(every)}


def test_changed_pairs_are_those_of_the_changed_pictures(data: PeopleData, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fused_head, "ROUNDS", 1)
    network, held_out = fitted(data), drawn(data)
    assert isinstance(network.head, FusedHead)
    genuine, strangers = fused_head._changed_pairs(
        network, network.head, data, held_out, torch.Generator().manual_seed(2)
    )
    expected: dict[bool, list[Tensor]] = {True: [], False: []}
    for images, places in changed_groups(
        data.album, held_out.pictures, torch.Generator().manual_seed(2), fused_head.GROUP
    ):
        embeddings = network.embed(normalise(images, data.album.preprocessing))
        for left, right in combinations(range(len(places)), 2):
            same = bool(held_out.people[places[left]] == held_out.people[places[right]])
            expected[same].append(network.head.part_scores(embeddings[[left]], embeddings[[right]])[0])
    assert torch.allclose(genuine, torch.stack(expected[True]), atol=1e-4)
    assert rows(strangers) == rows(torch.stack(expected[False]))
    monkeypatch.setattr(fused_head, "MOST_PAIRS", 5)
    _, few = fused_head._changed_pairs(network, network.head, data, held_out, torch.Generator().manual_seed(2))
    assert len(few) == 5


def test_each_kind_of_pair_is_fitted_with_its_weight(data: PeopleData, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[list[Pairs], list[Pairs]]] = []

    def watch(genuine: list[Pairs], strangers: list[Pairs]) -> tuple[Tensor, Tensor]:
        seen.append((genuine, strangers))
        return fit_sums(genuine, strangers)

    monkeypatch.setattr(fused_head, "fit_sums", watch)
    monkeypatch.setattr(fused_head, "ALIKE_SCORE", 0.2)
    fitted(data)
    [(genuine, strangers)] = seen
    assert [each.weight for each in genuine] == pytest.approx([0.94, 0.06])
    assert [each.weight for each in strangers] == pytest.approx([0.7, 0.25, 0.05])
    assert len(genuine[0].scores) == int(data.validation.same.sum())
    assert float(strangers[2].scores[:, -1].min()) >= 0.2
    assert float(strangers[0].scores[:, -1].min()) < 0.2


def test_after_the_fit_the_head_is_calibrated(data: PeopleData) -> None:
    head, raw = fitted(data).head, scoring_of(data)
    assert (float(head.scale), float(head.bias)) == pytest.approx(platt(*raw), abs=1e-4)


def scoring_of(data: PeopleData) -> tuple[Scores, Labels]:
    return raw_scores(fitted(data), data.album, data.validation)


def test_a_few_pairs_give_no_extreme_weights() -> None:
    """Four genuine pairs that a plane separates from all strangers."""
    few = Pairs(scores=normal((3, 1), 0)[:4] + 4, weight=1)
    weights, _ = fit_sums([few], [ORDINARY])
    assert float(weights.abs().max()) < 10


def test_a_part_that_is_always_the_same_gets_no_weight() -> None:
    still = [
        Pairs(scores=torch.cat([each.scores, torch.ones(20_000, 1)], 1), weight=each.weight)
        for each in (GENUINE, ORDINARY)
    ]
    weights, biases = fit_sums(still[:1], still[1:])
    assert weights[:, 2].tolist() == [0]
    assert torch.isfinite(weights).all()
    assert torch.isfinite(biases).all()


def test_scores_that_are_not_finite_are_refused(data: PeopleData) -> None:
    network = fitted(data)
    network.head.get_buffer("own").fill_(torch.nan)
    with pytest.raises(TrainingError, match="the scores of held-out pairs are not finite"):
        fit_fused_head(network, data, torch.Generator().manual_seed(0))


def test_a_group_is_changed_alike(data: PeopleData) -> None:
    """The same picture four times stays so, but for what is drawn for each pixel."""
    groups = list(changed_groups(data.album, torch.zeros(12, dtype=torch.int64), torch.Generator().manual_seed(0), 4))
    assert len(groups) > 1
    before = data.album.pixels[0].permute(2, 0, 1) / 255
    for images, places in groups:
        assert len(images) == len(places) <= 4
        assert ((images - before).abs().amax((1, 2, 3)) > 0.01).all()
        alike = [float((images[0] - other).abs().mean()) for other in images[1:]]
        assert max(alike, default=0) < float((images[0] - before).abs().mean())


def test_a_run_fits_the_head(data: PeopleData) -> None:
    run = replace(SMALL_PEOPLE, network=CONFIG, preprocessing=data.album.preprocessing, epochs=1)
    recipe = run.recipe(data, torch.device("cpu"))
    recipe.finish()
    assert isinstance(recipe.network, ResidualNetwork)
    assert isinstance(recipe.network.head, FusedHead)
    assert len({tuple(row) for row in recipe.network.head.weights.tolist()}) > 1
