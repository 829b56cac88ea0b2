"""One epoch of a run that learns from people: steps, the moving average, validation."""

import time
from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional
from tqdm import tqdm

from model.errors import TrainingError
from model.networks.residual import ResidualNetwork, initialise
from training.data.datasets import PeopleData
from training.learning import parallel
from training.learning.losses import Classifier, large_margin_cosine, require_finite, supervised_contrastive
from training.learning.seeds import generator_for
from training.learning.state import Epoch
from training.people.moving_average import update_average
from training.people.people_batches import Batch, batches_in_epoch, identity_batches
from training.people.people_experiment import IdentityExperiment
from training.scoring import raw_scores
from training.statistics.calibration import platt
from training.statistics.rates import (
    accuracy,
    area_under_roc,
    best_threshold,
    cross_entropy,
    squared_error,
)


class IdentityModel(nn.Module):
    """All tensors that a run changes: the network, the moving average of its weights, a classifier a view."""

    def __init__(self, network: ResidualNetwork, classifiers: list[Classifier]) -> None:
        super().__init__()
        self.network = network
        self.average = deepcopy(network).requires_grad_(False)
        self.classifiers = nn.ModuleList(classifiers)


@dataclass(frozen=True, kw_only=True)
class IdentityLearner:
    """What is learned, what steps it, and on which device."""

    model: IdentityModel
    optimizer: torch.optim.Optimizer
    device: torch.device


def new_identity_learner(experiment: IdentityExperiment, data: PeopleData, device: torch.device) -> IdentityLearner:
    """A network and a classifier with the experiment's first weights, and their optimiser. Raises TrainingError."""
    if parallel.world_size() > 1:
        raise TrainingError(f"{experiment.name}: trains in one process; start it without torchrun")
    if len(data.several) < 2:
        raise TrainingError(f"{experiment.name}: takes two people with several pictures to train on, or more")
    draws = generator_for(experiment.seed, "initialise", 0)
    network = ResidualNetwork(experiment.network)
    initialise(network, draws)
    views = len(experiment.network.views)
    classifiers = [Classifier(len(data.several), experiment.network.dimension // views) for _ in range(views)]
    for classifier in classifiers:
        nn.init.normal_(classifier.weight, std=0.01, generator=draws)
    model = IdentityModel(network, classifiers).to(device).to(memory_format=torch.channels_last)
    learned = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(learned, experiment.learning_rate, weight_decay=experiment.weight_decay)
    return IdentityLearner(model=model, optimizer=optimizer, device=device)


def run_identity_epoch(
    experiment: IdentityExperiment, data: PeopleData, learner: IdentityLearner, number: int
) -> Epoch:
    """Trains for an epoch, then validates the moving average. Raises TrainingError if a loss is not finite."""
    started = time.perf_counter()
    learner.model.train()
    loss, share_right, images_per_s = _train(experiment, data, learner, number)
    raw, same = raw_scores(learner.model.average, experiment.preprocessing, data.album, data.validation)
    require_finite(float(raw.sum()), "the sum of the validation pairs' scores")
    scale, bias = platt(raw, same)
    scores = torch.sigmoid(scale * torch.from_numpy(raw) + bias).numpy()
    bce = cross_entropy(scores, same)
    return Epoch(
        epoch=number,
        learning_rate=_rate(experiment, data, number, batches_in_epoch(experiment, data) - 1),
        train_loss=loss,
        train_accuracy=share_right,
        validation_loss=bce,
        validation_bce=bce,
        validation_mse=squared_error(scores, same),
        validation_accuracy=accuracy(scores, same, 0.5).value,
        seconds=time.perf_counter() - started,
        images_per_s=images_per_s,
        validation_best_accuracy=accuracy(scores, same, best_threshold(scores, same)).value,
        validation_area=area_under_roc(scores, same),
    )


def per_view(embeddings: Tensor, views: int) -> list[Tensor]:
    """(B, D) -> for each view (B, D / V) of unit length: each has losses of its own, so that towers err differently."""
    return [functional.normalize(part) for part in embeddings.chunk(views, dim=1)]


def identity_step(experiment: IdentityExperiment, learner: IdentityLearner, batch: Batch) -> tuple[float, int]:
    """One step; returns the loss and how many known pictures the classifier had right, its margin aside.

    Raises TrainingError before a loss that is not finite reaches the weights.
    """
    learner.optimizer.zero_grad(set_to_none=True)
    with torch.autocast(learner.device.type, torch.bfloat16, enabled=experiment.precision == "bfloat16"):
        embeddings = learner.model.network.embed(batch.images)
    known = batch.labels[: batch.known]
    losses, sums = [], torch.zeros((), device=learner.device)
    for view, classifier in zip(
        per_view(embeddings, len(experiment.network.views)), learner.model.classifiers, strict=True
    ):
        cosines = classifier(view[: batch.known])
        margin = large_margin_cosine(cosines, known, experiment.classifier_scale, experiment.classifier_margin)
        contrast = supervised_contrastive(view, batch.labels, experiment.temperature)
        losses.append(contrast + experiment.classifier_weight * margin)
        sums = sums + cosines.detach()
    loss = torch.stack(losses).mean()
    value = loss.detach().item()
    require_finite(value)
    loss.backward()
    learner.optimizer.step()
    return value, int((sums.argmax(1) == known).sum())


def _train(
    experiment: IdentityExperiment, data: PeopleData, learner: IdentityLearner, number: int
) -> tuple[float, float, float]:
    """All batches of an epoch: the mean loss, the share that the classifier had right, pictures a second."""
    sums, started = torch.zeros(4, dtype=torch.float64), time.perf_counter()
    count = batches_in_epoch(experiment, data)
    with tqdm(total=count, desc=f"epoch {number}/{experiment.epochs}", unit=" batches", mininterval=1) as bar:
        for index, batch in enumerate(identity_batches(experiment, data, number, learner.device)):
            for group in learner.optimizer.param_groups:
                group["lr"] = _rate(experiment, data, number, index)
            loss, right = identity_step(experiment, learner, batch)
            update_average(
                learner.model.average, learner.model.network, experiment.average, (number - 1) * count + index
            )
            sums += torch.tensor([loss, right, batch.known, len(batch.images)])
            rate = float(sums[3]) / (time.perf_counter() - started)
            left_s = (count * (experiment.epochs - number + 1) - index - 1) * float(sums[3]) / (index + 1) / rate
            mean_loss, share = float(sums[0]) / (index + 1), float(sums[1] / sums[2])
            whole = f"run ends in {left_s / 60:.0f} min"
            bar.set_postfix_str(f"loss {mean_loss:.4f}, accuracy {share:.1%}, {rate:.1f} images/s, {whole}")
            bar.update()
    return mean_loss, share, rate


def _rate(experiment: IdentityExperiment, data: PeopleData, number: int, index: int) -> float:
    """The learning rate of a batch of an epoch."""
    count = batches_in_epoch(experiment, data)
    return experiment.learning_rate_at((number - 1) * count + index, experiment.epochs * count)
