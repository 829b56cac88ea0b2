"""Learning curves as a PNG: loss and accuracy over the epochs, training against validation."""

from pathlib import Path

from matplotlib.figure import Figure

from model.files import replacing
from training.state import Epoch


def draw_curves(path: Path, title: str, history: list[Epoch]) -> None:
    """Two panels side by side; accuracy is at a similarity of 0.5.

    A run that learns from people trains on another loss than it validates, and its training accuracy is a classifier's.
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
    losses.plot(epochs, [row.train_loss for row in history], marker=".", label=trained)
    losses.plot(epochs, [row.validation_loss for row in history], marker=".", label=validated)
    losses.set(title=f"{title}: loss", xlabel="epoch", ylim=(0, None))
    accuracies.plot(epochs, [row.train_accuracy for row in history], marker=".", label=guessed)
    accuracies.plot(epochs, [row.validation_accuracy for row in history], marker=".", label="validation")
    accuracies.set(title=f"{title}: accuracy", xlabel="epoch", ylim=(0 if learns_people else 0.4, 1))
    for panel in (losses, accuracies):
        panel.grid(alpha=0.3)
        panel.legend()
    with replacing(path) as partial:
        figure.savefig(partial, format="png", dpi=120)
