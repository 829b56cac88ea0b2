"""One run: seed, step, validate, save, stop early, resume.

B pairs in a batch
"""

import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional
from tqdm import tqdm

from model.errors import TrainingError
from model.files import replacing
from model.network import SiameseNetwork, initialise
from model.preprocessing import normalise, to_unit
from training.album import Album
from training.augmentation import augment, draw
from training.curves import draw_curves
from training.evaluation import accuracy, cross_entropy, squared_error
from training.experiments import Experiment
from training.pairs import PairSet
from training.scoring import score_pairs
from training.state import Epoch, RunState, flatten_optimizer, load_state, restore_optimizer, save_state

STATE_FILE = "state.safetensors"
METRICS_FILE = "metrics.jsonl"
CURVES_FILE = "curves.png"


@dataclass(frozen=True, kw_only=True)
class TrainingData:
    """An album and which of its pairs are trained and validated on."""

    album: Album
    training: PairSet
    validation: PairSet


@dataclass(frozen=True, kw_only=True)
class Trained:
    """The network that a run keeps, from which epoch it is, and how the run went."""

    network: SiameseNetwork
    epoch: int
    history: list[Epoch]


def train(
    experiment: Experiment, data: TrainingData, folder: Path, device: torch.device, *, resume: bool = False
) -> Trained:
    """Trains to the end and returns the network to keep; after every epoch the state is in `folder`.

    With `resume` it goes on from that state and ends in the same weights as a run that was never interrupted.
    Raises TrainingError if the loss stops being finite (the last good state stays), or if `folder` holds a run already.
    """
    path = folder / STATE_FILE
    if path.exists() and not resume:
        raise TrainingError(f"{folder} already holds a run; add --resume to go on with it, or choose another --out")
    network = SiameseNetwork(experiment.network)
    initialise(network, _generator(experiment, "initialise", 0))
    network = network.to(device).to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(network.parameters(), experiment.learning_rate, weight_decay=experiment.weight_decay)
    state = RunState(weights={}, optimizer={})
    if path.exists():
        state = load_state(path, experiment, data.album.sha256)
        network.load_state_dict(state.weights)
        restore_optimizer(optimizer, state.optimizer)
    while not _finished(experiment, state):
        row = _epoch(experiment, data, network, optimizer, len(state.history) + 1)
        _advance(experiment, state, row, network, optimizer)
        save_state(path, state, experiment, data.album.sha256)
        write_metrics(folder / METRICS_FILE, state.history)
        draw_curves(folder / CURVES_FILE, experiment.name, state.history)
    kept = state.best if experiment.keep == "best" else state.weights
    network.load_state_dict(kept)
    epoch = state.best_epoch if experiment.keep == "best" else len(state.history)
    return Trained(network=network, epoch=epoch, history=state.history)


def write_metrics(path: Path, history: list[Epoch]) -> None:
    """A JSON object per epoch, one a line, written anew each time so that a resumed run leaves no double rows."""
    with replacing(path) as partial:
        partial.write_text("".join(json.dumps(asdict(row)) + "\n" for row in history))


def batch_loss(experiment: Experiment, logits: Tensor, same: Tensor) -> Tensor:
    """(B,) logits and (B,) labels 0 or 1 -> the mean loss that the experiment minimises."""
    if experiment.loss == "mse":
        return functional.mse_loss(logits.sigmoid(), same)
    return functional.binary_cross_entropy_with_logits(logits, same)


def _finished(experiment: Experiment, state: RunState) -> bool:
    done = len(state.history)
    stale = done - state.best_epoch
    patience = experiment.patience_epochs
    return done >= experiment.epochs or (patience is not None and done > 0 and stale >= patience)


def _advance(
    experiment: Experiment, state: RunState, row: Epoch, network: SiameseNetwork, optimizer: torch.optim.Optimizer
) -> None:
    """Takes an epoch into the state; the best weights are copied, since the network goes on changing."""
    state.history.append(row)
    state.weights = network.state_dict()
    state.optimizer = flatten_optimizer(optimizer)
    if experiment.keep == "best" and state.best_epoch == row.epoch:
        state.best = {name: tensor.clone() for name, tensor in state.weights.items()}


def _epoch(
    experiment: Experiment, data: TrainingData, network: SiameseNetwork, optimizer: torch.optim.Optimizer, number: int
) -> Epoch:
    """Trains once through the pairs in a new order, then validates."""
    started = time.perf_counter()
    torch.manual_seed(_seed(experiment, "dropout", number))
    rate = experiment.learning_rate_at(number)
    for group in optimizer.param_groups:
        group["lr"] = rate
    network.train()
    total_loss, right, seen = 0.0, 0, 0
    with tqdm(
        total=len(data.training), desc=f"epoch {number}/{experiment.epochs}", unit=" pairs", mininterval=1
    ) as bar:
        for images, same in _batches(experiment, data, number, next(network.parameters()).device):
            loss, logits = _step(experiment, network, optimizer, images, same)
            total_loss += loss * len(same)
            right += int(((logits >= 0) == (same > 0.5)).sum())
            seen += len(same)
            bar.set_postfix_str(_progress(total_loss / seen, right / seen, 2 * seen / (time.perf_counter() - started)))
            bar.update(len(same))
    trained_s = time.perf_counter() - started
    scores, labels = score_pairs(network, experiment.preprocessing, data.album, data.validation)
    bce, mse = cross_entropy(scores, labels), squared_error(scores, labels)
    return Epoch(
        epoch=number,
        learning_rate=rate,
        train_loss=total_loss / seen,
        train_accuracy=right / seen,
        validation_loss=mse if experiment.loss == "mse" else bce,
        validation_bce=bce,
        validation_mse=mse,
        validation_accuracy=accuracy(scores, labels, 0.5).value,
        seconds=time.perf_counter() - started,
        images_per_s=2 * seen / trained_s,
    )


def _step(
    experiment: Experiment, network: SiameseNetwork, optimizer: torch.optim.Optimizer, images: Tensor, same: Tensor
) -> tuple[float, Tensor]:
    """One step on 2B images, the left pictures first. Raises TrainingError before a loss that is not finite spreads."""
    optimizer.zero_grad(set_to_none=True)
    logits = network.compare(*network.embed(images).chunk(2))
    loss = batch_loss(experiment, logits, same)
    value = float(loss)
    if not torch.isfinite(loss):
        raise TrainingError(f"the loss became {value}; the last good epoch is kept, try a lower learning rate")
    loss.backward()
    optimizer.step()
    return value, logits.detach()


def _batches(
    experiment: Experiment, data: TrainingData, epoch: int, device: torch.device
) -> Iterator[tuple[Tensor, Tensor]]:
    """Images float32 (2B, 1, H, W), normalised and channels_last, and labels float32 (B,); the last may be smaller."""
    order = torch.randperm(len(data.training), generator=_generator(experiment, "order", epoch))
    changes = _generator(experiment, "augment", epoch)
    for chosen in order.split(experiment.batch_pairs):
        pairs = data.training[chosen]
        images = to_unit(data.album.pixels[torch.cat([pairs.left, pairs.right])])
        if experiment.augmentation:
            images = augment(images, draw(len(images), experiment.augmentation, changes))
        images = normalise(images.to(device), experiment.preprocessing)
        yield images.contiguous(memory_format=torch.channels_last), pairs.same.to(device)


def _generator(experiment: Experiment, purpose: str, epoch: int) -> torch.Generator:
    return torch.Generator().manual_seed(_seed(experiment, purpose, epoch))


def _seed(experiment: Experiment, purpose: str, epoch: int) -> int:
    """A seed for each purpose and epoch, so that none depends on how many numbers another has drawn."""
    return experiment.seed * 1_000_003 + epoch * 11 + ("initialise", "order", "augment", "dropout").index(purpose)


def _progress(loss: float, share_right: float, images_per_s: float) -> str:
    return f"loss {loss:.4f}, accuracy {share_right:.1%}, {images_per_s:.1f} images/s"
