"""The recipe that learns from pairs: losses compared with slow loops, complete batches, the settings of a step."""

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from model.networks.embedder import normalise, to_unit
from model.networks.siamese import SiameseNetwork
from tests.training.support.small_pairs import CPU, NARROW, SMALL, run
from training.data.datasets import PairData
from training.learning.experiment import Batch
from training.learning.loop import run_epoch, take_step
from training.learning.state import RunState
from training.pairs import PairExperiment

SETTLED = replace(SMALL, augmentation=None)


def batches(experiment: PairExperiment, data: PairData, epoch: int) -> Iterator[Batch]:
    return experiment.recipe(data, CPU).batches(epoch)


def sigmoid(logit: float) -> float:
    return 1 / (1 + math.exp(-logit))


def loss(experiment: PairExperiment, data: PairData, logits: Tensor, same: Tensor) -> float:
    batch = Batch(images=torch.empty(0), labels=same, judged=len(same))
    return float(experiment.recipe(data, CPU).loss(logits, batch)[0])


def test_losses_equal_slow_loops(data: PairData) -> None:
    logits = torch.randn(17, generator=torch.Generator().manual_seed(0)) * 4
    same = (torch.arange(17) % 3 == 0).float()
    entropy = squares = 0.0
    for logit, label in zip(logits.tolist(), same.tolist(), strict=True):
        likelihood = sigmoid(logit) if label else 1 - sigmoid(logit)
        entropy -= math.log(likelihood) / 17
        squares += (sigmoid(logit) - label) ** 2 / 17
    assert loss(SMALL, data, logits, same) == pytest.approx(entropy, rel=1e-5)
    assert loss(replace(SMALL, loss="mse"), data, logits, same) == pytest.approx(squares, rel=1e-5)


def test_cross_entropy_is_finite_for_extreme_logits(data: PairData) -> None:
    assert loss(SMALL, data, torch.tensor([-500.0]), torch.tensor([1.0])) == pytest.approx(500)


def test_epoch_uses_every_pair_once(data: PairData) -> None:
    """Without augmentation each picture equals one in the album."""
    album = to_unit(data.album.pixels[:])
    wanted = sorted(zip(data.training.left.tolist(), data.training.right.tolist(), strict=True))
    orders = []
    for epoch in (1, 2):
        seen, sizes = [], []
        for batch in batches(SETTLED, data, epoch):
            same = batch.labels
            assert batch.images.shape == (2 * len(same), 1, 66, 66)
            assert (batch.judged, batch.weight) == (len(same), 1)
            found = [next(i for i, one in enumerate(album) if torch.equal(one, image)) for image in batch.images]
            pairs = list(zip(found[: len(same)], found[len(same) :], strict=True))
            people = [[data.album.keys[i][0] for i in pair] for pair in pairs]
            assert same.tolist() == [float(left == right) for left, right in people]
            seen += pairs
            sizes.append(len(same))
        assert sizes == [4, 4, 1]
        assert SETTLED.recipe(data, CPU).batches_in_epoch == 3
        assert sorted(seen) == wanted
        orders.append(seen)
    assert orders[0] != orders[1]


def test_augmentation_differs_between_epochs_and_is_repeatable(data: PairData) -> None:
    first, again, second = ([batch.images for batch in batches(SMALL, data, epoch)] for epoch in (1, 1, 2))
    assert all(torch.equal(left, right) for left, right in zip(first, again, strict=True))
    seen = torch.cat([*first, *second])
    assert len(seen.unique(dim=0)) == len(seen)
    assert 0 <= float(seen.min()) < 0.25
    assert 0.65 < float(seen.max()) <= 1


def test_step_returns_the_previous_loss_and_lowers_it(data: PairData) -> None:
    recipe = replace(SETTLED, learning_rate=1e-2).recipe(data, CPU)
    recipe.network.train()
    batch = next(recipe.batches(1))
    logits = recipe.network(*normalise(batch.images, SETTLED.preprocessing).chunk(2)).detach()
    before, right = take_step(SETTLED, recipe, batch, CPU)
    assert before == pytest.approx(loss(SETTLED, data, logits, batch.labels), rel=1e-5)
    assert right == sum(
        (logit >= 0) == (label == 1) for logit, label in zip(logits.tolist(), batch.labels.tolist(), strict=True)
    )
    later = [take_step(SETTLED, recipe, batch, CPU)[0] for _ in range(10)]
    assert later[-1] < before


def test_network_gets_normalised_channels_last_images(data: PairData) -> None:
    recipe = SETTLED.recipe(data, CPU)
    batch = next(recipe.batches(1))
    seen: list[Tensor] = []
    recipe.network.twin.register_forward_pre_hook(lambda _, images: seen.append(images[0]))
    take_step(SETTLED, recipe, batch, CPU)
    (images,) = seen
    assert images.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(images, normalise(batch.images, SETTLED.preprocessing))


def test_bfloat16_takes_nearly_the_same_step(data: PairData) -> None:
    """The twin rounds to 8 bits; the comparison, the loss and the weights do not."""
    batch = next(batches(SETTLED, data, 1))
    losses, gradients = [], []
    for precision in ("float32", "bfloat16"):
        recipe = SETTLED.recipe(data, CPU)
        losses.append(take_step(replace(SETTLED, precision=precision), recipe, batch, CPU)[0])
        gradients.append(torch.cat([p.grad.flatten() for p in recipe.network.parameters() if p.grad is not None]))
        assert {parameter.dtype for parameter in recipe.network.parameters()} == {torch.float32}
    assert losses[0] != losses[1] == pytest.approx(losses[0], rel=0.01)
    assert 0.95 < float(torch.cosine_similarity(gradients[0], gradients[1], dim=0)) < 0.999999


def test_step_changes_every_parameter(data: PairData) -> None:
    recipe = SETTLED.recipe(data, CPU)
    before = [parameter.detach().clone() for parameter in recipe.network.parameters()]
    recipe.network.train()
    for batch in recipe.batches(1):
        take_step(SETTLED, recipe, batch, CPU)
    for (name, parameter), old in zip(recipe.network.named_parameters(), before, strict=True):
        assert not torch.equal(parameter, old), name


def test_dropout_differs_between_epochs_and_is_repeatable(data: PairData) -> None:
    """After a sigmoid only dropped values are 0."""
    network = NARROW.model_copy(update={"dropout": 0.5, "embedding_activation": "sigmoid"})
    experiment = replace(SETTLED, network=network)
    recipe = experiment.recipe(data, CPU)
    seen: list[Tensor] = []
    recipe.network.dropout.register_forward_hook(lambda _, __, kept: seen.append(kept == 0))
    left_out = []
    for epoch in (1, 1, 2):
        seen.clear()
        run_epoch(experiment, recipe, epoch, CPU)
        left_out.append(torch.cat(seen))
    assert left_out[0].any()
    assert torch.equal(left_out[0], left_out[1])
    assert not torch.equal(left_out[0], left_out[2])


def test_weight_decay_is_part_of_the_gradient(data: PairData, tmp_path: Path) -> None:
    """After one step Adam's first moment is a tenth of gradient plus decay times weight; the weights stay in place."""
    plain = replace(SMALL, epochs=1, batch_pairs=9, learning_rate=1e-30)
    decayed = replace(plain, weight_decay=0.5)
    moments = []
    for name, experiment in (("plain", plain), ("decayed", decayed)):
        run(experiment, data, tmp_path / name)
        state = RunState.load(tmp_path / name / "state.safetensors", experiment.identity(data.sha256))
        moments.append({key: tensor for key, tensor in state.optimizer.items() if key.endswith("exp_avg")})
    names = [name for name, _ in SiameseNetwork(NARROW).named_parameters()]
    assert len(moments[0]) == len(names)
    for index, name in enumerate(names):
        difference = moments[1][f"{index}.exp_avg"] - moments[0][f"{index}.exp_avg"]
        torch.testing.assert_close(difference, 0.1 * 0.5 * state.weights[name], atol=1e-6, rtol=1e-4)


def test_description_counts_pairs_with_training_people(data: PairData) -> None:
    assert data.describe() == (
        "9 training and 3 validation pairs, 3 of which show a person who is in a training pair too"
    )
