"""Folders of finished runs with made-up scores: what a run leaves behind, without the hours."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from model.checkpoint import Header
from model.imaging.preprocessing import PreprocessingConfig
from tests.conftest import describe
from training.learning.history import METRICS_FILE, Epoch, write_metrics
from training.runs.results import RESULT_FILE, SCORES_FILE
from training.statistics.rates import Labels, Scores
from training.statistics.summary import measure

ROW = Epoch(
    epoch=1, learning_rate=1e-3, train_loss=0.6, train_accuracy=0.6, validation_loss=0.5, validation_bce=0.5,
    validation_mse=0.2, validation_accuracy=0.7, seconds=60.0, images_per_s=10.0,
)  # fmt: skip


def write_run(
    folder: Path,
    pairs: Sequence[tuple[str, str]],
    scores: Scores,
    *,
    threshold: float = 0.5,
    calibrated: bool = False,
    preprocessing: PreprocessingConfig | None = None,
    row: Epoch = ROW,
) -> Path:
    """Writes the results of a run that bears the folder's name; pairs of one person are known by the name."""
    same: Labels = np.array([left.split("/")[0] == right.split("/")[0] for left, right in pairs])
    measured = measure("test", scores, same, threshold).for_checkpoint(calibrated=calibrated)
    metrics = [metric.model_copy(update={"split": split}) for split in ("validation", "test") for metric in measured]
    described = describe(name=folder.name, threshold=threshold, preprocessing=preprocessing)
    header = Header(
        **dict(described.model_copy(update={"metrics": tuple(metrics)})),
        canary_similarity=0.5,
        embedding_sha256="e" * 64,
        checkpoint_sha256="c" * 64,
    )
    folder.mkdir(parents=True)
    (folder / RESULT_FILE).write_text(json.dumps(header.model_dump(mode="json")))
    write_metrics(folder / METRICS_FILE, [row])
    with (folder / SCORES_FILE).open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["left", "right", "same", "similarity"])
        for (left, right), genuine, score in zip(pairs, same.tolist(), scores.tolist(), strict=True):
            writer.writerow([left, right, int(genuine), score])
    return folder
