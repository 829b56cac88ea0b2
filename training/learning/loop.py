"""One run: epoch after epoch, saved after each, stopped early, resumed."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from model import __version__
from model.errors import TrainingError
from model.files import replacing
from model.networks.architecture import FaceNetwork
from training.data.pair_data import AnyData
from training.learning import parallel
from training.learning.curves import draw_curves
from training.learning.experiments import AnyExperiment
from training.learning.state import (
    Epoch,
    RunState,
    best_epoch,
    flatten_optimizer,
    load_state,
    restore_optimizer,
    save_state,
)
from training.learning.trainer import Trainer, new_trainer

STATE_FILE = "state.safetensors"
METRICS_FILE = "metrics.jsonl"
CURVES_FILE = "curves.png"


@dataclass(frozen=True, kw_only=True)
class Trained:
    """The network that a run keeps, from which epoch it is, how the run went, and with which code it began."""

    network: FaceNetwork
    epoch: int
    history: list[Epoch]
    code_version: str


def train(
    experiment: AnyExperiment,
    data: AnyData,
    folder: Path,
    device: torch.device,
    *,
    resume: bool = False,
    code: str = __version__,
) -> Trained:
    """Trains to the end and returns the network to keep; after every epoch the state is in `folder`.

    With `resume` it goes on from that state and ends in the same weights as a run that was never interrupted; `code`
    says with which code a new run begins. Raises TrainingError if the loss stops being finite (the last good state
    stays), if `folder` holds a run already, or if it cannot be written.
    """
    trainer = new_trainer(experiment, data, device)
    state = parallel.from_first(lambda: _begin(experiment, data, folder, resume, code))
    if state.history:
        trainer.state.load_state_dict(state.weights)
        restore_optimizer(trainer.optimizer, state.optimizer)
    while not finished(experiment, state.history):
        row = trainer.run_epoch(len(state.history) + 1)
        _advance(experiment, state, row, trainer)
        if parallel.rank() == 0:
            save_state(folder / STATE_FILE, state, experiment, data.sha256)
            _publish(experiment, state, folder)
    best = experiment.keep == "best"
    trainer.state.load_state_dict(state.best if best else state.weights)
    epoch = best_epoch(state.history) if best else len(state.history)
    return Trained(network=trainer.network, epoch=epoch, history=state.history, code_version=state.code_version)


def _begin(experiment: AnyExperiment, data: AnyData, folder: Path, resume: bool, code: str) -> RunState:
    """The state to go on from, or an empty one; what cannot be written is found out now and not after an epoch."""
    path = folder / STATE_FILE
    if path.exists() and not resume:
        raise TrainingError(f"{folder} already holds a run; add --resume to go on with it, or choose another --out")
    if not path.exists() and _has_metrics(folder):
        raise TrainingError(f"{folder} holds the figures of a run whose {STATE_FILE} is gone; choose another --out")
    state = RunState(weights={}, optimizer={}, code_version=code)
    if path.exists():
        state = load_state(path, experiment, data.sha256)
    _publish(experiment, state, folder)  # an interruption may have come between a state and its metrics
    return state


def _has_metrics(folder: Path) -> bool:
    """Whether an epoch was finished there; the file is written empty when a run begins."""
    path = folder / METRICS_FILE
    return path.exists() and path.stat().st_size > 0


def finished(experiment: AnyExperiment, history: list[Epoch]) -> bool:
    """Whether a run ends here: all epochs done, or so many since the best that patience is at its end."""
    stale = len(history) - best_epoch(history)
    patience = experiment.patience_epochs
    return len(history) >= experiment.epochs or (patience is not None and bool(history) and stale >= patience)


def write_metrics(path: Path, history: list[Epoch]) -> None:
    """A JSON object per epoch, one a line, written anew each time so that a resumed run leaves no double rows.

    Raises TrainingError if it cannot be written.
    """
    try:
        with replacing(path) as partial:
            partial.write_text("".join(json.dumps(asdict(row)) + "\n" for row in history))
    except OSError as error:
        raise TrainingError(f"{path.parent}: cannot be written: {error}") from error


def read_metrics(path: Path) -> list[Epoch]:
    """The rows of a metrics file. Raises TrainingError."""
    try:
        return [Epoch(**json.loads(line)) for line in path.read_text().splitlines()]
    except (OSError, TypeError, ValueError) as error:
        raise TrainingError(f"{path}: cannot be read as the metrics of a run: {error}") from error


def _publish(experiment: AnyExperiment, state: RunState, folder: Path) -> None:
    write_metrics(folder / METRICS_FILE, state.history)
    try:
        if state.history:
            draw_curves(folder / CURVES_FILE, experiment.name, state.history)
    except OSError as error:
        raise TrainingError(f"{folder}: cannot be written: {error}") from error


def _advance(experiment: AnyExperiment, state: RunState, row: Epoch, trainer: Trainer) -> None:
    """Takes an epoch into the state; the best weights are copied, since the network goes on changing."""
    state.history.append(row)
    state.weights = trainer.state.state_dict()
    state.optimizer = flatten_optimizer(trainer.optimizer)
    if experiment.keep == "best" and best_epoch(state.history) == row.epoch:
        state.best = {name: tensor.clone() for name, tensor in state.weights.items()}
