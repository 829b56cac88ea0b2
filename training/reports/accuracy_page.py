"""The accuracy page: ours beside the reference and published systems, from what runs leave behind, without pictures."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from model.errors import DataError
from model.files import replacing
from training.measuring.all_pairs import ALL_PAIRS_FILE, AllPairsRates
from training.measuring.error_analysis import ERRORS_FILE, ErrorAnalysis
from training.measuring.variants import VARIANTS_FOLDER, Variant
from training.measuring.view2_results import VIEW2_FILE, View2, format_view2
from training.reports.accuracy_tables import (
    BASELINE,
    Measured,
    over_people,
    table_figures,
    table_mcnemar,
    table_operating_points,
    table_seeds,
    table_systems,
    table_variants,
)
from training.reports.error_tables import table_errors, table_hardest
from training.reports.plots import draw_curves, draw_det
from training.runs.read import Run

LOG_FILE = "accuracy-log.md"
# Whose DET curves are drawn where they are all there: more are not told apart.
DRAWN = (BASELINE, "experiment-5-unaligned", "experiment-5")
Stored = TypeVar("Stored", bound=BaseModel)
OfCheckpoint = TypeVar("OfCheckpoint", AllPairsRates, ErrorAnalysis, Variant)

INTRODUCTION = """\
Made by `python -m training report` from the results of the runs. Rows marked "View 1" learned on LFW's DevTrain and
were measured on the 1,000 pairs of pairsDevTest, once unless the log's table of readings says otherwise. The log
also says which choices began from trials that others had measured on these pairs. Systems that learned from pairs
decide at the threshold of highest accuracy on validation pairs; those that learned from people decide at 0.5, for
their similarities are calibrated on validation pairs, unless the log says otherwise. Tables of errors name the
threshold. The published figures are on View 2: the mean of ten folds, each scored by a system that learned from the
other nine, with its standard error. View 1 is one draw of 1,000 pairs, with fewer people to learn from; the two
kinds of figures are near each other and not the same. A row of ours on View 2 says how many folds it rests on.

Categories are those of LFW's results page: "image-restricted" learns from labelled pairs alone, "unrestricted" from
who is who; "no outside data" means that nothing saw faces outside LFW, "label-free outside data" that something did
without their names, as the detector did that straightens faces.

Pairs share people, so there are two 95% intervals: over pairs (Wilson's for accuracy), for other pairs of the same
people, and over people, for other people, by drawing people with replacement, with the variance corrected as the
log says."""

CALIBRATION = """\
ECE is the expected calibration error over 15 bins of equally many pairs, Brier the mean squared error of the
similarity. Of 1,000 pairs with the similarities of Experiment 5 the ECE of probabilities that hold exactly is 0.010
to 0.029 (95% of 500 drawn labellings), so none of that experiment's can be told from them. A similarity of
Experiment 5 is the probability of "same person" if half of all pairs that are compared are genuine. If 1 in 100 is,
a similarity of 0.5 means about 1%: take an operating point then. All intervals of this table are over people; those
in the cards and in reproduction.md are over pairs. The rate at 0.1% rests on all pairs of the pictures of
peopleDevTest; two people with more than a hundred pictures each have half of its genuine pairs, so it stands there
a second time with each person counting alike."""

SEEDS = "The mean over runs that differ in nothing but the seed, and the lowest and the highest of them."

POINTS = """\
Thresholds were chosen on the split, and the FMR beside them is of the same pairs. The last two columns are what they
do to the test pairs, with Wilson's intervals over pairs; 500 impostor pairs cannot confirm a rate of 0.1%."""

COMMANDS = """\
Each figure is made again by one command; `FOLDER` has LFW's archives and lists.

```sh
.venv/bin/python -m training run experiment-5 --data FOLDER              # or with --seed 1, 2
.venv/bin/python -m training run experiment-5-unaligned --data FOLDER    # no outside data
.venv/bin/python -m training view2 experiment-5 --data FOLDER            # ten folds, or some with --folds 1 2
.venv/bin/python -m training evaluate CHECKPOINT --data FOLDER --no-flip # or --head cosine, --images lfw
.venv/bin/python -m training all-pairs CHECKPOINT --data FOLDER          # FNMR where false matches are rare
.venv/bin/python -m training errors RUN --data FOLDER                    # by yaw, other faces, size, sharpness
.venv/bin/python -m training report --results RESULTS --out OUT          # this page
```"""

MCNEMAR = """\
McNemar's exact test on the pairs that both were tested on, each run at its own threshold. It takes pairs for
independent, which pairs that share people are not quite."""

ERRORS = """\
Yaw is estimated from five landmarks, good to some ten degrees. A pair counts by its more turned, smaller or less
sharp face, measured where faces are found and straightened; quarters are of the test pairs. Names are LFW's file
names; nothing is guessed from them."""


def write_accuracy(results: Path, out: Path, runs: Mapping[str, Run]) -> Path:
    """Writes `accuracy.md` and its pictures into `out` from those runs of `results`. Raises DataError or OSError."""
    measured = {name: _measured(results / name, run) for name, run in runs.items()}
    folds = [_read(path, View2) for path in sorted(results.glob(f"*/{VIEW2_FILE}"))]
    for name, run in runs.items():
        draw_curves(out / f"curves-{name}.png", name, run.history)
    drawn = [runs[name] for name in DRAWN] if set(DRAWN) <= set(runs) else runs.values()
    draw_det(out / "det.png", [(run.header.name, run.scores, run.same) for run in drawn])
    log = results / LOG_FILE
    path = out / "accuracy.md"
    with replacing(path) as partial:
        partial.write_text(_page(measured, folds, log.read_text() if log.exists() else ""))
    return path


def _page(measured: Mapping[str, Measured], folds: Sequence[View2], log: str) -> str:
    mcnemar, points = table_mcnemar(measured), table_operating_points(measured)
    variants, seeds = table_variants(measured), table_seeds(measured)
    analysed = {name: found.errors for name, found in measured.items() if found.errors}
    parts = [
        "# Accuracy",
        INTRODUCTION,
        "## Beside the reference and published systems",
        table_systems(measured, folds),
        *(format_view2(found) for found in folds),
        *(["## Over seeds", SEEDS, seeds] if seeds else []),
        "## Error rates",
        table_figures(measured),
        CALIBRATION,
        "![DET curves on the test pairs](det.png)",
        *(["## Operating points", POINTS, points] if points else []),
        *([f"## Against {BASELINE}", MCNEMAR, mcnemar] if mcnemar else []),
        *(["## On other pictures, and with parts left out", variants] if variants else []),
        *(["## Where they are wrong", ERRORS] if analysed else []),
        *(part for name, found in analysed.items() for part in _errors(name, found)),
        "## Commands",
        COMMANDS,
        "## Learning curves",
        *(f"![{name}](curves-{name}.png)" for name in measured),
        *([log.strip()] if log else []),
    ]
    return "\n\n".join(parts) + "\n"


def _errors(name: str, found: ErrorAnalysis) -> list[str]:
    absent = f" {found.faceless} pairs are left out, in which a face was not found." if found.faceless else ""
    title = f"### {name}\n\n{found.pairs} test pairs at the threshold {found.threshold:.4f}.{absent}"
    return [title, table_errors(found), table_hardest(found)]


def _measured(folder: Path, run: Run) -> Measured:
    all_pairs, errors = folder / ALL_PAIRS_FILE, folder / ERRORS_FILE
    return Measured(
        run=run,
        over_people=over_people(run),
        all_pairs=_read_of(run, all_pairs, AllPairsRates) if all_pairs.exists() else None,
        errors=_read_of(run, errors, ErrorAnalysis) if errors.exists() else None,
        variants=[_read_of(run, path, Variant) for path in sorted(folder.glob(f"{VARIANTS_FOLDER}/*.json"))],
    )


def _read_of(run: Run, path: Path, kind: type[OfCheckpoint]) -> OfCheckpoint:
    """What was measured of a run's checkpoint. Raises DataError if that was an earlier end of the run."""
    found = _read(path, kind)
    if found.checkpoint_sha256 != run.header.checkpoint_sha256:
        raise DataError(f"{path}: is of another checkpoint than {run.header.name}'s; measure it again or delete it")
    return found


def _read(path: Path, kind: type[Stored]) -> Stored:
    try:
        return kind.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise DataError(f"{path}: cannot be read, measure it again") from error
