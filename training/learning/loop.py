"""The training loop of all recipes: it saves the run after each epoch, stops early, and resumes."""

import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from model import __version__
from model.errors import TrainingError
from model.files import alone_in
from model.networks.embedder import normalise
from model.networks.face_network import FaceNetwork
from training.learning import history, parallel
from training.learning.experiment import Batch, Data, Experiment, Recipe, require_finite
from training.learning.observers import Observer
from training.learning.starting import StartingPoint
from training.learning.state import RunState

STATE_FILE = "state.safetensors"
MEASURED_STEPS = 4


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A finished run. Its network has the weights of `epoch`.

    `code_version` is the code that it began with, and `resumed_with` the code that went on with it, if that was
    another. `torch_versions` trained it. Both are in the order of use.
    """

    recipe: Recipe
    epoch: int
    history: list[history.Epoch]
    code_version: str
    torch_versions: tuple[str, ...]
    resumed_with: tuple[str, ...] = ()

    @property
    def network(self) -> FaceNetwork:
        return self.recipe.network


def train(
    experiment: Experiment[Data],
    data: Data,
    folder: Path,
    device: torch.device,
    *,
    resume: bool = False,
    code: str = __version__,
    say: Callable[[str], object] | None = None,
    start: StartingPoint | None = None,
    observer: Observer | None = None,
) -> Trained:
    """Trains to the end, and saves the state in `folder` after every epoch.

    With `resume` the run continues from that state and ends with the same weights as an uninterrupted run. A new run
    records `code`, the version of the code. `say` is told how long the run will take, before it starts, and each
    epoch's figures. `start` has the tensors that an experiment with a `start` begins with. The first process tells
    `observer`. Raises TrainingError if the loss is not finite (the last good state is kept), if `folder` already holds
    a run, if another process trains in it, or if it cannot be written.
    """
    if experiment.precision == "auto":
        raise ValueError("a run needs a precision: use training.learning.precision.with_precision first")
    if experiment.start != (start.start if start else None):
        raise ValueError("a run that starts from a checkpoint needs its tensors, and no other run has any")
    recipe, run = experiment.recipe(data, device), experiment.identity(data.sha256)
    if start:
        start.apply(recipe)
    best = experiment.keep == "best"
    with ExitStack() as held:
        state = parallel.from_first(lambda: _begin(folder, experiment.name, run, resume, code, held))
        state.restore(recipe.state, recipe.optimizer)
        if not experiment.is_finished(state.history):
            _add_versions(folder, state, code)
            if say:
                left = experiment.epochs - len(state.history)
                hours = left * seconds_of_epoch(experiment, data, device) / 3600
                if parallel.rank() == 0:
                    say(f"at most {left} epochs, about {hours:.1f} hours")
        if not experiment.epochs and parallel.rank() == 0:
            state.save(folder / STATE_FILE, run)  # nothing is trained, but the folder has this run
        watching = observer if parallel.rank() == 0 else None
        if watching:
            watching.begin(experiment.name, run, state.history)
        while not experiment.is_finished(state.history):
            row = run_epoch(experiment, recipe, len(state.history) + 1, device)
            state.add_epoch(row, recipe.state, recipe.optimizer, keep_best=best)
            if parallel.rank() == 0:
                state.save(folder / STATE_FILE, run)
                _publish(folder, experiment.name, state)
                if say:
                    say(row.describe(experiment.epochs, experiment.validated_on))
                if watching:
                    watching.add_epoch(row)
    if state.history:  # otherwise nothing was to be learned
        recipe.state.load_state_dict(state.best if best else state.weights)
    epoch = history.best_epoch(state.history) if best else len(state.history)
    return Trained(
        recipe=recipe,
        epoch=epoch,
        history=state.history,
        code_version=state.code_version,
        torch_versions=tuple(state.torch_versions) or (str(torch.__version__),),  # older states have none
        resumed_with=tuple(state.resumed_with),
    )


def seconds_of_epoch(experiment: Experiment[Data], data: Data, device: torch.device) -> float:
    """How long an epoch takes, from a few steps and one validation of a recipe that is then thrown away.

    A run that follows is not changed: each epoch has its own random numbers. Raises TrainingError as steps do.
    """
    recipe = experiment.recipe(data, device)
    recipe.use_training_mode()
    times = [time.perf_counter()]
    for batch in islice(made_ahead(pinned(recipe.batches(1), device)), MEASURED_STEPS):
        take_step(experiment, recipe, batch, device)
        times.append(time.perf_counter())
    steps = [later - earlier for earlier, later in pairwise(times)]
    typical = min(steps[1:] or steps)  # the first is slower, as libraries prepare themselves
    started = time.perf_counter()
    recipe.validate()
    return typical * recipe.batches_in_epoch + time.perf_counter() - started


def run_epoch(experiment: Experiment[Any], recipe: Recipe, number: int, device: torch.device) -> history.Epoch:
    """Trains on all batches of an epoch, then validates. Raises TrainingError if a loss is not finite."""
    started = time.perf_counter()
    torch.manual_seed(experiment.seed_for("dropout", number) + parallel.rank())
    recipe.use_training_mode()
    sums = parallel.total(_train(experiment, recipe, number, device).to(device)).cpu()
    images_per_s = float(sums[3]) / (time.perf_counter() - started)
    found = parallel.from_first(recipe.validate)  # whose statistics are kept; all must stop at the same epoch
    return history.Epoch(
        epoch=number,
        learning_rate=experiment.learning_rate_at(number * recipe.batches_in_epoch - 1, recipe.batches_in_epoch),
        train_loss=float(sums[0] / sums[2]),
        train_accuracy=float(sums[1] / sums[2]),
        validation_loss=found.loss,
        validation_bce=found.bce,
        validation_mse=found.mse,
        validation_accuracy=found.accuracy,
        seconds=time.perf_counter() - started,
        images_per_s=images_per_s,
        validation_best_accuracy=found.best_accuracy,
        validation_area=found.area,
        validation_eer=found.eer,
        validation_pairs=found.pairs,
    )


def take_step(experiment: Experiment[Any], recipe: Recipe, batch: Batch, device: torch.device) -> tuple[float, int]:
    """Takes one step -> the mean loss, and the number of judged labels predicted correctly.

    Raises TrainingError before it changes the weights if the loss is not finite.
    """
    recipe.optimizer.zero_grad(set_to_none=True)
    images = normalise(batch.images.to(device, non_blocking=True), experiment.preprocessing)
    images = images.contiguous(memory_format=torch.channels_last)
    with torch.autocast(device.type, torch.bfloat16, enabled=experiment.precision == "bfloat16"):
        outputs = recipe.forward(images)
    loss, right = recipe.loss(outputs, replace(batch, labels=batch.labels.to(device, non_blocking=True)))
    value = loss.detach().item()
    require_finite(value)
    (loss * batch.weight).backward()
    recipe.optimizer.step()
    return value, int(right)


def _train(experiment: Experiment[Any], recipe: Recipe, number: int, device: torch.device) -> Tensor:
    """Takes an epoch's steps -> this process's sums (4,) of losses, correct predictions, judged labels and images."""
    sums, started = torch.zeros(4, dtype=torch.float64), time.perf_counter()
    count = recipe.batches_in_epoch
    title = f"epoch {number}/{experiment.epochs}"
    hidden = True if parallel.rank() > 0 else None  # None: shown on terminals alone
    with tqdm(total=count, desc=title, unit=" batches", mininterval=1, disable=hidden) as bar:
        for index, batch in enumerate(made_ahead(pinned(recipe.batches(number), device))):
            step = (number - 1) * count + index
            for group in recipe.optimizer.param_groups:
                group["lr"] = experiment.learning_rate_at(step, count)
            loss, right = take_step(experiment, recipe, batch, device)
            recipe.after_step(step)
            sums += torch.tensor([loss * batch.judged, right, batch.judged, len(batch.images)])
            seconds = time.perf_counter() - started
            run_s = seconds / (index + 1) * (experiment.epochs * count - step - 1)
            bar.set_postfix_str(_describe(sums, seconds, run_s))
            bar.update()
    return sums


def pinned(batches: Iterator[Batch], device: torch.device) -> Iterator[Batch]:
    """The same batches; those for a GPU in page-locked memory, from which they are copied while the CPU goes on."""
    if device.type != "cuda":
        return batches
    return map(_pinned, batches)


def _pinned(batch: Batch) -> Batch:
    tensors = {name: getattr(batch, name) for name in ("images", "labels", "for_teachers")}
    return replace(batch, **{name: each.pin_memory() for name, each in tensors.items() if each is not None})


def made_ahead(batches: Iterator[Batch]) -> Iterator[Batch]:
    """The same batches; while one is used, a thread makes the next."""
    with ThreadPoolExecutor(1, "batches") as thread:
        following = thread.submit(next, batches, None)
        while (batch := following.result()) is not None:
            following = thread.submit(next, batches, None)
            yield batch


def _describe(sums: Tensor, seconds: float, run_s: float) -> str:
    """The text of the progress bar, `seconds` into an epoch and with `run_s` seconds of the run left."""
    loss, accuracy = (sums[:2] / sums[2]).tolist()
    rate = float(sums[3]) * parallel.world_size() / seconds
    return (
        f"loss {loss:.4f}, accuracy {accuracy:.1%}, {rate:.1f} images/s, run ends in {run_s / 60:.0f} min at the latest"
    )


def _begin(folder: Path, name: str, run: dict[str, object], resume: bool, code: str, held: ExitStack) -> RunState:
    """The state to continue from, or an empty one. The folder is this process's until `held` is closed."""
    try:
        held.enter_context(alone_in(folder))
    except BlockingIOError as error:
        raise TrainingError(
            f"{folder}: another process trains in it; wait for that one, or choose another --out"
        ) from error
    except OSError as error:
        raise TrainingError(f"{folder}: cannot be written: {error}") from error
    path, metrics = folder / STATE_FILE, folder / history.METRICS_FILE
    if path.exists() and not resume:
        raise TrainingError(f"{folder} already holds a run; add --resume to continue it, or choose another --out")
    if not path.exists() and metrics.exists() and metrics.stat().st_size > 0:  # empty metrics: a run just began
        raise TrainingError(f"{folder} holds the metrics of a run, but no {STATE_FILE}; choose another --out")
    state = RunState.load(path, run) if path.exists() else RunState(code_version=code)
    # An unwritable folder is an error now; a run interrupted after saving its state gets its metrics.
    _publish(folder, name, state)
    return state


def _add_versions(folder: Path, state: RunState, code: str) -> None:
    """Records the versions of torch and the code that train now, and says so if others trained before."""
    version, before = str(torch.__version__), state.torch_versions[-1:]
    began = (state.resumed_with or [state.code_version])[-1]
    if code != began:
        state.resumed_with.append(code)
        if parallel.rank() == 0:
            tqdm.write(f"{folder}: was trained by the code {began} and goes on with {code}", file=sys.stderr)
    if before not in ([], [version]) and parallel.rank() == 0:
        tqdm.write(
            f"{folder}: was trained by torch {before[0]} and goes on with torch {version}; its weights will "
            "not be exactly those of an uninterrupted run",
            file=sys.stderr,
        )
    if before != [version]:
        state.torch_versions.append(version)


def _publish(folder: Path, name: str, state: RunState) -> None:
    history.write_metrics(folder / history.METRICS_FILE, state.history)
    try:
        if state.history:
            history.draw_curves(folder / history.CURVES_FILE, name, state.history)
    except OSError as error:
        raise TrainingError(f"{folder}: cannot be written: {error}") from error
