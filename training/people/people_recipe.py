"""The recipe of Experiments 5 to 12, which learns from people's pictures which of them show the same person.

B pictures of a batch, b of them in this process, D embedding, R regions
"""

import sys
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, field, replace
from math import cos, pi

import torch
from torch import Tensor, nn
from tqdm import tqdm

from model.checkpoint import Changes
from model.errors import TrainingError
from model.imaging.preprocessing import PreprocessingConfig
from model.networks import configurations, residual
from training import fitting, scoring
from training.data.album import Album
from training.data.datasets import HoldOut, PeopleData
from training.data.source import DataSource
from training.learning import parallel, starting
from training.learning.experiment import (
    LATER,
    Batch,
    Experiment,
    Precision,
    Recipe,
    Start,
    Validation,
    require_finite,
)
from training.learning.shares import Shares
from training.people import enough, people_augmentation, people_batches
from training.people.classifiers import Margins, Shard, ShardedMargins, WholeMargins, keep_moments_whole
from training.people.covers import Eyes
from training.people.fused_head import fit_fused_head
from training.people.gradient_part import fit_gradients
from training.people.losses import Classifier, split_regions, supervised_contrastive
from training.people.nuisances import Group, Nuisances, change_groups, cover_groups, draw_groups
from training.people.photo_changes import Draws
from training.people.teaching import Teachers, Teaching
from training.statistics import calibration, operating_points, rates


@dataclass(frozen=True, kw_only=True)
class PeopleExperiment(Experiment[PeopleData]):
    """A run that learns from people.

    A batch has `people` with several pictures, `pictures` of each, `virtual` people made from two of them, and the only
    picture of each of `singles` people, augmented twice. `nuisances` say what is changed alike in groups of different
    people's pictures; the share `backlit` of the changed groups is also lit from behind. `teaching` names trained
    networks to learn from. `average` is the decay of the weights' moving average. Several processes share a batch, and,
    if there are more than `shard_above` people with several pictures, the people of the classifiers.
    """

    name: str
    network: configurations.ResidualConfig
    preprocessing: PreprocessingConfig
    augmentation: people_augmentation.BatchAugmentation = field(default_factory=people_augmentation.BatchAugmentation)
    nuisances: Nuisances | None = field(default=None, metadata={LATER: True})
    backlit: float = field(default=0.0, metadata={LATER: True})
    teaching: Teaching | None = field(default=None, metadata={LATER: True})
    held_out: HoldOut = field(default_factory=HoldOut)
    face: people_batches.FaceParts
    people: int = 32
    pictures: int = 4
    singles: int = 48
    virtual: int = 16
    temperature: float = 0.1
    classifier_weight: float = 0.5
    classifier_scale: float = 20.0
    classifier_margin: float = 0.15
    epochs: int = 40
    learning_rate: float = 2e-3
    weight_decay: float = 5e-3
    rising: float = 0.3
    average: float = 0.998
    shard_above: int = field(default=20_000, metadata={LATER: True})
    precision: Precision = "auto"
    seed: int = 0
    start: Start | None = field(default=None, metadata={LATER: True})
    freeze: tuple[str, ...] = field(default=(), metadata={LATER: True})
    changes: Changes | None = field(default=None, metadata={LATER: True})

    def __post_init__(self) -> None:
        positive = (self.people, self.pictures, self.learning_rate, self.temperature)
        if not all(value > 0 for value in positive) or self.epochs < (0 if self.start else 1):
            raise TrainingError(
                f"{self.name}: people, pictures, epochs, learning_rate and temperature must be positive; only a run "
                "that starts from a checkpoint may have 0 epochs, and then fits its head alone"
            )
        if not all(value >= 0 for value in (self.singles, self.virtual, self.weight_decay)):
            raise TrainingError(f"{self.name}: singles, virtual and weight_decay must not be negative")
        if not (0 < self.held_out.fraction < 1 and 0 < self.rising < 1 and 0 <= self.average < 1):
            raise TrainingError(f"{self.name}: held_out.fraction, rising and average must lie between 0 and 1")
        if self.augmentation.colour and self.network.input_channels == 1:
            raise TrainingError(f"{self.name}: grey pictures cannot have colour augmentation; leave it out")
        if not 0 <= self.backlit <= 1:
            raise TrainingError(f"{self.name}: backlit must lie between 0 and 1")
        if self.backlit and not self.nuisances:
            raise TrainingError(f"{self.name}: backlit is a share of the groups that nuisances change; add nuisances")
        if self.nuisances and self.preprocessing.alignment is None:
            raise TrainingError(f"{self.name}: nuisances need aligned pictures; leave them out")
        if self.network.head == "fused" and self.preprocessing.alignment is None:
            raise TrainingError(f"{self.name}: the head fused needs aligned pictures; choose another")
        super().__post_init__()

    @property
    def validated_on(self) -> str:
        return "pairs of held-out people"

    @property
    def eyes(self) -> Eyes:
        """Where the eyes are in the crops."""
        return Eyes.of(self.preprocessing)

    def draw_groups(self, images: int, plan: people_batches.BatchPlan, draws: Draws) -> list[Group]:
        """Which pictures of a batch are changed alike; none without `nuisances`."""
        if self.nuisances is None:
            return []
        singles, pictures = len(plan.singles), plan.pictures.shape[1]
        people = (images - 2 * singles) // pictures
        return draw_groups(people, pictures, singles, self.nuisances, draws, backlit=self.backlit, eyes=self.eyes)

    def learning_rate_at(self, step: int, steps_per_epoch: int) -> float:
        """One cycle over the run (Smith and Topin 2017).

        The rate rises from 1/25 of the peak during the share `rising` of the run, then falls to 1/250,000 of it, each
        as half a cosine wave.
        """
        steps = self.epochs * steps_per_epoch
        rise = self.rising * steps - 1
        if step < rise:
            return _between(self.learning_rate / 25, self.learning_rate, step / rise)
        return _between(self.learning_rate, self.learning_rate / 25e4, (step - rise) / (steps - 1 - rise))

    def read_data(self, source: DataSource, album: Album) -> PeopleData:
        return source.people_data(album, self.held_out)

    def warnings(self, data: PeopleData) -> list[str]:
        return enough.warnings(data, self.held_out)

    def recipe(self, data: PeopleData, device: torch.device) -> "PeopleRecipe":
        return PeopleRecipe(self, data, device)


class PeopleModel(nn.Module):
    """All tensors that a run changes: the network, the moving average of its weights, and a classifier per region."""

    def __init__(self, network: residual.ResidualNetwork, classifiers: list[Classifier]) -> None:
        super().__init__()
        self.network = network
        self.average = deepcopy(network).requires_grad_(False)
        self.classifiers = nn.ModuleList(classifiers)


class PeopleRecipe(Recipe):
    """Trains a residual network and its classifiers, and keeps the moving average of the network's weights."""

    state: PeopleModel
    network: residual.ResidualNetwork

    def __init__(self, experiment: PeopleExperiment, data: PeopleData, device: torch.device) -> None:
        if len(data.several) < 2:
            raise TrainingError(
                f"{experiment.name}: training needs at least 2 people with several pictures; "
                f"there are {len(data.several)}"
            )
        self.experiment, self.data = experiment, data
        self.sizes = people_batches.BatchSizes(
            people=experiment.people, pictures=experiment.pictures, singles=experiment.singles
        )
        known, self.images = people_batches.batch_pictures(data, self.sizes, experiment.virtual)
        _require_a_share(experiment, known // experiment.pictures, self.images)
        self.shares = Shares.dealt(self.images, experiment.pictures)
        self._judged = int((self.shares.mine < known).sum())
        self._anchors = self.shares.mine.to(device) if parallel.world_size() > 1 else None
        self.state = _new_model(experiment, len(data.several)).to(device).to(memory_format=torch.channels_last)
        self.network = self.state.average
        self.frozen = starting.freeze(self.state.network, experiment.freeze)
        learned = [parameter for parameter in self.state.parameters() if parameter.requires_grad]
        self.optimizer = torch.optim.AdamW(learned, experiment.learning_rate, weight_decay=experiment.weight_decay)
        # An epoch draws as many pictures of people with several as there are training pictures in all.
        self.batches_in_epoch = max(1, round(data.pictures / (experiment.people * experiment.pictures)))
        channels, side = experiment.network.input_shape
        example = torch.zeros(2, channels, side, side, device=device)
        self._network = parallel.wrap(self.state.network, example)
        self._margins = self._share_classifiers(known)
        self._teachers = self._read_teachers(device)

    @property
    def networks(self) -> tuple[residual.ResidualNetwork, ...]:
        """The network that learns, and the moving average of its weights."""
        return self.state.network, self.state.average

    def batches(self, epoch: int) -> Iterator[Batch]:
        """This process's pictures, the first `judged` of people that the classifiers know.

        Labels int64 (B,) are the numbers of the people of all processes' pictures. All processes draw for the whole
        batch, so that what is drawn does not depend on their number.
        """
        run, data, mine = self.experiment, self.data, self.shares.mine
        draws, changes, swaps = (run.generator(purpose, epoch) for purpose in ("people", "augment", "swap"))
        masks = people_batches.masks_of(run.face, run.preprocessing.side_px)
        shared = Draws(run.generator("nuisances", epoch))
        for plan in people_batches.plan_epoch(data.several, data.single, self.sizes, self.batches_in_epoch, draws):
            swapped = people_batches.draw_swaps(len(plan.people), masks, run.virtual, swaps)
            labels = people_batches.label(plan, len(data.several), swapped)
            images = people_batches.assemble(data.album.pixels, plan, swapped, mine)
            groups = [group.within(mine, len(labels)) for group in run.draw_groups(len(labels), plan, shared)]
            drawn = people_augmentation.draw_batch(len(labels), run.augmentation, changes).of(mine)
            for_teachers = self._for_teachers(images, drawn)
            images = cover_groups(images, groups, run.eyes, shared) if groups else images
            images = people_augmentation.augment_batch(images, drawn)
            images = change_groups(images, groups, shared)
            yield Batch(images=images, labels=labels, judged=self._judged, for_teachers=for_teachers)

    def _for_teachers(self, images: Tensor, drawn: people_augmentation.BatchDraw) -> Tensor | None:
        """The pictures that teachers see, augmented as all are."""
        if self._teachers is None:
            return None
        seen = self._teachers.seen
        return people_augmentation.augment_batch(images[seen], drawn.of(seen))

    def forward(self, images: Tensor) -> Tensor:
        """(b, C, H, W) -> embeddings (b, D)."""
        embeddings: Tensor = self._network(images)
        return embeddings

    def loss(self, outputs: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """The contrastive plus the weighted classifier and teacher losses of the whole batch, averaged over regions."""
        run, labels = self.experiment, batch.labels
        regions = split_regions(self.shares.gather(outputs), len(run.network.views))
        margins, right = self._margins(regions, labels, run.classifier_scale, run.classifier_margin)
        losses = [
            supervised_contrastive(region, labels, run.temperature, self._anchors) + run.classifier_weight * margin
            for region, margin in zip(regions, margins, strict=True)
        ]
        loss = torch.stack(losses).mean()
        if self._teachers and batch.for_teachers is not None:
            loss = loss + self._teachers.loss(regions, batch.for_teachers)
        return loss, right

    def after_step(self, step: int) -> None:
        update_average(self.state.average, self.state.network, self.experiment.average, step)

    def validate(self) -> Validation:
        """Metrics of the head's raw scores (cosines until it is fitted), calibrated on the same validation pairs."""
        raw, same = scoring.raw_scores(self.network, self.data.album, self.data.validation)
        require_finite(float(raw.sum()), "the sum of the validation pairs' scores")
        scale, bias = calibration.platt(raw, same)
        scores = torch.sigmoid(scale * torch.from_numpy(raw) + bias).numpy()
        best = rates.accuracy(scores, same, rates.best_threshold(scores, same)).value
        return replace(Validation.of(scores, same), best_accuracy=best)

    def finish(self) -> operating_points.FalseMatchRates:
        """Fits gradients and head, and measures false match rates on the held-out people."""
        if self.network.gradients is not None and parallel.rank() == 0:
            tqdm.write("fits the gradients and the head in closed form, which takes some minutes", file=sys.stderr)
        fit_gradients(self.network, self.data, self.experiment.generator("gradients"))
        fitting.fit_head(self.network, self.data)
        fit_fused_head(self.network, self.data, self.experiment.generator("fused head"))
        return fitting.held_out_rates(self.network, self.data)

    def _read_teachers(self, device: torch.device) -> Teachers | None:
        run = self.experiment
        if run.teaching is None:
            return None
        regions = len(run.network.views)
        return Teachers(run.teaching, run.preprocessing, regions, self.shares, run.precision).to(device)

    def _share_classifiers(self, judged: int) -> Margins:
        """What computes the losses of the classifiers, which are sharded already if they are to be."""
        classifiers = [each for each in self.state.classifiers if isinstance(each, Classifier)]
        shards = [each for each in classifiers if isinstance(each, Shard)]
        if not shards:
            return WholeMargins(classifiers, self.shares, judged)
        keep_moments_whole(self.optimizer, shards)
        return ShardedMargins(shards, self.shares, judged)


def _require_a_share(experiment: PeopleExperiment, people: int, images: int) -> None:
    """Raises TrainingError unless each process gets a person that the classifiers know, and two pictures."""
    count = parallel.world_size()
    if people < count or images < 2 * count:
        raise TrainingError(
            f"{experiment.name}: {people} people with several pictures in a batch are too few for {count} processes; "
            "start fewer processes"
        )


@torch.no_grad()
def update_average(average: nn.Module, network: nn.Module, decay: float, step: int) -> None:
    """Moves the exponential moving average towards the network, in place; `step` counts from 0.

    The statistics of batch normalisation are averaged too; counters are copied.
    """
    # Early steps move the average further, so that the random first weights are forgotten.
    stays = min(decay, (1 + step) / (10 + step))
    current = network.state_dict()
    for name, tensor in average.state_dict().items():
        if tensor.is_floating_point():
            tensor.lerp_(current[name], 1 - stays)
        else:
            tensor.copy_(current[name])


def _new_model(experiment: PeopleExperiment, people: int) -> PeopleModel:
    """The network, its average and a classifier per region, with the experiment's initial weights."""
    draws = experiment.generator("initialise")
    network = residual.ResidualNetwork(experiment.network)
    residual.initialise(network, draws)
    views = len(experiment.network.views)
    classifiers = [Classifier(people, experiment.network.tower_values // views) for _ in range(views)]
    for classifier in classifiers:
        nn.init.normal_(classifier.weight, std=0.01, generator=draws)
    if parallel.world_size() > 1 and people > experiment.shard_above:
        classifiers = [Shard(classifier) for classifier in classifiers]
    return PeopleModel(network, classifiers)


def _between(start: float, end: float, share: float) -> float:
    return end + (start - end) / 2 * (1 + cos(pi * share))
