"""What a finished run says of itself: its threshold, its figures and its checkpoint."""

import csv
import json
import subprocess
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import numpy as np
import torch

from model import __version__
from model.architecture import FaceNetwork
from model.checkpoint import Description, Header, Metric, Provenance, round_to_storage, save
from model.errors import TrainingError
from model.files import replacing
from model.quality import QualityRanges
from model.residual import ResidualNetwork
from model.similarity import FalseMatchCurve, OperatingPoint, Threshold, similarity
from training.album import Album
from training.calibration import calibration_error, platt
from training.card import format_card
from training.course import AnyData
from training.evaluation import (
    Estimate,
    Labels,
    Scores,
    accuracy,
    area_under_roc,
    best_threshold,
    bootstrap,
    cross_entropy,
    equal_error_rate,
    fnmr_at_fmr,
    squared_error,
)
from training.experiments import AnyExperiment
from training.head import fit_head, held_out_rates
from training.loop import Trained
from training.pairs import PairSet
from training.people_data import PeopleData
from training.scoring import score_pairs

RESULT_FILE = "result.json"
SCORES_FILE = "test-scores.csv"
LEAST_SIMILARITY, MOST_LOGIT = 1e-12, 40.0
"""What a similarity of 0 or 1 counts as, and beyond which logit it is one."""


def finish(
    experiment: AnyExperiment, trained: Trained, data: AnyData, test: PairSet | None, folder: Path, code: str
) -> Header:
    """Measures a trained network and writes checkpoint, card, test scores and `result.json` into `folder`.

    First the weights are rounded to what is stored, and a head that is fitted is fitted. The threshold is chosen on
    the validation pairs; the test pairs, where there are any, are read once. `code` is the code that measures.

    Raises TrainingError if the folder cannot be written.
    """
    network = trained.network
    round_to_storage(network)
    points, curve = _fit(experiment, network, data)
    scores, same = score_pairs(network, experiment.preprocessing, data.album, data.validation)
    calibrated = isinstance(network, ResidualNetwork)
    threshold = even_odds(len(scores)) if calibrated else choose_threshold(network, scores, same)
    metrics = measure("validation", scores, same, threshold.value, calibrated=calibrated)
    if test is not None:
        scores, same = score_pairs(network, experiment.preprocessing, data.album, test)
        metrics += measure("test", scores, same, threshold.value, calibrated=calibrated)
    description = Description(
        name=experiment.name,
        network=experiment.network,
        preprocessing=experiment.preprocessing,
        threshold=threshold,
        trained_on=_quality_ranges(data),
        operating_points=points,
        false_match_curve=curve,
        metrics=tuple(metrics),
        provenance=_provenance(experiment, trained, data, code),
    )
    header = save(folder / f"{experiment.name}.safetensors", network, description)
    try:
        _write_beside(folder, header)
        if test is not None:
            write_scores(folder / SCORES_FILE, data.album, test, scores)
    except OSError as error:
        raise TrainingError(f"{folder}: cannot be written: {error}") from error
    return header


def _write_beside(folder: Path, header: Header) -> None:
    with replacing(folder / f"{header.name}.md") as path:
        path.write_text(format_card(header))
    with replacing(folder / RESULT_FILE) as path:
        path.write_text(json.dumps(header.model_dump(mode="json"), indent=1) + "\n")


def _fit(
    experiment: AnyExperiment, network: FaceNetwork, data: AnyData
) -> tuple[tuple[OperatingPoint, ...], FalseMatchCurve | None]:
    """What is left to fit of a network that learned from people; nothing of one that learned from pairs."""
    if not isinstance(network, ResidualNetwork) or not isinstance(data, PeopleData):
        return (), None
    fit_head(network, experiment.preprocessing, data)
    return held_out_rates(network, experiment.preprocessing, data)


def even_odds(pairs: int) -> Threshold:
    """0.5 of similarities that were calibrated on so many validation pairs.

    Where errors of either kind cost alike, that is where a calibrated probability decides best. Of 1,702 pairs the
    threshold of highest accuracy is chance for the most part: 0.65 for one network of Experiment 5, 0.35 for another.
    """
    return Threshold(value=0.5, method="even odds", split="validation", pairs=pairs)


def choose_threshold(network: FaceNetwork, scores: Scores, same: Labels) -> Threshold:
    """The threshold of highest accuracy on validation pairs, never above what identical pictures score."""
    return Threshold(
        value=best_threshold(scores, same, ceiling=_similarity_of_identical(network)),
        method="highest accuracy",
        split="validation",
        pairs=len(scores),
    )


def likelier_from(network: FaceNetwork, scores: Scores, same: Labels) -> Threshold:
    """The similarity from which "same" is the likelier answer, were both as likely beforehand: by Platt's sigmoid.

    All pairs have a say in it, where the threshold of highest accuracy hangs on the few that are nearest. It is never
    above what identical pictures score; of scores that say nothing it is the threshold of highest accuracy.
    """
    inside = np.clip(scores, LEAST_SIMILARITY, 1 - LEAST_SIMILARITY)
    scale, bias = platt(np.log(inside / (1 - inside)), same)
    best = choose_threshold(network, scores, same)
    if scale <= 0:
        return best
    beforehand = np.log(same.sum() / (~same).sum())
    crossing = 1 / (1 + np.exp(np.clip((bias - beforehand) / scale, -MOST_LOGIT, MOST_LOGIT)))
    value = min(float(crossing), _similarity_of_identical(network))
    return best.model_copy(update={"value": value, "method": "even odds, by Platt's sigmoid"})


def _similarity_of_identical(network: FaceNetwork) -> float:
    """What two identical pictures score, or 1 where that depends on the picture."""
    identical = network.identical()
    return 1.0 if identical is None else float(similarity(identical))


def measure(split: str, scores: Scores, same: Labels, threshold: float, *, calibrated: bool = False) -> list[Metric]:
    """Every figure that is reported of a set of pairs, with its interval where it has one.

    Of similarities that are `calibrated` probabilities the calibration error is told too; the squared error is their
    Brier score.
    """

    def metric(name: str, figure: Estimate | float) -> Metric:
        if isinstance(figure, float):
            return Metric(name=name, split=split, value=figure, pairs=len(scores))
        interval = (figure.low, figure.high)
        return Metric(name=name, split=split, value=figure.value, pairs=len(scores), interval=interval)

    metrics = [
        metric("accuracy at 0.5", accuracy(scores, same, 0.5)),
        metric("accuracy at threshold", accuracy(scores, same, threshold)),
        metric("area under ROC", bootstrap(area_under_roc, scores, same)),
        metric("EER", bootstrap(equal_error_rate, scores, same)),
        metric("FNMR at FMR 1%", bootstrap(partial(fnmr_at_fmr, max_fmr=0.01), scores, same)),
        metric("cross-entropy", cross_entropy(scores, same)),
        metric("squared error", squared_error(scores, same)),
    ]
    return [*metrics, metric("calibration error", calibration_error(scores, same))] if calibrated else metrics


def format_metrics(metrics: Sequence[Metric]) -> str:
    """The figures as aligned lines for a terminal."""
    lines = []
    for m in metrics:
        interval = f"  95% {m.interval[0]:.4f} to {m.interval[1]:.4f}" if m.interval else ""
        lines.append(f"{m.split:<11} {m.name:<22} {m.value:.4f}{interval}  n={m.pairs}")
    return "\n".join(lines)


def write_scores(path: Path, album: Album, pairs: PairSet, scores: Scores) -> None:
    """A row for each pair: both pictures as PERSON/FILE without ending, 1 for the same person, similarity."""
    with replacing(path) as partial_path, partial_path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["left", "right", "same", "similarity"])
        rows = zip(pairs.left.tolist(), pairs.right.tolist(), pairs.same.tolist(), scores, strict=True)
        for left, right, same, score in rows:
            writer.writerow(["/".join(album.keys[left]), "/".join(album.keys[right]), int(same), float(score)])


def _quality_ranges(data: AnyData) -> QualityRanges | None:
    """Over the pictures that were trained on; None where faces were not looked for."""
    if not data.album.faces:
        return None
    return QualityRanges.of([data.album.faces[number].quality for number in data.trained_on.tolist()])


def _provenance(experiment: AnyExperiment, trained: Trained, data: AnyData, code: str) -> Provenance:
    return Provenance(
        experiment=as_json(experiment),
        seed=experiment.seed,
        epochs=trained.epoch,
        data_sha256=data.album.sha256,
        pairs_sha256=data.pairs_sha256,
        validation_pairs_sharing_people=data.sharing_people,
        code_version=trained.code_version,
        measured_with=code,
        torch_version=str(torch.__version__),
        created_utc=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def as_json(experiment: AnyExperiment) -> str:
    """An experiment as a checkpoint's provenance has it; network and preprocessing stand elsewhere in the header."""
    return json.dumps({**asdict(experiment), "network": None, "preprocessing": None})


def code_version() -> str:
    """The commit that the code is at, marked `-dirty` if it was changed since; the package's version outside git."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()  # noqa: S603
    except (OSError, subprocess.CalledProcessError):
        return __version__
