"""Networks that teach: which are taken, and what they say."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from model.checkpoint import load
from model.errors import CheckpointError, TrainingError
from model.imaging.preprocessing import PreprocessingConfig
from model.networks.configurations import ResidualConfig
from model.networks.embedder import save
from model.networks.residual import ResidualNetwork, initialise
from tests.conftest import describe
from tests.training.support.joint_people import JOINT
from training.learning.experiments import EXPERIMENT_8
from training.learning.variants import changed_values
from training.people import teaching
from training.people.teaching import Teachers, Teaching

REGIONS = len(JOINT.network.views)


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(teaching, "WEIGHTS", tmp_path)
    return tmp_path


def write(
    folder: Path,
    name: str,
    *,
    config: ResidualConfig = JOINT.network,
    preprocessing: PreprocessingConfig = JOINT.preprocessing,
) -> str:
    """A checkpoint with random weights -> its embedding_sha256."""
    network = ResidualNetwork(config)
    initialise(network, torch.Generator().manual_seed(len(name)))
    described = describe(name=name).model_copy(update={"network": config, "preprocessing": preprocessing})
    save(folder / f"{name}.safetensors", network.eval(), described)
    return load(folder / f"{name}.safetensors").header.embedding_sha256


def teachers_of(*digests: str, names: tuple[str, ...] = ("one", "other")) -> Teachers:
    taught = Teaching(teachers=names[: len(digests)], embedding_sha256=digests)
    return Teachers(taught, JOINT.preprocessing, REGIONS)


def test_cosines_are_the_mean_of_the_teachers(weights: Path) -> None:
    """Teachers average no mirror images, which the network that learns does not see either."""
    flipping = JOINT.network.model_copy(update={"flip_average": True})
    teachers = teachers_of(write(weights, "one", config=flipping), write(weights, "other"))
    images = torch.randn(5, 3, JOINT.preprocessing.side_px, JOINT.preprocessing.side_px)
    found = teachers.cosines(teachers(images))
    assert [tuple(each.shape) for each in found] == [(5, 5)] * REGIONS
    for number in range(REGIONS):
        each = []
        for network in teachers.networks:
            part = network(images).chunk(REGIONS, dim=1)[number]
            unit = part / part.norm(dim=1, keepdim=True)
            each.append(unit @ unit.T)
        torch.testing.assert_close(found[number], (each[0] + each[1]) / 2)
    assert not torch.allclose(found[0], found[1], atol=1e-2)


def test_teachers_do_not_learn(weights: Path) -> None:
    teachers = teachers_of(write(weights, "one"))
    assert not any(parameter.requires_grad for parameter in teachers.parameters())
    assert not any(module.training for module in teachers.modules())


def test_the_way_a_face_was_found_does_not_count(weights: Path) -> None:
    learned = EXPERIMENT_8.preprocessing.alignment
    assert learned != JOINT.preprocessing.alignment
    otherwise = JOINT.preprocessing.model_copy(update={"alignment": learned, "draft_margin": 20})
    teachers_of(write(weights, "one", preprocessing=otherwise))


def test_other_weights_than_the_experiments_are_refused(weights: Path) -> None:
    write(weights, "one")
    with pytest.raises(TrainingError, match=r"one\.safetensors: has the embeddings"):
        teachers_of("0" * 64)
    with pytest.raises(CheckpointError, match=r"absent\.safetensors"):
        teachers_of("0" * 64, names=("absent",))


def test_networks_that_see_other_crops_are_refused(weights: Path) -> None:
    wider = write(weights, "one", preprocessing=JOINT.preprocessing.model_copy(update={"crop": 0.9}))
    with pytest.raises(TrainingError, match="cannot teach a network with other crops or regions"):
        teachers_of(wider)
    one_view = JOINT.network.model_copy(update={"views": (1.0,), "grey_views": ()})
    with pytest.raises(TrainingError, match="cannot teach"):
        teachers_of(write(weights, "one", config=one_view))


def test_shipped_teachers_are_those_of_experiment_8() -> None:
    taught = EXPERIMENT_8.teaching
    assert taught
    teachers = Teachers(taught, EXPERIMENT_8.preprocessing, len(EXPERIMENT_8.network.views))
    assert len(teachers.networks) == 2


def test_teachers_are_values_of_a_run() -> None:
    [found] = changed_values(EXPERIMENT_8, replace(EXPERIMENT_8, teaching=None))
    assert (found.field, found.value) == ("teaching", "null")
    assert EXPERIMENT_8.identity("")["teaching"]["teachers"] == ["experiment-5", "experiment-7"]
