"""A third kind of run is one file, such as this one: a network, an experiment and a recipe. The loop needs no change.

One line in `experiments.EXPERIMENTS` gives it a name; for checkpoints of its network, the network's configuration joins
`AnyNetworkConfig`.

B pictures in a batch, D embedding
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest
import torch
from pydantic import BaseModel
from safetensors.torch import load_file
from torch import Tensor, nn

from model.errors import TrainingError
from model.imaging.preprocessing import PreprocessingConfig
from model.networks.embedder import to_unit
from model.networks.face_network import FaceNetwork
from tests.training.support.small_pairs import CPU, SIDE_PX
from training.data.album import Album
from training.data.datasets import PairData
from training.data.source import DataSource
from training.learning.experiment import Batch, Experiment, Recipe, Validation
from training.learning.loop import Trained, train
from training.scoring import score_pairs


class LinearConfig(BaseModel):
    side_px: int = SIDE_PX
    dimension: int = 4

    @property
    def input_shape(self) -> tuple[int, int]:
        return 1, self.side_px


class LinearNetwork(FaceNetwork):
    """One matrix. The nearer two embeddings are, the higher the logit."""

    calibrated = False
    unit_length = False

    def __init__(self, config: LinearConfig, draws: torch.Generator) -> None:
        super().__init__()
        self.matrix = nn.Linear(config.side_px**2, config.dimension, bias=False)
        nn.init.normal_(self.matrix.weight, std=0.01, generator=draws)

    def embed(self, images: Tensor) -> Tensor:
        embeddings: Tensor = self.matrix(images.flatten(1))
        return embeddings

    def compare(self, left: Tensor, right: Tensor) -> Tensor:
        return 1 - (left - right).square().sum(1)

    def logit_table(self, left: Tensor, right: Tensor) -> Tensor:
        return 1 - torch.cdist(left, right).square()

    def identical_logit(self) -> Tensor | None:
        return torch.ones(1)


@dataclass(frozen=True, kw_only=True)
class MirrorExperiment(Experiment[PairData]):
    """Learns from single pictures that each is like its mirror image, and unlike the next picture."""

    name: str
    network: LinearConfig = field(default_factory=LinearConfig)  # type: ignore[assignment]  # not in AnyNetworkConfig
    preprocessing: PreprocessingConfig = field(default_factory=lambda: PreprocessingConfig(side_px=SIDE_PX))
    epochs: int = 2
    precision: Literal["float32", "bfloat16"] = "float32"
    seed: int = 0

    def learning_rate_at(self, step: int, steps_per_epoch: int) -> float:
        return 0.01 / (1 + step / steps_per_epoch)

    def read_data(self, source: DataSource, album: Album) -> PairData:
        pairs = source.pairs_of("train_pairs", album)
        return PairData.of(album, source.pictures, pairs, fraction=0.25, seed=0)

    def recipe(self, data: PairData, device: torch.device) -> "MirrorRecipe":
        return MirrorRecipe(self, data, device)


class MirrorRecipe(Recipe):
    network: LinearNetwork

    def __init__(self, experiment: MirrorExperiment, data: PairData, device: torch.device) -> None:
        self.experiment, self.data = experiment, data
        network = LinearNetwork(experiment.network, experiment.generator("initialise"))
        self.state = self.network = network.to(device)
        self.optimizer = torch.optim.Adam(network.parameters())
        self.batches_in_epoch = len(data.trained_on.split(5))

    def batches(self, epoch: int) -> Iterator[Batch]:
        pictures = self.data.trained_on
        order = torch.randperm(len(pictures), generator=self.experiment.generator("order", epoch))
        for chosen in pictures[order].split(5):
            images = to_unit(self.data.album.pixels[chosen])
            yield Batch(images=torch.cat([images, images.flip(3)]), labels=chosen, judged=len(chosen))

    def forward(self, images: Tensor) -> Tensor:
        return self.network.embed(images)

    def loss(self, outputs: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        pictures, mirrored = outputs.chunk(2)
        alike, unlike = (self.network.compare(pictures, other) for other in (mirrored, pictures.roll(1, 0)))
        others = batch.labels != batch.labels.roll(1)  # a batch of one picture has no next one
        return (nn.functional.softplus(unlike - alike) * others).mean(), (alike > unlike).sum()

    def validate(self) -> Validation:
        data = self.data
        return Validation.of(*score_pairs(self.network, data.album, data.validation))


RUN = MirrorExperiment(name="mirror")


@pytest.fixture(scope="module")
def whole(data: PairData, tmp_path_factory: pytest.TempPathFactory) -> tuple[Trained, Path]:
    """The run from its beginning to its end."""
    folder = tmp_path_factory.mktemp("mirror")
    return train(RUN, data, folder, CPU), folder


def test_loop_trains_saves_and_draws_a_third_kind(whole: tuple[Trained, Path]) -> None:
    trained, folder = whole
    first, second = trained.history
    assert second.train_loss < first.train_loss
    assert second.train_accuracy >= 0.5
    count = trained.recipe.batches_in_epoch
    assert first.learning_rate == RUN.learning_rate_at(count - 1, count) > second.learning_rate
    assert sorted(path.name for path in folder.iterdir()) == ["curves.png", "metrics.jsonl", "state.safetensors"]
    assert trained.recipe.finish() == ((), None)
    assert trained.network.logit_table(torch.zeros(2, 4), torch.ones(3, 4)).tolist() == [[-3.0] * 3] * 2


def test_resumed_run_ends_with_the_same_weights(
    whole: tuple[Trained, Path], data: PairData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(recipe: MirrorRecipe, step: int) -> None:
        if step == recipe.batches_in_epoch:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(MirrorRecipe, "after_step", interrupt)
        with pytest.raises(KeyboardInterrupt):
            train(RUN, data, tmp_path, CPU)
    assert len(train(RUN, data, tmp_path, CPU, resume=True).history) == 2
    first, second = (load_file(folder / "state.safetensors") for folder in (whole[1], tmp_path))
    moments = {f"optimizer/0.{name}" for name in ("step", "exp_avg", "exp_avg_sq")}
    assert first.keys() == second.keys() == {"weights/matrix.weight", *moments}
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_state_of_another_run_is_refused(whole: tuple[Trained, Path], data: PairData) -> None:
    with pytest.raises(TrainingError, match=r"another run \(network differ\)"):
        train(MirrorExperiment(name="mirror", network=LinearConfig(dimension=5)), data, whole[1], CPU, resume=True)
