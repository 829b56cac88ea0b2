"""The parts of an epoch: losses against slow loops, batches that miss no pair, the step's settings."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from model.networks.embedder import normalise, to_unit
from model.networks.siamese import SiameseNetwork
from tests.training.support.small_pairs import CPU, NARROW, SMALL, run
from training.data.pair_data import PairData, describe_pairs
from training.learning.state import load_state
from training.pairs.pair_epoch import batch_loss, batches, new_learner, run_epoch, step

SETTLED = replace(SMALL, augmentation=None)


def sigmoid(logit: float) -> float:
    return 1 / (1 + math.exp(-logit))


def test_the_losses_equal_slow_loops() -> None:
    logits = torch.randn(17, generator=torch.Generator().manual_seed(0)) * 4
    same = (torch.arange(17) % 3 == 0).float()
    entropy = squares = 0.0
    for logit, label in zip(logits.tolist(), same.tolist(), strict=True):
        likelihood = sigmoid(logit) if label else 1 - sigmoid(logit)
        entropy -= math.log(likelihood) / 17
        squares += (sigmoid(logit) - label) ** 2 / 17
    assert float(batch_loss(SMALL, logits, same)) == pytest.approx(entropy, rel=1e-5)
    assert float(batch_loss(replace(SMALL, loss="mse"), logits, same)) == pytest.approx(squares, rel=1e-5)


def test_cross_entropy_stays_finite_for_sure_mistakes() -> None:
    assert float(batch_loss(SMALL, torch.tensor([-500.0]), torch.tensor([1.0]))) == pytest.approx(500)


def test_every_pair_is_trained_on_once_an_epoch_and_the_last_batch_is_smaller(data: PairData) -> None:
    """Without augmentation each picture is found again among the album's."""
    album = normalise(to_unit(data.album.pixels), SETTLED.preprocessing)
    wanted = sorted(zip(data.training.left.tolist(), data.training.right.tolist(), strict=True))
    orders = []
    for epoch in (1, 2):
        seen, sizes = [], []
        for images, same, weight in batches(SETTLED, data, epoch, CPU):
            assert images.shape == (2 * len(same), 1, 66, 66)
            assert images.is_contiguous(memory_format=torch.channels_last)
            assert weight == 1
            found = [next(i for i, one in enumerate(album) if torch.equal(one, image)) for image in images]
            pairs = list(zip(found[: len(same)], found[len(same) :], strict=True))
            people = [[data.album.keys[i][0] for i in pair] for pair in pairs]
            assert same.tolist() == [float(left == right) for left, right in people]
            seen += pairs
            sizes.append(len(same))
        assert sizes == [4, 4, 1]
        assert sorted(seen) == wanted
        orders.append(seen)
    assert orders[0] != orders[1]


def test_batches_are_augmented_anew_each_epoch_and_alike_each_time(data: PairData) -> None:
    first, again, second = ([images for images, *_ in batches(SMALL, data, epoch, CPU)] for epoch in (1, 1, 2))
    assert all(torch.equal(left, right) for left, right in zip(first, again, strict=True))
    seen = torch.cat([*first, *second])
    assert len(seen.unique(dim=0)) == len(seen)
    assert -1 <= float(seen.min()) < -0.5
    assert 0.3 < float(seen.max()) <= 1


def test_a_step_reports_the_loss_before_it_and_lowers_it(data: PairData) -> None:
    learner = new_learner(replace(SETTLED, learning_rate=1e-2), CPU)
    learner.network.train()
    images, same, _ = next(batches(SETTLED, data, 1, CPU))
    logits = learner.network(*images.chunk(2)).detach()
    loss, right = step(SETTLED, learner, images, same)
    assert loss == pytest.approx(float(batch_loss(SETTLED, logits, same)), rel=1e-5)
    assert right == sum(
        (logit >= 0) == (label == 1) for logit, label in zip(logits.tolist(), same.tolist(), strict=True)
    )
    later = [step(SETTLED, learner, images, same)[0] for _ in range(10)]
    assert later[-1] < loss


def test_half_precision_takes_nearly_the_same_step(data: PairData) -> None:
    """The twin rounds to 8 bits; the comparison, the loss and the weights do not."""
    images, same, _ = next(batches(SETTLED, data, 1, CPU))
    losses, gradients = [], []
    for precision in ("float32", "bfloat16"):
        learner = new_learner(SETTLED, CPU)
        losses.append(step(replace(SETTLED, precision=precision), learner, images, same)[0])
        gradients.append(torch.cat([p.grad.flatten() for p in learner.network.parameters() if p.grad is not None]))
        assert {parameter.dtype for parameter in learner.network.parameters()} == {torch.float32}
    assert losses[0] != losses[1] == pytest.approx(losses[0], rel=0.01)
    assert 0.95 < float(torch.cosine_similarity(gradients[0], gradients[1], dim=0)) < 0.999999


def test_every_parameter_moves(data: PairData) -> None:
    learner = new_learner(SETTLED, CPU)
    before = [parameter.detach().clone() for parameter in learner.network.parameters()]
    learner.network.train()
    for images, same, _ in batches(SETTLED, data, 1, CPU):
        step(SETTLED, learner, images, same)
    for (name, parameter), old in zip(learner.network.named_parameters(), before, strict=True):
        assert not torch.equal(parameter, old), name


def test_dropout_leaves_out_others_each_epoch_and_the_same_each_time(data: PairData) -> None:
    """After a sigmoid only what was left out is 0."""
    network = NARROW.model_copy(update={"dropout": 0.5, "embedding_activation": "sigmoid"})
    experiment = replace(SETTLED, network=network)
    learner = new_learner(experiment, CPU)
    seen: list[Tensor] = []
    learner.network.dropout.register_forward_hook(lambda _, __, kept: seen.append(kept == 0))
    left_out = []
    for epoch in (1, 1, 2):
        seen.clear()
        run_epoch(experiment, data, learner, epoch)
        left_out.append(torch.cat(seen))
    assert left_out[0].any()
    assert torch.equal(left_out[0], left_out[1])
    assert not torch.equal(left_out[0], left_out[2])


def test_weight_decay_enters_the_gradient(data: PairData, tmp_path: Path) -> None:
    """After one step Adam's first moment is a tenth of gradient plus decay times weight; the weights stay in place."""
    plain = replace(SMALL, epochs=1, batch_pairs=9, learning_rate=1e-30)
    decayed = replace(plain, weight_decay=0.5)
    moments = []
    for name, experiment in (("plain", plain), ("decayed", decayed)):
        run(experiment, data, tmp_path / name)
        state = load_state(tmp_path / name / "state.safetensors", experiment, data.sha256)
        moments.append({key: tensor for key, tensor in state.optimizer.items() if key.endswith("exp_avg")})
    names = [name for name, _ in SiameseNetwork(NARROW).named_parameters()]
    assert len(moments[0]) == len(names)
    for index, name in enumerate(names):
        difference = moments[1][f"{index}.exp_avg"] - moments[0][f"{index}.exp_avg"]
        torch.testing.assert_close(difference, 0.1 * 0.5 * state.weights[name], atol=1e-6, rtol=1e-4)


def test_the_description_counts_pairs_that_are_not_of_unseen_people(data: PairData) -> None:
    assert describe_pairs(data) == (
        "9 training and 3 validation pairs, 3 of which show a person who is in a training pair too"
    )
