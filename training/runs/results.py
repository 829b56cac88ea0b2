"""The files in a finished run's folder, with later measurements of its checkpoint: reading them."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import fmean
from typing import TypeVar

import numpy as np
from pydantic import TypeAdapter, ValidationError

from model.checkpoint import Header
from model.errors import DataError, TrainingError
from model.files import replacing
from model.similarity import Metric
from training import metrics
from training.learning import history
from training.learning.experiment import Data, Experiment
from training.runs.records import AllPairsRates, Elsewhere, ErrorAnalysis, Measurement, Record, ScoredPair, Variant
from training.statistics import decisions, rates, resampling
from training.statistics.summary import Summary, measure

RESULT_FILE = "result.json"
SCORES_FILE = "test-scores.csv"
SUMMARY_FILE = "test-summary.json"
ALL_PAIRS_FILE = "all-pairs.json"
ERRORS_FILE = "errors.json"
VARIANTS_FOLDER = "evaluations"
ELSEWHERE_FOLDER = "elsewhere"
VIEW2_FILE = "view2.json"


Stored = TypeVar("Stored", bound=Record)
OfCheckpoint = TypeVar("OfCheckpoint", bound=Measurement)
SUMMARY = TypeAdapter(Summary)


@dataclass(frozen=True, kw_only=True)
class Run:
    """A finished run. `pairs` has the names of the two pictures of each test pair.

    `stored` is the summary of the test pairs; older runs have none.
    """

    header: Header
    history: list[history.Epoch]
    pairs: list[tuple[str, str]]
    scores: rates.Scores
    same: rates.Labels
    stored: Summary | None = None

    def metric(self, name: str, split: str = "test") -> Metric:
        """The metric with that name and split. Raises DataError if there is none."""
        return self._find(self.header.metrics, name, split)

    def over_people(self, name: str) -> Metric:
        """The metric with that name and its interval over people. Raises DataError if there is none."""
        return self._find(self.summary.over_people, name, "test")

    @cached_property
    def summary(self) -> Summary:
        """All metrics of the test pairs: as stored, otherwise measured now."""
        if self.stored:
            return self.stored
        header, people = self.header, resampling.numbered(self.pairs)
        points = header.operating_points
        return measure("test", self.scores, self.same, header.threshold.value, people=people, points=points)

    @property
    def right(self) -> rates.Labels:
        """bool (P,): which pairs are decided correctly at the run's threshold."""
        right: rates.Labels = (self.scores >= self.header.threshold.value) == self.same
        return right

    def roc(self) -> tuple[rates.Scores, rates.Scores]:
        """FMR and FNMR of the test pairs at every threshold, as `rates.roc` gives them."""
        return rates.roc(self.scores, self.same)

    def hardest(self, count: int) -> list[tuple[decisions.Ranked, list[ScoredPair]]]:
        """For each kind, the `count` pairs furthest from the threshold and closest to it; wrong decisions first."""
        kinds = decisions.hardest(self.scores, self.same, self.header.threshold.value, count)
        return [(kind, [self._pair(number) for number in kind.indices]) for kind in kinds]

    def _pair(self, number: int) -> ScoredPair:
        left, right = self.pairs[number]
        return ScoredPair(left=left, right=right, similarity=float(self.scores[number]))

    def _find(self, found: Sequence[Metric], name: str, split: str) -> Metric:
        try:
            return metrics.find_metric(found, name, split)
        except DataError as error:
            raise DataError(f"{self.header.name}: {error}") from error


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A finished run with later measurements of its checkpoint."""

    run: Run
    all_pairs: AllPairsRates | None = None
    errors: ErrorAnalysis | None = None
    variants: Sequence[Variant] = ()
    elsewhere: Sequence[Elsewhere] = ()


def read_run(folder: Path) -> Run:
    """Reads a run's folder. Raises DataError or TrainingError if a file is missing or damaged."""
    summary = folder / SUMMARY_FILE
    try:
        header = Header.model_validate_json((folder / RESULT_FILE).read_bytes())
        with (folder / SCORES_FILE).open(newline="") as file:
            rows = list(csv.DictReader(file))
        epochs = history.read_metrics(folder / history.METRICS_FILE)
        if not rows or (header.provenance.epochs and not epochs):
            raise ValueError(f"{history.METRICS_FILE if rows else SCORES_FILE} is empty")
        return Run(
            header=header,
            history=epochs,
            pairs=[(row["left"], row["right"]) for row in rows],
            scores=np.array([float(row["similarity"]) for row in rows]),
            same=np.array([row["same"] == "1" for row in rows]),
            stored=SUMMARY.validate_json(summary.read_bytes()) if summary.exists() else None,
        )
    except (OSError, KeyError, TypeError, ValueError, csv.Error) as error:
        raise DataError(f"{folder}: cannot be read as the results of a run: {error}") from error


def find_result(folder: Path, experiment: Experiment[Data], data: Data, *, tested: bool = True) -> Header | None:
    """The header of a run in its folder, None if the run is not finished. With `tested` its test must be finished, too.

    Raises TrainingError if the folder holds the result of another run, or one that cannot be read.
    """
    path = folder / RESULT_FILE
    if not path.exists() or (tested and not (folder / SCORES_FILE).exists()):
        return None
    try:
        header = Header.model_validate_json(path.read_bytes())
    except (OSError, ValueError) as error:
        raise TrainingError(f"{path}: cannot be read as the result of a run") from error
    found = header.provenance
    networks = (header.network, header.preprocessing) == (experiment.network, experiment.preprocessing)
    wanted = (experiment.as_json(), data.album.sha256, data.pairs_sha256)
    if not networks or (found.experiment, found.data_sha256, found.pairs_sha256) != wanted:
        raise TrainingError(f"{folder}: holds the result of another run; choose another --out")
    return header


def write_summary(path: Path, summary: Summary) -> None:
    """Stores the summary of a run's test pairs for `read_run`."""
    with replacing(path) as partial:
        partial.write_bytes(SUMMARY.dump_json(summary, indent=1) + b"\n")


def read_measured(folder: Path, run: Run) -> Measured:
    """Adds the later measurements in a run's folder. Raises DataError if one is damaged or of another checkpoint."""
    all_pairs, errors = folder / ALL_PAIRS_FILE, folder / ERRORS_FILE
    variants, elsewhere = (sorted(folder.glob(f"{name}/*.json")) for name in (VARIANTS_FOLDER, ELSEWHERE_FOLDER))
    return Measured(
        run=run,
        all_pairs=_read_of(run, all_pairs, AllPairsRates) if all_pairs.exists() else None,
        errors=_read_of(run, errors, ErrorAnalysis) if errors.exists() else None,
        variants=[_read_of(run, path, Variant) for path in variants],
        elsewhere=[_read_of(run, path, Elsewhere) for path in elsewhere],
    )


def read_record(path: Path, kind: type[Stored]) -> Stored:
    try:
        return kind.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise DataError(f"{path}: cannot be read; measure it again") from error


def _read_of(run: Run, path: Path, kind: type[OfCheckpoint]) -> OfCheckpoint:
    """A measurement of a run's checkpoint. Raises DataError if it is of another checkpoint, as after a new finish."""
    found = read_record(path, kind)
    if found.checkpoint_sha256 != run.header.checkpoint_sha256:
        raise DataError(
            f"{path}: belongs to another checkpoint than {run.header.name}'s; measure it again or delete it"
        )
    return found


def over_seeds(runs: Sequence[Run], name: str) -> rates.Estimate:
    """The mean, lowest and highest value of a metric over runs that differ only in the seed."""
    values = [run.metric(name).value for run in runs]
    return rates.Estimate(value=fmean(values), low=min(values), high=max(values))


def compare_runs(first: Run, second: Run) -> decisions.McNemar | None:
    """McNemar's test over the test pairs that both scored, each at its own threshold; None if there are none."""
    ours, theirs = _right_by_name(first), _right_by_name(second)
    both = sorted(ours.keys() & theirs.keys())
    if not both:
        return None
    return decisions.mcnemar(np.array([ours[pair] for pair in both]), np.array([theirs[pair] for pair in both]))


def _right_by_name(run: Run) -> dict[tuple[str, str], bool]:
    """Whether each pair is decided correctly; a pair's key is its pictures' names in alphabetical order."""
    names = [(min(pair), max(pair)) for pair in run.pairs]
    return dict(zip(names, run.right.tolist(), strict=True))
