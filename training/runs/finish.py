"""Finishes a run: writes its checkpoint, card, result and test scores."""

import csv
import json
from datetime import UTC, datetime
from pathlib import Path

import torch

from model.checkpoint import Description, Header, Provenance
from model.errors import TrainingError
from model.files import replacing
from model.imaging.canary import canary_sha256
from model.networks import architecture, embedder
from training import fitting, scoring
from training.data.album import Album, PairSet
from training.learning.experiment import Data, Experiment
from training.learning.loop import Trained
from training.runs import card, results
from training.statistics import rates, resampling, summary


def finish(
    experiment: Experiment[Data], trained: Trained, data: Data, test: PairSet | None, folder: Path, code: str
) -> Header:
    """Measures a trained network and writes checkpoint, card, test scores and `result.json` into `folder`.

    The threshold is chosen on the validation pairs; the test pairs, if any, are scored once. `code` is the version of
    the code that measures. Raises TrainingError if the folder cannot be written.
    """
    network = trained.network
    architecture.round_to_storage(network)
    points, curve = trained.recipe.finish()
    scores, same = scoring.score_pairs(network, data.album, data.validation)
    threshold = fitting.threshold_for_run(network, scores, same)
    summaries = [summary.measure("validation", scores, same, threshold.value)]
    if test is not None:
        scores, same = scoring.score_pairs(network, data.album, test)
        people = resampling.numbered(test.names_of(data.album.keys))
        summaries.append(summary.measure("test", scores, same, threshold.value, people=people, points=points))
    description = Description(
        name=experiment.name,
        network=experiment.network,
        preprocessing=experiment.preprocessing,
        threshold=threshold,
        trained_on=data.quality_ranges,
        operating_points=points,
        false_match_curve=curve,
        metrics=tuple(metric for each in summaries for metric in each.for_checkpoint(calibrated=network.calibrated)),
        canary_photo_sha256=canary_sha256(experiment.preprocessing),
        provenance=_provenance(experiment, trained, data, code),
    )
    header = embedder.save(folder / f"{experiment.name}.safetensors", network, description)
    try:
        _write_beside(folder, header)
        if test is not None:
            write_scores(folder / results.SCORES_FILE, data.album, test, scores)
            results.write_summary(folder / results.SUMMARY_FILE, summaries[-1])
        else:
            for name in (results.SCORES_FILE, results.SUMMARY_FILE):
                (folder / name).unlink(missing_ok=True)  # left by an earlier finish of the run
    except OSError as error:
        raise TrainingError(f"{folder}: cannot be written: {error}") from error
    return header


def _provenance(experiment: Experiment[Data], trained: Trained, data: Data, code: str) -> Provenance:
    return Provenance(
        experiment=experiment.as_json(),
        seed=experiment.seed,
        epochs=trained.epoch,
        data_sha256=data.album.sha256,
        pairs_sha256=data.pairs_sha256,
        validation_pairs_sharing_people=data.sharing_people,
        code_version=trained.code_version,
        measured_with=code,
        torch_version=", ".join(trained.torch_versions),
        resumed_with=trained.resumed_with,
        threads=torch.get_num_threads(),  # those of the whole run, since a resumed run needs as many
        changes=experiment.changes,
        created_utc=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _write_beside(folder: Path, header: Header) -> None:
    with replacing(folder / f"{header.name}.md") as path:
        path.write_text(card.format_card(header))
    with replacing(folder / results.RESULT_FILE) as path:
        path.write_text(json.dumps(header.model_dump(mode="json"), indent=1) + "\n")


def write_scores(path: Path, album: Album, pairs: PairSet, scores: rates.Scores) -> None:
    """Writes a row per pair: both pictures as PERSON/FILE without ending, 1 for the same person or 0, similarity."""
    with replacing(path) as partial_path, partial_path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["left", "right", "same", "similarity"])
        for (left, right), same, score in zip(pairs.names_of(album.keys), pairs.same.tolist(), scores, strict=True):
            writer.writerow([left, right, int(same), float(score)])
