"""The accuracy page: ours beside the reference and published systems, from what runs leave behind, without pictures."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from model.files import replacing
from training.learning.curves import draw_curves
from training.reports import accuracy_tables as tables
from training.reports import plots
from training.runs.read import Measured, Run, read_measured, read_record
from training.runs.records import VIEW2_FILE, ErrorAnalysis, View2

LOG_FILE = "accuracy-log.md"
# Whose DET curves are drawn where they are all there: more are not told apart.
DRAWN = (tables.BASELINE, "experiment-5-unaligned", "experiment-5")

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
    measured = {name: read_measured(results / name, run) for name, run in runs.items()}
    folds = [read_record(path, View2) for path in sorted(results.glob(f"*/{VIEW2_FILE}"))]
    for name, run in runs.items():
        draw_curves(out / f"curves-{name}.png", name, run.history)
    drawn = [runs[name] for name in DRAWN] if set(DRAWN) <= set(runs) else runs.values()
    plots.draw_det(out / "det.png", list(drawn))
    log = results / LOG_FILE
    path = out / "accuracy.md"
    with replacing(path) as partial:
        partial.write_text(_page(measured, folds, log.read_text() if log.exists() else ""))
    return path


def _page(measured: Mapping[str, Measured], folds: Sequence[View2], log: str) -> str:
    mcnemar, points = tables.table_mcnemar(measured), tables.table_operating_points(measured)
    variants, seeds = tables.table_variants(measured), tables.table_seeds(measured)
    analysed = {name: found.errors for name, found in measured.items() if found.errors}
    parts = [
        "# Accuracy",
        INTRODUCTION,
        "## Beside the reference and published systems",
        tables.table_systems(measured, folds),
        *map(str, folds),
        *(["## Over seeds", SEEDS, seeds] if seeds else []),
        "## Error rates",
        tables.table_rates(measured),
        CALIBRATION,
        "![DET curves on the test pairs](det.png)",
        *(["## Operating points", POINTS, points] if points else []),
        *([f"## Against {tables.BASELINE}", MCNEMAR, mcnemar] if mcnemar else []),
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
    return [title, tables.table_errors(found), tables.table_hardest(found)]
