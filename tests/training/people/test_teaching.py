"""Networks that teach: which are taken, and what they say."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from model.checkpoint import load
from model.errors import CheckpointError, TrainingError
from model.imaging.preprocessing import PreprocessingConfig
from model.networks.configurations import ResidualConfig
from model.networks.embedder import normalise, save
from model.networks.residual import ResidualNetwork, initialise
from tests.conftest import describe
from tests.training.support.joint_people import JOINT
from training.learning import parallel, shares, starting
from training.learning.experiments import EXPERIMENT_8
from training.learning.shares import Shares
from training.learning.variants import changed_values
from training.people.losses import relational_distillation, split_regions
from training.people.teaching import Teachers, Teaching

REGIONS = len(JOINT.network.views)


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(starting, "WEIGHTS", tmp_path)
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


def teachers_of(*digests: str, names: tuple[str, ...] = ("one", "other"), rows: int = 6, one_in: int = 1) -> Teachers:
    taught = Teaching(teachers=names[: len(digests)], embedding_sha256=digests, one_in=one_in)
    return Teachers(taught, JOINT.preprocessing, REGIONS, Shares.dealt(rows, 2), "float32")


def noise(count: int) -> Tensor:
    side = JOINT.preprocessing.side_px
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(3))


def test_loss_is_the_divergence_from_the_mean_of_the_teachers_cosines(weights: Path) -> None:
    """Teachers average no mirror images, which the network that learns does not see either."""
    flipping = JOINT.network.model_copy(update={"flip_average": True})
    teachers = teachers_of(write(weights, "one", config=flipping), write(weights, "other"), one_in=2)
    learned = [functional.normalize(torch.randn(6, 8, generator=torch.Generator().manual_seed(n))) for n in (0, 1)]
    assert teachers.seen.tolist() == [0, 2, 4]
    images = noise(3)
    seen = normalise(images, JOINT.preprocessing)
    losses = []
    for number in range(REGIONS):
        units = [functional.normalize(each(seen).chunk(REGIONS, dim=1)[number]) for each in teachers.networks]
        wanted = torch.stack([unit @ unit.T for unit in units]).mean(0)
        losses.append(relational_distillation(learned[number][::2], wanted, 0.2))
    found = teachers.loss(learned, images)
    assert float(found) == pytest.approx(2.0 * float(sum(losses)) / REGIONS, rel=1e-5)
    assert abs(float(losses[0]) / float(losses[1]) - 1) > 0.01


def test_a_network_that_equals_the_only_teacher_has_no_loss(weights: Path) -> None:
    teachers = teachers_of(write(weights, "one"))
    images = noise(6)
    own = split_regions(teachers.networks[0](normalise(images, JOINT.preprocessing)), REGIONS)
    assert float(teachers.loss(own, images)) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(
    "values",
    [{"teachers": (), "embedding_sha256": ()}, {"embedding_sha256": ("a", "b")}, {"one_in": 0}, {"temperature": 0.0}],
)
def test_values_that_cannot_be_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(TrainingError, match=r"^teaching: "):
        Teaching(**{"teachers": ("one",), "embedding_sha256": ("a",), **values})


def test_every_process_needs_a_picture_for_the_teachers(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = write(weights, "one")
    for module in (parallel, shares):
        monkeypatch.setattr(module, "world_size", lambda: 2)
        monkeypatch.setattr(module, "rank", lambda: 0)
    assert teachers_of(digest, one_in=2).seen.tolist() == [0, 2]
    with pytest.raises(TrainingError, match=r"lower teaching\.one_in"):
        teachers_of(digest, one_in=4, rows=4)


def test_teachers_do_not_learn(weights: Path) -> None:
    teachers = teachers_of(write(weights, "one"))
    assert not any(parameter.requires_grad for parameter in teachers.parameters())
    assert not any(module.training for module in teachers.modules())


def test_the_way_a_face_was_found_does_not_count(weights: Path) -> None:
    learned = EXPERIMENT_8.preprocessing.alignment
    assert learned
    assert learned != JOINT.preprocessing.alignment
    otherwise = JOINT.preprocessing.model_copy(update={"alignment": learned, "draft_margin": 20})
    digest = write(weights, "one", preprocessing=otherwise)
    teachers_of(digest)
    moved = learned.model_copy(update={"template": tuple((x, y + 0.01) for x, y in learned.template)})
    with pytest.raises(TrainingError, match="sees other crops"):
        teachers_of(write(weights, "one", preprocessing=otherwise.model_copy(update={"alignment": moved})))


def test_other_weights_than_the_experiments_are_refused(weights: Path) -> None:
    write(weights, "one")
    with pytest.raises(TrainingError, match=r"one\.safetensors: has the embeddings"):
        teachers_of("0" * 64)
    with pytest.raises(CheckpointError, match=r"absent\.safetensors"):
        teachers_of("0" * 64, names=("absent",))


def test_networks_that_see_other_crops_are_refused(weights: Path) -> None:
    wider = write(weights, "one", preprocessing=JOINT.preprocessing.model_copy(update={"crop": 0.9}))
    with pytest.raises(TrainingError, match="cannot teach a network that sees other crops"):
        teachers_of(wider)
    one_view = JOINT.network.model_copy(update={"views": (1.0,), "grey_views": ()})
    with pytest.raises(TrainingError, match="cannot teach"):
        teachers_of(write(weights, "one", config=one_view))


def test_shipped_teachers_are_those_of_experiment_8() -> None:
    taught = EXPERIMENT_8.teaching
    assert taught
    views = len(EXPERIMENT_8.network.views)
    teachers = Teachers(taught, EXPERIMENT_8.preprocessing, views, Shares.dealt(8, 4), "float32")
    assert len(teachers.networks) == 2


def test_teachers_are_values_of_a_run() -> None:
    [found] = changed_values(EXPERIMENT_8, replace(EXPERIMENT_8, teaching=None))
    assert (found.field, found.value) == ("teaching", "null")
    assert EXPERIMENT_8.identity("")["teaching"]["teachers"] == ["experiment-5", "experiment-7"]
