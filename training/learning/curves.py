"""The learning curves of a run as a PNG: loss and accuracy over its epochs."""

from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from model.files import replacing
from training.learning.history import Epoch

CURVES_FILE = "curves.png"


def draw_curves(path: Path, title: str, history: list[Epoch]) -> None:
    """Training against validation, two panels side by side; accuracy is at a similarity of 0.5.

    A run that learns from people trains on another loss than it validates, so each has an axis of its own; its training
    accuracy is a classifier's.
    """
    learns_people = any(row.validation_area is not None for row in history)
    trained, validated = (
        ("training, contrastive and margin", "validation, cross-entropy")
        if learns_people
        else ("training", "validation")
    )
    guessed = "training, by the classifier" if learns_people else "training"
    figure = Figure(figsize=(9, 3.5), layout="constrained")
    epochs = [row.epoch for row in history]
    losses, accuracies = figure.subplots(1, 2)
    other = losses.twinx() if learns_people else losses
    lines = losses.plot(epochs, [row.train_loss for row in history], "C0.-", label=trained)
    lines += other.plot(epochs, [row.validation_loss for row in history], "C1.-", label=validated)
    losses.set(title=f"{title}: loss", xlabel="epoch", ylabel=trained, ylim=(0, None))
    other.set(ylabel=validated if learns_people else "loss", ylim=(0, None))
    losses.legend(handles=lines)
    accuracies.plot(epochs, [row.train_accuracy for row in history], "C0.-", label=guessed)
    accuracies.plot(epochs, [row.validation_accuracy for row in history], "C1.-", label="validation")
    accuracies.set(title=f"{title}: accuracy", xlabel="epoch", ylabel="share of right answers")
    accuracies.set(ylim=(0 if learns_people else 0.4, 1))
    accuracies.legend()
    for panel in (losses, accuracies):
        panel.grid(alpha=0.3)
        panel.xaxis.set_major_locator(MaxNLocator(integer=True))
    with replacing(path) as partial:
        figure.savefig(partial, format="png", dpi=120)
