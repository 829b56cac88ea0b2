"""A small run that learns from people: batches, steps, the weights it keeps, resuming, and the checkpoint."""

import json
import math
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from safetensors.torch import load_file

from model.checkpoint import Header, load
from model.errors import TrainingError
from model.networks.architecture import restore
from model.networks.embedder import normalise, to_unit
from model.networks.heads import JointBayesianHead, similarity
from model.networks.residual import ResidualNetwork, initialise
from tests.training.support.small_pairs import CPU
from tests.training.support.small_people import PICTURES, SMALL_PEOPLE, album_of, data_of, draw_people
from training import fitting
from training.data.album import owners
from training.data.datasets import PeopleData, impostor_pairs
from training.data.lists import read_pairs, resolve
from training.fitting import ALIKE, fit_head, fit_joint_bayesian, held_out_rates, scatter
from training.learning import loop
from training.learning.experiments import EXPERIMENTS
from training.learning.history import Epoch, read_metrics
from training.learning.loop import Trained, run_epoch, take_step, train
from training.people.losses import large_margin_cosine, supervised_contrastive
from training.people.people_augmentation import BatchAugmentation
from training.people.people_recipe import PeopleExperiment
from training.runs.finish import finish
from training.scoring import embed_all, raw_scores, score_pairs
from training.statistics import operating_points, similar_people
from training.statistics.calibration import platt
from training.statistics.rates import cross_entropy

STILL = replace(
    SMALL_PEOPLE,
    virtual=0,
    augmentation=BatchAugmentation(
        flip_probability=0, rotation_deg=0, scale=0, shift=0, shear=0, gamma=0, contrast=0, erase_probability=0,
        blur_probability=0,
    ),
)  # fmt: skip


@pytest.fixture(autouse=True)
def _few_people_suffice(monkeypatch: pytest.MonkeyPatch) -> None:
    """For operating points, of which the drawn people support none."""
    monkeypatch.setattr(operating_points, "EXPECTED", 0)
    monkeypatch.setattr(operating_points, "WITHIN", math.inf)


def test_rates_that_too_few_people_support_have_no_operating_point(
    data: PeopleData, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = ResidualNetwork(SMALL_PEOPLE.network)
    initialise(network, torch.Generator().manual_seed(0))
    network.requires_grad_(False).eval()
    points, curve = held_out_rates(network, data)
    assert [point.name for point in points] == ["fmr_1e-1"]
    monkeypatch.setattr(operating_points, "EXPECTED", 10)
    assert held_out_rates(network, data) == ((), curve)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_people(tmp_path_factory.mktemp("drawn"))


@pytest.fixture(scope="module")
def data(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> PeopleData:
    return data_of(album_of(folder, tmp_path_factory.mktemp("cache")))


@pytest.fixture(scope="module")
def whole(data: PeopleData, tmp_path_factory: pytest.TempPathFactory) -> tuple[Trained, Path]:
    """The small experiment, run to its end."""
    place = tmp_path_factory.mktemp("whole")
    return train(SMALL_PEOPLE, data, place, CPU), place


def untimed(history: list[Epoch]) -> list[Epoch]:
    return [replace(row, seconds=0, images_per_s=0) for row in history]


def test_labels_match_the_people_of_a_batch(data: PeopleData) -> None:
    """Without augmentation each picture equals one in the album, whose person must match the label."""
    album = to_unit(data.album.pixels[:])
    names = [sorted(n for n in data.training if len(data.training[n]) > 1)[i] for i in range(len(data.several))]
    recipe = STILL.recipe(data, CPU)
    batches = list(recipe.batches(1))
    assert len(batches) == recipe.batches_in_epoch == round(data.pictures / 8)
    for batch in batches:
        assert len(batch.images) == len(batch.labels) == batch.judged + 2 * min(2, len(data.single))
        for number, (image, label) in enumerate(zip(batch.images, batch.labels.tolist(), strict=True)):
            distances = (album - image).abs().amax((1, 2, 3))
            name = data.album.keys[int(distances.argmin())][0]
            assert float(distances.min()) < 1e-3
            if number < batch.judged:
                assert name == names[label]
            else:
                assert label >= len(names)
                assert len(data.training[name]) == 1


def test_virtual_people_and_singles_have_own_labels(data: PeopleData) -> None:
    for batch in SMALL_PEOPLE.recipe(data, CPU).batches(1):
        virtual = len(batch.labels) - batch.judged - 2 * min(2, len(data.single))
        assert virtual == 2 * min(2, len(batch.labels[: batch.judged].unique()) // 2)
        others = batch.labels[batch.judged :]
        assert int(others.min()) >= len(data.several)
        assert all(int((others == label).sum()) == 2 for label in others.unique())


def test_batches_differ_between_epochs_and_are_repeatable(data: PeopleData) -> None:
    recipe = SMALL_PEOPLE.recipe(data, CPU)
    first, again, second = ([batch.images for batch in recipe.batches(epoch)] for epoch in (1, 1, 2))
    assert all(torch.equal(left, right) for left, right in zip(first, again, strict=True))
    assert not torch.equal(first[0], second[0])


def test_steps_lower_the_loss_and_change_every_parameter(data: PeopleData) -> None:
    recipe = STILL.recipe(data, CPU)
    before = {name: tensor.detach().clone() for name, tensor in recipe.state.named_parameters()}
    recipe.state.train()
    batch = next(recipe.batches(1))
    losses = [take_step(STILL, recipe, batch, CPU)[0] for _ in range(15)]
    assert losses[-1] < losses[0]
    for name, tensor in recipe.state.named_parameters():
        assert torch.equal(tensor, before[name]) == name.startswith("average."), name


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_loss_of_a_step_uses_the_settings_of_the_experiment(
    data: PeopleData, precision: Literal["float32", "bfloat16"]
) -> None:
    unusual = replace(
        STILL, temperature=0.3, classifier_scale=7.0, classifier_margin=0.4, classifier_weight=0.25, precision=precision
    )
    recipe = unusual.recipe(data, CPU)
    recipe.state.train()
    batch = next(recipe.batches(1))
    known = batch.labels[: batch.judged]
    parts = recipe.state.network.embed(normalise(batch.images, unusual.preprocessing)).chunk(2, dim=1)
    losses = []
    for part, classifier in zip(parts, recipe.state.classifiers, strict=True):
        view = part / part.norm(dim=1, keepdim=True)
        margin = large_margin_cosine(classifier(view[: batch.judged]), known, 7.0, 0.4)
        losses.append(supervised_contrastive(view, batch.labels, 0.3) + 0.25 * margin)
    expected = float(torch.stack(losses).mean().detach())
    found = take_step(unusual, recipe, batch, CPU)[0]
    assert found == pytest.approx(expected, rel=1e-5 if precision == "float32" else 0.05)
    assert (abs(found / expected - 1) < 1e-5) == (precision == "float32")


def test_epoch_uses_rate_and_decay_and_validates_the_average(data: PeopleData) -> None:
    recipe = SMALL_PEOPLE.recipe(data, CPU)
    row = run_epoch(SMALL_PEOPLE, recipe, 1, CPU)
    count = recipe.batches_in_epoch
    for group in recipe.optimizer.param_groups:
        assert group["lr"] == SMALL_PEOPLE.learning_rate_at(count - 1, count)
        assert group["weight_decay"] == SMALL_PEOPLE.weight_decay
    losses = []
    for network in (recipe.state.average, recipe.state.network):
        raw, same = raw_scores(network, data.album, data.validation)
        scale, bias = platt(raw, same)
        losses.append(cross_entropy(torch.sigmoid(scale * torch.from_numpy(raw) + bias).numpy(), same))
    assert row.validation_loss == pytest.approx(losses[0], rel=1e-6)
    assert row.validation_loss != pytest.approx(losses[1], rel=1e-5)


def test_other_seed_draws_other_batches(data: PeopleData) -> None:
    moved = replace(STILL, augmentation=SMALL_PEOPLE.augmentation)
    first, again, other = (next(replace(moved, seed=seed).recipe(data, CPU).batches(1)).images for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_head_is_fitted_on_training_people(whole: tuple[Trained, Path], data: PeopleData) -> None:
    network = whole[0].network
    assert isinstance(network, ResidualNetwork)
    network = deepcopy(network)
    fit_head(network, data)
    heads = []
    for people_ in (data.training, data.held_out):
        pictures, people = owners(people_)
        head = JointBayesianHead(SMALL_PEOPLE.network.dimension)
        fit_joint_bayesian(head, scatter(embed_all(network, data.album, pictures), people))
        heads.append(head)
    off = [float((network.head.mean - head.mean).abs().max()) for head in heads]  # type: ignore[operator]
    assert off[0] < 1e-3 < off[1]


def test_a_thumbnail_is_fitted_and_counts_against_pictures_that_are_alike(
    whole: tuple[Trained, Path], data: PeopleData
) -> None:
    values = {"thumbnail_cells": 8, "thumbnail_values": 4, "dimension": 20}
    network = ResidualNetwork(SMALL_PEOPLE.network.model_copy(update=values))
    towers = {name: value for name, value in whole[0].network.state_dict().items() if name.startswith("towers.")}
    network.load_state_dict(towers, strict=False)
    fit_head(network, data)
    thumbnail = network.thumbnail
    assert thumbnail

    first = torch.stack([each[0] for each in data.training.values()])
    cells = thumbnail.cells(normalise(to_unit(data.album.pixels[first]), data.album.preprocessing))
    assert torch.allclose(thumbnail.mean, cells.mean(0), atol=1e-3)  # stored in half precision
    seen = (cells - cells.mean(0)) @ thumbnail.projection.T
    products = seen.T @ seen
    off = products - products.diag().diag()
    assert float(off.abs().max()) < 0.01 * float(products.diag().max())  # principal components, the largest first
    assert (products.diag().diff() < 0).all()

    pictures, _ = owners(data.held_out)
    embeddings = embed_all(network, data.album, pictures)
    alike = 2 * embeddings[:, 16:] @ embeddings[:, 16:].T
    logits, scale = network.logit_table(embeddings, embeddings), float(network.head.scale)
    network.head.get_buffer("cross")[16:] = 0
    before, _ = platt(*raw_scores(network, data.album, data.validation))
    fall = network.logit_table(embeddings, embeddings) - logits
    assert torch.allclose(fall, ALIKE * scale / before * alike, atol=1e-4)


def test_metrics_have_a_row_per_epoch(whole: tuple[Trained, Path]) -> None:
    trained, place = whole
    assert [row.epoch for row in trained.history] == [1, 2, 3]
    assert read_metrics(place / "metrics.jsonl") == trained.history
    for row in trained.history:
        assert 0 <= row.train_accuracy <= 1
        assert row.validation_loss == row.validation_bce
        assert row.validation_best_accuracy is not None
        assert row.validation_best_accuracy >= row.validation_accuracy
        assert row.validation_area is not None
        assert 0 <= row.validation_area <= 1
    count = trained.recipe.batches_in_epoch
    assert trained.history[0].learning_rate == SMALL_PEOPLE.learning_rate_at(count - 1, count)


def test_averaged_weights_are_kept(whole: tuple[Trained, Path]) -> None:
    trained, place = whole
    state = load_file(place / "state.safetensors")
    assert {name.split(".")[0] for name in state if name.startswith("weights/")} == {
        "weights/network", "weights/average", "weights/classifiers",
    }  # fmt: skip
    for name, tensor in trained.network.state_dict().items():
        assert torch.equal(tensor, state[f"weights/average.{name}"]), name
    kernel = "towers.0.fully_connected.weight"
    assert not torch.equal(state[f"weights/average.{kernel}"], state[f"weights/network.{kernel}"])


@pytest.mark.parametrize("after", [1, 3, 5])
def test_resumed_run_equals_an_uninterrupted_run(
    whole: tuple[Trained, Path], data: PeopleData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    """Raises KeyboardInterrupt in the middle of an epoch, after a number of the run's steps."""
    taken = 0

    def stopping(*arguments: Any) -> tuple[float, int]:
        nonlocal taken
        taken += 1
        if taken > after:
            raise KeyboardInterrupt
        return take_step(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr(loop, "take_step", stopping)
        with pytest.raises(KeyboardInterrupt):
            train(SMALL_PEOPLE, data, tmp_path, CPU)
    resumed = train(SMALL_PEOPLE, data, tmp_path, CPU, resume=True)
    assert untimed(resumed.history) == untimed(whole[0].history)
    first, second = (load_file(place / "state.safetensors") for place in (whole[1], tmp_path))
    assert first.keys() == second.keys()
    assert {name.partition("/")[0] for name in first} == {"weights", "optimizer"}
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_state_of_another_run_is_refused(whole: tuple[Trained, Path], data: PeopleData) -> None:
    with pytest.raises(TrainingError, match=r"\(temperature differ\)"):
        train(replace(SMALL_PEOPLE, temperature=0.2), data, whole[1], CPU, resume=True)


def test_training_with_one_person_is_refused(data: PeopleData) -> None:
    alone = replace(data, training=dict(list(data.training.items())[:1]))
    with pytest.raises(TrainingError, match="training needs at least 2 people with several pictures; there are 1"):
        SMALL_PEOPLE.recipe(alone, CPU)


def test_infinite_loss_stops_the_run(data: PeopleData, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="the loss became"):
        train(replace(SMALL_PEOPLE, classifier_weight=1e39), data, tmp_path, CPU)


@pytest.mark.parametrize("head", ["cosine", "joint-bayesian"])
def test_checkpoint_reproduces_the_measured_scores(folder: Path, data: PeopleData, tmp_path: Path, head: str) -> None:
    network = SMALL_PEOPLE.network.model_copy(update={"head": head})
    run = replace(SMALL_PEOPLE, network=network, epochs=1)
    test = resolve(folder / "test.txt", read_pairs(folder / "test.txt"), data.album)
    header = finish(run, train(run, data, tmp_path, CPU), data, test, tmp_path, "code")
    checkpoint = load(tmp_path / "small-people.safetensors")
    assert checkpoint.header == header
    assert float(checkpoint.tensors["head.scale"].item()) != 1
    scores, same = score_pairs(restore(checkpoint), data.album, test)
    accuracy = next(m for m in header.metrics if (m.name, m.split) == ("accuracy at threshold", "test"))
    assert (header.threshold.value, header.threshold.method) == (0.5, "even odds")
    assert accuracy.value == ((scores >= 0.5) == same).mean()
    assert {m.split for m in header.metrics if m.name == "calibration error"} == {"validation", "test"}
    assert header.provenance.validation_pairs_sharing_people == 0
    card = (tmp_path / "small-people.md").read_text()
    for point in header.operating_points:
        assert f"| {point.name} | {point.threshold:.6f} |" in card
    assert Header.model_validate_json((tmp_path / "result.json").read_text()) == header


def test_operating_points_use_all_pairs_of_held_out_people(data: PeopleData, tmp_path: Path) -> None:
    run = replace(SMALL_PEOPLE, epochs=1)
    trained = train(run, data, tmp_path, CPU)
    header = finish(run, trained, data, None, tmp_path, "code")
    left, right = impostor_pairs(data.held_out)
    (point,) = header.operating_points
    assert (point.name, point.pairs, point.people) == ("fmr_1e-1", len(left), len(data.held_out))
    assert isinstance(trained.network, ResidualNetwork)
    pixels = normalise(to_unit(data.album.pixels[:]), run.preprocessing)
    accepted = 0
    for a, b in zip(left.tolist(), right.tolist(), strict=True):
        embeddings = trained.network.embed(pixels[[a, b]])
        accepted += float(similarity(trained.network.compare(embeddings[:1], embeddings[1:]))) >= point.threshold
    assert accepted / len(left) == pytest.approx(point.fmr, abs=1.5 / len(left))
    assert point.fmr_of_similar is None  # of four held-out people


def test_operating_points_have_the_rate_over_most_similar_strangers(
    data: PeopleData, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `similar_strangers` gives it for a table of single comparisons."""
    monkeypatch.setattr(similar_people, "MIN_PEOPLE", 2)
    network = ResidualNetwork(SMALL_PEOPLE.network)
    initialise(network, torch.Generator().manual_seed(0))
    network.requires_grad_(False).eval()
    (point,), _ = held_out_rates(network, data)
    pictures, owner = owners(data.held_out)
    embeddings = network.embed(normalise(to_unit(data.album.pixels[pictures]), SMALL_PEOPLE.preprocessing))
    logits = torch.stack([network.compare(each.expand_as(embeddings), embeddings) for each in embeddings])
    found = similar_people.similar_strangers(logits.numpy(), owner.numpy(), [point.threshold])
    assert found
    assert point.fmr_of_similar == pytest.approx(found[0].value)
    assert point.interval_of_similar == pytest.approx((found[0].low, found[0].high))


def test_rates_of_many_pictures_are_streamed_and_equal(data: PeopleData, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(similar_people, "MIN_PEOPLE", 2)
    network = ResidualNetwork(SMALL_PEOPLE.network)
    initialise(network, torch.Generator().manual_seed(0))
    network.requires_grad_(False).eval()
    (point,), curve = held_out_rates(network, data)
    monkeypatch.setattr(fitting, "MOST_AT_ONCE", 0)
    (streamed,), streamed_curve = held_out_rates(network, data)
    assert curve
    assert streamed_curve
    # PyTorch computes the last elements of a tensor by another function, whose sigmoid differs in the last bit.
    assert streamed_curve.thresholds == pytest.approx(curve.thresholds, rel=1e-14)
    assert streamed_curve.model_copy(update={"thresholds": curve.thresholds}) == curve
    assert streamed.threshold == pytest.approx(point.threshold, rel=1e-14)
    assert streamed.fmr_of_similar == pytest.approx(point.fmr_of_similar)
    near = {"threshold", "fmr_of_similar", "interval_of_similar"}
    assert streamed.model_dump(exclude=near) == point.model_dump(exclude=near)


def test_scatter_does_not_depend_on_the_rows_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    draws = torch.Generator().manual_seed(0)
    embeddings, labels = torch.randn(50, 6, generator=draws), torch.arange(50) % 9
    whole = scatter(embeddings, labels)
    monkeypatch.setattr(fitting, "ROWS", 7)
    parts = scatter(embeddings, labels)
    assert torch.allclose(parts.between, whole.between, rtol=1e-12, atol=1e-12)
    assert torch.allclose(parts.within, whole.within, rtol=1e-12, atol=1e-12)


def test_test_pairs_do_not_influence_the_checkpoint(folder: Path, data: PeopleData, tmp_path: Path) -> None:
    run = replace(SMALL_PEOPLE, epochs=1)
    test = resolve(folder / "test.txt", read_pairs(folder / "test.txt"), data.album)
    one = finish(run, train(run, data, tmp_path / "a", CPU), data, test, tmp_path / "a", "code")
    turned = replace(test, same=1 - test.same)
    other = finish(run, train(run, data, tmp_path / "b", CPU), data, turned, tmp_path / "b", "code")
    assert one.embedding_sha256 == other.embedding_sha256
    assert (one.threshold, one.operating_points) == (other.threshold, other.operating_points)


def test_command_runs_a_people_experiment(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from training.__main__ import main

    small: PeopleExperiment = replace(SMALL_PEOPLE, epochs=1)
    monkeypatch.setitem(EXPERIMENTS, "small-people", small)
    arguments = ["run", "small-people", "--data", str(folder), "--cache", str(tmp_path / "cache"), "--images", "people",
                 "--train-people", "people.txt", "--test-pairs", "test.txt", "--device", "cpu", "--out",
                 str(tmp_path / "run")]  # fmt: skip
    assert main(arguments) == 0
    shown = capsys.readouterr()
    assert "other people, on cpu" in shown.out
    assert "calibration error" in shown.out
    assert "epoch 1/1" in shown.out
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == [
        "curves.png", "metrics.jsonl", "result.json", "small-people.md", "small-people.safetensors",
        "state.safetensors", "test-scores.csv", "test-summary.json",
    ]  # fmt: skip
    first = json.loads((tmp_path / "run" / "result.json").read_text())
    assert main([*arguments, "--resume"]) == 0
    assert json.loads((tmp_path / "run" / "result.json").read_text())["metrics"] == first["metrics"]


def test_data_description_has_the_sizes(data: PeopleData) -> None:
    held = sum(len(pictures) for pictures in data.held_out.values())
    assert data.pictures + held == sum(PICTURES)
    assert data.describe().startswith(f"{len(data.training)} people with {data.pictures} pictures to train on")
