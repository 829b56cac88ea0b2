"""The accuracy page: our runs compared with the reference and published systems. Needs only the runs' results."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from model.similarity import OperatingPoint
from training import metrics
from training.reports import elsewhere_tables, error_tables, literature, markdown, outside
from training.runs import records, results

BASELINE = "experiment-2"
# The runs whose DET curves are drawn, if all of them exist; more curves would be hard to tell apart.
DRAWN = (BASELINE, "experiment-5-unaligned", "experiment-5", "experiment-7", "experiment-12")

INTRODUCTION = """\
Written by `python -m training report` from the results of the runs.

"View 1": trained on LFW's DevTrain and tested on the 1,000 pairs of pairsDevTest, once unless the log's table of
readings says otherwise. "View 2": the mean of ten folds with its standard error, each fold scored by a system that
learned from the other nine; our rows say how many folds are done. The two protocols give similar but not equal
metrics: View 1 is one draw of 1,000 pairs, with fewer people to learn from. The log says which choices began from
trials that others had measured on these pairs.

Unless the log says otherwise, systems that learned from pairs decide at the threshold of highest accuracy on
validation pairs, and those that learned from people at 0.5, since their similarities are calibrated on validation
pairs.

Categories are those of LFW's results page. "Image-restricted" systems learn from labelled pairs alone, "unrestricted"
ones from people's names. With "no outside data" no part was trained on faces outside LFW; with "label-free outside
data" a part was, without names (here the face detector).

There are two 95% intervals, since pairs share people. The one over pairs (Wilson's for accuracy) is for other pairs
of the same people. The one over people is for other people: people are drawn with replacement, and the variance is
corrected as the log says."""

CALIBRATION = """\
ECE is the expected calibration error over 15 bins of equally many pairs, Brier the mean squared error of the
similarity. For 1,000 pairs with Experiment 5's similarities, exact probabilities have an ECE of 0.010 to 0.029 (95%
of 500 drawn labellings), so Experiment 5's ECE cannot be distinguished from that of exact probabilities.

A similarity of Experiment 5 is the probability of "same person" if half of all compared pairs are genuine. If only 1
in 100 is, a similarity of 0.5 means about 1%; use an operating point then.

All intervals of this table are over people; those in the cards and in reproduction.md are over pairs. The rates at
0.1% are over all pairs of the pictures of peopleDevTest. Two people with more than a hundred pictures each have half
of its genuine pairs, so a second column gives every person the same weight."""

SEEDS = "The mean, and in brackets the lowest and highest value, over runs that differ only in the seed."

POINTS = """\
Thresholds were chosen on the split, and the FMR next to them is of the same pairs. The last two columns are measured
on the test pairs, with Wilson's intervals over pairs; 500 impostor pairs cannot confirm a rate of 0.1%."""

COMMANDS = """\
Each metric is measured by one command; `FOLDER` has LFW's archives and lists.

```sh
.venv/bin/python -m training run experiment-12 --data FOLDER
.venv/bin/python -m training run experiment-5 --data FOLDER              # or with --seed 1, 2
.venv/bin/python -m training run experiment-5-unaligned --data FOLDER    # no outside data
.venv/bin/python -m training view2 experiment-5 --data FOLDER            # ten folds, or some with --folds 1 2
.venv/bin/python -m training evaluate CHECKPOINT --data FOLDER --no-flip # or --head cosine, --images lfw
.venv/bin/python -m training all-pairs CHECKPOINT --data FOLDER          # FNMR where false matches are rare
.venv/bin/python -m training elsewhere CHECKPOINT --data PEOPLE --calibrate 20 # any folder of other people; with
    # --data FOLDER --images lfw-deepfunneled --held-out --face center the people whom the run held out
.venv/bin/python -m training errors RUN --data FOLDER                    # by yaw, other faces, size, sharpness
.venv/bin/python -m training report --results RESULTS --out OUT          # this page
```"""

CHANGED = """\
These runs are not those of the experiments that they vary."""

MCNEMAR = """\
McNemar's exact test on the pairs that both runs were tested on, each at its own threshold. The test assumes
independent pairs, which is not quite true of pairs that share people."""


def choose_drawn(runs: Mapping[str, results.Run]) -> list[results.Run]:
    return [runs[name] for name in DRAWN] if set(DRAWN) <= set(runs) else list(runs.values())


def format_page(folder: Path, runs: Mapping[str, results.Run], log: str) -> str:
    """The page on these runs of a folder, with their later measurements and the text of the log. Raises DataError."""
    measured = {name: results.read_measured(folder / name, run) for name, run in runs.items()}
    folds = [results.read_record(path, records.View2) for path in sorted(folder.glob(f"*/{results.VIEW2_FILE}"))]
    mcnemar, points = _table_mcnemar(measured), _table_operating_points(measured)
    variants, seeds = _table_variants(measured), _table_seeds(measured)
    analysed = {name: found.errors for name, found in measured.items() if found.errors}
    elsewhere = {name: found.elsewhere for name, found in measured.items()} | outside.read_elsewhere(folder)
    parts = [
        "# Accuracy",
        INTRODUCTION,
        "## Compared with the reference and published systems",
        _table_systems(measured, folds),
        *map(str, folds),
        *(["## Runs with changed values", CHANGED, changed] if (changed := _table_changed(measured)) else []),
        *(["## Over seeds", SEEDS, seeds] if seeds else []),
        "## Error rates",
        _table_rates(measured),
        CALIBRATION,
        "![DET curves on the test pairs](det.png)",
        *(["## Operating points", POINTS, points] if points else []),
        *([f"## Against {BASELINE}", MCNEMAR, mcnemar] if mcnemar else []),
        *(["## Other pictures, and networks with parts left out", variants] if variants else []),
        *elsewhere_tables.format_elsewhere(elsewhere),
        *(["## Errors by kind of face", error_tables.INTRODUCTION] if analysed else []),
        *(part for name, found in analysed.items() for part in error_tables.format_errors(name, found)),
        *outside.format_parts(folder),
        "## Commands",
        COMMANDS,
        "## Learning curves",
        *(f"![{name}](curves-{name}.png)" for name, found in measured.items() if found.run.history),
        *([log.strip()] if log else []),
    ]
    return "\n\n".join(parts) + "\n"


def _table_systems(measured: Mapping[str, results.Measured], folds: Sequence[records.View2]) -> str:
    head = ["system", "category", "protocol", "accuracy", "95% over pairs", "95% over people", "n", "figure from"]
    ours = [_run_row(name, found.run) for name, found in measured.items()]
    rows = [_reference_row(), *ours, *map(_view2_row, folds), *map(_published_row, literature.PUBLISHED)]
    return markdown.table(head, rows)


def _reference_row() -> markdown.Row:
    reference = next(row for row in literature.REFERENCES if row.name == BASELINE)
    accuracy = f"{reference.test_accuracy:.2%}"
    system = f"the reference, {reference.system}"
    return [system, literature.RESTRICTED, "View 1", accuracy, "", "", "1000", "its report"]


def _run_row(name: str, run: results.Run) -> markdown.Row:
    accuracy = run.metric(metrics.ACCURACY_AT_THRESHOLD)
    intervals = [markdown.interval(each) for each in (accuracy, run.over_people(metrics.ACCURACY_AT_THRESHOLD))]
    protocol = "View 1" if literature.is_view_1(run.pairs) else "other pairs"
    cells = [f"**{name}**", literature.category(run.header), protocol, f"**{accuracy.value:.2%}**", *intervals]
    return [*cells, str(accuracy.pairs), "measured here"]


def _view2_row(found: records.View2) -> markdown.Row:
    accuracy = f"**{markdown.spread(found.mean, found.standard_error)}**"
    count = f"{len(found.done)} of {found.of_folds} folds"
    return [f"**{found.name}**", found.category, "View 2", accuracy, "", "", count, "measured here"]


def _published_row(each: literature.Published) -> markdown.Row:
    accuracy = markdown.spread(each.accuracy, each.error)
    return [f"{each.system} ({each.paper})", each.category, "View 2", accuracy, "", "", "10 folds", each.origin]


def _table_changed(measured: Mapping[str, results.Measured]) -> str:
    """The values that runs have in place of their experiment's. Empty if no run has any."""
    rows = [
        [name, changes.experiment, each.field, each.named, each.value]
        for name, found in measured.items()
        if (changes := found.run.header.provenance.changes)
        for each in changes.values
    ]
    return markdown.table(["run", "experiment", "value", "in the experiment", "in the run"], rows)


def _table_seeds(measured: Mapping[str, results.Measured]) -> str:
    """Experiments that were run with several seeds: mean, lowest and highest. Empty if there are none."""
    runs: dict[str, list[results.Run]] = {}
    for name, found in measured.items():
        changes = found.run.header.provenance.changes
        runs.setdefault(str(changes) if changes else name.partition("-seed")[0], []).append(found.run)
    head = ["experiment", "seeds", "accuracy", metrics.AREA, metrics.EER, metrics.FNMR_AT_1]
    return markdown.table(head, [_seeds_row(name, same) for name, same in runs.items() if len(same) > 1])


def _seeds_row(name: str, runs: Sequence[results.Run]) -> markdown.Row:
    cells = [name, ", ".join(str(run.header.provenance.seed) for run in runs)]
    for metric in (metrics.ACCURACY_AT_THRESHOLD, metrics.AREA, metrics.EER, metrics.FNMR_AT_1):
        mean = results.over_seeds(runs, metric)
        cells.append(f"{mean.value:.2%} ({mean.low:.2%} to {mean.high:.2%})")
    return cells


def _table_rates(measured: Mapping[str, results.Measured]) -> str:
    head = ["run", metrics.AREA, metrics.EER, metrics.FNMR_AT_1, "FNMR at FMR 0.1%, all pairs", "each person alike"]
    head += ["ECE", "Brier", "n", "seed", "began, measured with"]
    return markdown.table(head, [_rates_row(name, found) for name, found in measured.items()])


def _rates_row(name: str, found: results.Measured) -> markdown.Row:
    run, origin = found.run, found.run.header.provenance
    cells = [name, markdown.area(run.over_people(metrics.AREA))]
    cells += [markdown.percent(run.over_people(rate)) for rate in (metrics.EER, metrics.FNMR_AT_1)]
    cells += outside.at_low_fmr(found.all_pairs.rates if found.all_pairs else ())
    errors = (metrics.CALIBRATION_ERROR, metrics.SQUARED_ERROR)
    cells += [f"{metrics.find_metric(run.summary.over_pairs, error).value:.4f}" for error in errors]
    return [*cells, str(len(run.scores)), str(origin.seed), f"{origin.code_version}, {origin.measured_with}"]


def _table_operating_points(measured: Mapping[str, results.Measured]) -> str:
    rows = [
        _point_row(name, point, found.run)
        for name, found in measured.items()
        for point in found.run.header.operating_points
    ]
    head = ["run", "point", "threshold", "FMR", "impostor pairs", "people", "split"]
    return markdown.table([*head, "FMR on the test pairs", "FNMR on the test pairs"], rows)


def _point_row(name: str, point: OperatingPoint, run: results.Run) -> markdown.Row:
    low, high = point.interval
    rate = f"{point.fmr:.3%} ({low:.3%} to {high:.3%})"
    cells = [name, point.name, f"{point.threshold:.4f}", rate, f"{point.pairs:,}", f"{point.people:,}", point.split]
    for error in ("FMR", "FNMR"):
        share = metrics.find_metric(run.summary.at_points, f"{error} at {point.name}")
        cells.append(markdown.percent(share, digits=1))
    return cells


def _table_mcnemar(measured: Mapping[str, results.Measured]) -> str:
    """Every run compared with the baseline. Empty if the baseline is missing or the only run."""
    rows = []
    for name, found in measured.items():
        is_other = BASELINE in measured and name != BASELINE
        test = results.compare_runs(found.run, measured[BASELINE].run) if is_other else None
        if test:
            rows.append([name, str(test.pairs), str(test.first_only), str(test.second_only), f"{test.p_value:.2g}"])
    return markdown.table(["run", "pairs of both", "only it is right", f"only {BASELINE} is right", "p"], rows)


def _table_variants(measured: Mapping[str, results.Measured]) -> str:
    rows = [_variant_row(name, variant) for name, found in measured.items() for variant in found.variants]
    head = ["run", "changed", "pictures", "n", "left out", "accuracy", "95% over pairs", "AUC", metrics.EER]
    return markdown.table(head, rows)


def _variant_row(name: str, variant: records.Variant) -> markdown.Row:
    names = (metrics.ACCURACY_AT_THRESHOLD, metrics.AREA, metrics.EER)
    accuracy, area, eer = (metrics.find_metric(variant.metrics, each) for each in names)
    cells = [name, variant.what or "as it is", variant.images, str(accuracy.pairs), str(variant.left_out)]
    cells += [f"{accuracy.value:.2%}", markdown.interval(accuracy)]
    return [*cells, f"{area.value:.4f}", f"{eer.value:.2%}"]
