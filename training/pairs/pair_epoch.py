"""One epoch: batches, steps, validation.

B pairs in a batch
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional
from tqdm import tqdm

from model.networks.embedder import normalise, to_unit
from model.networks.siamese import SiameseNetwork, initialise
from training.data.pair_data import PairData
from training.learning import parallel
from training.learning.experiments import Experiment
from training.learning.losses import require_finite
from training.learning.seeds import generator_for, seed_for
from training.learning.state import Epoch
from training.pairs.pair_augmentation import augment, draw
from training.scoring import score_pairs
from training.statistics.rates import accuracy, cross_entropy, squared_error


@dataclass(frozen=True, kw_only=True)
class Learner:
    """A network on its device, the same network as training calls it, and what steps it."""

    network: SiameseNetwork
    module: nn.Module
    optimizer: torch.optim.Optimizer
    device: torch.device


def new_learner(experiment: Experiment, device: torch.device) -> Learner:
    """A network with the experiment's first weights, and its optimiser, in every process alike."""
    network = SiameseNetwork(experiment.network)
    initialise(network, generator_for(experiment.seed, "initialise", 0))
    network = network.to(device).to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(network.parameters(), experiment.learning_rate, weight_decay=experiment.weight_decay)
    return Learner(network=network, module=parallel.wrap(network), optimizer=optimizer, device=device)


def run_epoch(experiment: Experiment, data: PairData, learner: Learner, number: int) -> Epoch:
    """Trains once through the pairs in a new order, then validates. Raises TrainingError if a loss is not finite."""
    started = time.perf_counter()
    torch.manual_seed(seed_for(experiment.seed, "dropout", number) + parallel.rank())
    for group in learner.optimizer.param_groups:
        group["lr"] = experiment.learning_rate_at(number)
    learner.network.train()
    loss, share_right = _train(experiment, data, learner, number)
    images_per_s = 2 * len(data.training) / (time.perf_counter() - started)
    scores, labels = score_pairs(learner.network, experiment.preprocessing, data.album, data.validation)
    bce, mse = cross_entropy(scores, labels), squared_error(scores, labels)
    require_finite(bce)
    return Epoch(
        epoch=number,
        learning_rate=experiment.learning_rate_at(number),
        train_loss=loss,
        train_accuracy=share_right,
        validation_loss=mse if experiment.loss == "mse" else bce,
        validation_bce=bce,
        validation_mse=mse,
        validation_accuracy=accuracy(scores, labels, 0.5).value,
        seconds=time.perf_counter() - started,
        images_per_s=images_per_s,
    )


def step(
    experiment: Experiment, learner: Learner, images: Tensor, same: Tensor, weight: float = 1.0
) -> tuple[float, int]:
    """One step on 2B images, the left pictures first; returns the loss and how many pairs were right.

    `weight` is what this share counts in the global batch. Raises TrainingError before a loss that is not finite
    reaches the weights.
    """
    learner.optimizer.zero_grad(set_to_none=True)
    with torch.autocast(learner.device.type, torch.bfloat16, enabled=experiment.precision == "bfloat16"):
        logits = learner.module(*images.chunk(2))
    loss = batch_loss(experiment, logits, same)
    value = loss.detach().item()
    require_finite(value)
    (loss * weight).backward()
    learner.optimizer.step()
    return value, int(((logits >= 0) == (same > 0.5)).sum())


def batch_loss(experiment: Experiment, logits: Tensor, same: Tensor) -> Tensor:
    """(B,) logits and (B,) labels 0 or 1 -> the mean loss that the experiment minimises."""
    if experiment.loss == "mse":
        return functional.mse_loss(logits.sigmoid(), same)
    return functional.binary_cross_entropy_with_logits(logits, same)


def batches(
    experiment: Experiment, data: PairData, epoch: int, device: torch.device
) -> Iterator[tuple[Tensor, Tensor, float]]:
    """This process's share of every batch; the last batch may be smaller.

    Images float32 (2B, 1, H, W), normalised and channels_last; labels float32 (B,); the weight of the share.
    """
    order = torch.randperm(len(data.training), generator=generator_for(experiment.seed, "order", epoch))
    changes = generator_for(experiment.seed, "augment", epoch)
    for chosen in order.split(experiment.batch_pairs):
        mine = parallel.share(torch.arange(len(chosen)))
        pairs = data.training[chosen[mine]]
        images = to_unit(data.album.pixels[torch.cat([pairs.left, pairs.right])])
        if experiment.augmentation:
            drawn = draw(2 * len(chosen), experiment.augmentation, changes)
            images = augment(images, drawn[torch.cat([mine, mine + len(chosen)])])
        images = normalise(images.to(device), experiment.preprocessing)
        weight = len(mine) * parallel.world_size() / len(chosen)
        yield images.contiguous(memory_format=torch.channels_last), pairs.same.to(device), weight


def _train(experiment: Experiment, data: PairData, learner: Learner, number: int) -> tuple[float, float]:
    """All batches of an epoch; the mean loss and the share of right pairs, over all processes."""
    sums = torch.zeros(3, dtype=torch.float64)
    started = time.perf_counter()
    title = f"epoch {number}/{experiment.epochs}"
    hidden = parallel.rank() > 0
    with tqdm(total=len(data.training), desc=title, unit=" pairs", mininterval=1, disable=hidden) as bar:
        for images, same, weight in batches(experiment, data, number, learner.device):
            loss, right = step(experiment, learner, images, same, weight)
            sums += torch.tensor([loss * len(same), right, len(same)])
            mean_loss, share_right = (sums[:2] / sums[2]).tolist()
            rate = 2 * float(sums[2]) * parallel.world_size() / (time.perf_counter() - started)
            pairs_left = len(data.training) * (experiment.epochs - number + 1) - float(sums[2]) * parallel.world_size()
            whole = f"run ends in {2 * pairs_left / rate / 60:.0f} min at the latest"
            bar.set_postfix_str(f"loss {mean_loss:.4f}, accuracy {share_right:.1%}, {rate:.1f} images/s, {whole}")
            bar.update(len(same) * parallel.world_size())
    sums = parallel.total(sums.to(learner.device)).cpu()
    mean_loss, share_right = (sums[:2] / sums[2]).tolist()
    return mean_loss, share_right
