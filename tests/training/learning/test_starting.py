"""Runs that begin with a checkpoint's tensors and keep some of them, and the refusal of checkpoints that do not fit."""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from model.checkpoint import load
from model.errors import TrainingError
from model.networks.architecture import build
from tests.training.support.small_pairs import CPU, NARROW, SMALL
from tests.training.support.small_people import SMALL_PEOPLE, album_of, data_of, draw_people
from training.commands.train import choose_experiment
from training.data.datasets import PairData, PeopleData
from training.learning.experiment import Start
from training.learning.experiments import EXPERIMENT_2, EXPERIMENT_7, EXPERIMENT_10
from training.learning.loop import train
from training.learning.starting import StartingPoint, freeze
from training.runs.finish import finish

SHIPPED = Path(__file__).parents[3] / "weights"
ONE = replace(SMALL_PEOPLE, epochs=1, learning_rate=1e-2, precision="float32")


@pytest.fixture(scope="module")
def families(tmp_path_factory: pytest.TempPathFactory) -> PeopleData:
    folder = draw_people(tmp_path_factory.mktemp("people"))
    return data_of(album_of(folder, folder / "cache"))


@pytest.fixture(scope="module")
def checkpoint(families: PeopleData, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkpoint of a small run, with batch normalisation that has seen pictures."""
    folder = tmp_path_factory.mktemp("run")
    finish(ONE, train(ONE, families, folder, CPU), families, None, folder, "code")
    return folder / f"{ONE.name}.safetensors"


def fewer(families: PeopleData) -> PeopleData:
    """Other people to learn: without one who has several pictures, so that the classifiers are smaller."""
    name = next(name for name in sorted(families.training) if len(families.training[name]) > 1)
    return replace(families, training={each: pictures for each, pictures in families.training.items() if each != name})


def test_a_run_starts_with_the_tensors_of_a_checkpoint(families: PeopleData, checkpoint: Path) -> None:
    """Of all tensors but the head's, which is fitted at the end, and the classifiers', whose people differ."""
    point = StartingPoint.read(checkpoint)
    recipe = replace(ONE, start=point.start).recipe(fewer(families), CPU)
    random = {name: tensor.clone() for name, tensor in recipe.network.state_dict().items()}
    point.apply(recipe)
    stored = load(checkpoint).tensors
    for network in recipe.networks:
        for name, tensor in network.state_dict().items():
            expected = random[name] if name.startswith("head.") else torch.from_numpy(stored[name]).to(tensor.dtype)
            assert torch.equal(tensor, expected), name
    assert not torch.equal(random["towers.0.trunk.0.weight"], recipe.network.state_dict()["towers.0.trunk.0.weight"])


def test_frozen_tensors_stay_and_others_learn(families: PeopleData, checkpoint: Path, tmp_path: Path) -> None:
    point = StartingPoint.read(checkpoint)
    run = replace(ONE, name="tuned", start=point.start, freeze=("stem", "stage1", "stage2"))
    trained = train(run, fewer(families), tmp_path, CPU, start=point)
    header = finish(run, trained, fewer(families), None, tmp_path, "code")
    before, after = load(checkpoint).tensors, load(tmp_path / "tuned.safetensors").tensors
    assert before.keys() == after.keys()
    network = build(run.network)
    kept = {
        id(tensor)
        for name in run.freeze
        for module in network.stages()[name]
        for tensor in module.state_dict(keep_vars=True).values()
    }
    frozen = {name for name, tensor in network.state_dict(keep_vars=True).items() if id(tensor) in kept}
    assert {"towers.0.trunk.0.weight", "towers.1.trunk.1.running_mean", "towers.0.trunk.4.body.1.weight"} <= frozen
    for name in before:
        changed = not np.array_equal(before[name], after[name])
        assert changed == (name not in frozen), name
    assert header.provenance.experiment.count(point.header.embedding_sha256) == 1
    assert '"freeze": ["stem", "stage1", "stage2"]' in header.provenance.experiment


def test_a_network_that_learns_from_pairs_starts_and_freezes_too(data: PairData, tmp_path: Path) -> None:
    first = replace(SMALL, epochs=1)
    finish(first, train(first, data, tmp_path / "first", CPU), data, None, tmp_path / "first", "code")
    point = StartingPoint.read(tmp_path / "first" / "small.safetensors")
    run = replace(first, start=point.start, freeze=("stage1", "stage2", "stage3", "stage4", "embedding"))
    trained = train(run, data, tmp_path / "second", CPU, start=point)
    after = trained.network.state_dict()
    for name, array in point.tensors.items():
        same = torch.equal(after[name], torch.from_numpy(array).to(after[name].dtype))
        assert same == (not name.startswith("comparison")), name


def test_shipped_checkpoints_start_the_experiments_that_fit() -> None:
    StartingPoint.read(SHIPPED / "experiment-7.safetensors").require_network_of(EXPERIMENT_7)
    point = StartingPoint.read(SHIPPED / "experiment-2.safetensors")
    point.require_network_of(EXPERIMENT_2)
    with pytest.raises(TrainingError, match=r"another kind of network than experiment-7; take one of its kind$"):
        point.require_network_of(EXPERIMENT_7)
    narrow = replace(SMALL, network=NARROW)
    with pytest.raises(
        TrainingError, match=r"another network than small: side_px 105 instead of 66, channels \(64, "
    ) as caught:
        point.require_network_of(narrow)
    assert "\n" not in str(caught.value)


def test_a_run_of_no_epochs_fits_the_head_alone(families: PeopleData, checkpoint: Path, tmp_path: Path) -> None:
    point = StartingPoint.read(checkpoint)
    run = replace(ONE, name="fitted", start=point.start, epochs=0)
    trained = train(run, families, tmp_path, CPU, start=point)
    header = finish(run, trained, families, None, tmp_path, "code")
    assert (header.provenance.epochs, trained.history) == (0, [])
    before, after = load(checkpoint).tensors, load(tmp_path / "fitted.safetensors").tensors
    for name in before:
        assert name.startswith("head.") or np.array_equal(before[name], after[name]), name
    with pytest.raises(TrainingError, match="only a run that starts from a checkpoint may have 0 epochs"):
        replace(ONE, epochs=0)


def test_a_network_with_a_thumbnail_starts_from_one_without() -> None:
    assert EXPERIMENT_10.start
    point = StartingPoint.shipped(EXPERIMENT_10.start)
    point.require_network_of(EXPERIMENT_10)
    wider = EXPERIMENT_10.network.model_copy(update={"dimension": 512})
    with pytest.raises(TrainingError, match="tower_values 512 instead of 384"):
        point.require_network_of(replace(EXPERIMENT_10, network=wider))


def test_an_experiment_of_the_catalogue_starts_from_a_shipped_checkpoint() -> None:
    command = argparse.Namespace(experiment="experiment-9", start_from=None, experiment_values=("--epochs", "1"))
    experiment, point = choose_experiment(command)
    assert point
    assert experiment.start == point.start
    assert point.path == SHIPPED / "experiment-8.safetensors"
    point.require_network_of(experiment)


def test_another_shipped_checkpoint_than_the_experiments_is_refused() -> None:
    with pytest.raises(TrainingError, match=r"has the embeddings .*, and the experiment learned from 0000"):
        StartingPoint.shipped(Start(checkpoint="experiment-8", embedding_sha256="0" * 64))


def test_other_preparation_of_crops_is_said() -> None:
    point = StartingPoint.read(SHIPPED / "experiment-2.safetensors")
    data_sha256 = point.header.provenance.data_sha256
    assert point.describe(EXPERIMENT_2, data_sha256) == f"starts from {point.path}"
    assert "from other pictures; people that it knows must not" in point.describe(EXPERIMENT_2, "another")
    brighter = EXPERIMENT_2.preprocessing.model_copy(update={"mean": 0.4})
    assert "learned from crops prepared otherwise" in point.describe(
        replace(EXPERIMENT_2, preprocessing=brighter), data_sha256
    )


def test_stages_cover_the_network_once() -> None:
    for experiment in (SMALL_PEOPLE, SMALL):
        network = build(experiment.network)
        modules = [module for stage in network.stages().values() for module in stage]
        found = [name for module in modules for name in map(id, module.parameters())]
        assert sorted(found) == sorted(map(id, network.parameters()))


def test_unknown_stages_and_nothing_to_learn_are_refused() -> None:
    network = build(SMALL_PEOPLE.network)
    with pytest.raises(
        TrainingError, match=r"no stage 'head'; it has stem, stage1, stage2, stage3, stage4, embedding$"
    ):
        freeze(network, ["stem", "head"])
    with pytest.raises(TrainingError, match="nothing is left to learn"):
        freeze(network, list(network.stages()))


def test_a_start_without_its_tensors_is_a_fault_of_the_caller(data: PairData, checkpoint: Path, tmp_path: Path) -> None:
    start = StartingPoint.read(checkpoint).start
    with pytest.raises(ValueError, match="needs its tensors"):
        train(replace(SMALL, start=start), data, tmp_path, CPU)
