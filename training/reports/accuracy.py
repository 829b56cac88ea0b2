"""The accuracy page: ours beside the reference and published systems, from what runs leave behind, without pictures."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from model.files import replacing
from model.similarity import OperatingPoint
from training import metrics
from training.learning.history import draw_curves
from training.measuring import lfw
from training.reports import literature, markdown, plots
from training.runs import results

BASELINE = "experiment-2"
LOG_FILE = "accuracy-log.md"
# Whose DET curves are drawn where they are all there: more are not told apart.
DRAWN = (BASELINE, "experiment-5-unaligned", "experiment-5")

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


def write_accuracy(folder: Path, out: Path, runs: Mapping[str, results.Run]) -> Path:
    """Writes `accuracy.md` and its pictures into `out` from those runs of a folder. Raises DataError or OSError."""
    measured = {name: results.read_measured(folder / name, run) for name, run in runs.items()}
    folds = [results.read_record(path, results.View2) for path in sorted(folder.glob(f"*/{results.VIEW2_FILE}"))]
    for name, run in runs.items():
        draw_curves(out / f"curves-{name}.png", name, run.history)
    drawn = [runs[name] for name in DRAWN] if set(DRAWN) <= set(runs) else runs.values()
    plots.draw_det(out / "det.png", list(drawn))
    log = folder / LOG_FILE
    path = out / "accuracy.md"
    with replacing(path) as partial:
        partial.write_text(_page(measured, folds, log.read_text() if log.exists() else ""))
    return path


def _page(measured: Mapping[str, results.Measured], folds: Sequence[results.View2], log: str) -> str:
    mcnemar, points = _table_mcnemar(measured), _table_operating_points(measured)
    variants, seeds = _table_variants(measured), _table_seeds(measured)
    analysed = {name: found.errors for name, found in measured.items() if found.errors}
    parts = [
        "# Accuracy",
        INTRODUCTION,
        "## Beside the reference and published systems",
        _table_systems(measured, folds),
        *map(str, folds),
        *(["## Over seeds", SEEDS, seeds] if seeds else []),
        "## Error rates",
        _table_rates(measured),
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


def _errors(name: str, found: results.ErrorAnalysis) -> list[str]:
    absent = f" {found.faceless} pairs are left out, in which a face was not found." if found.faceless else ""
    title = f"### {name}\n\n{found.pairs} test pairs at the threshold {found.threshold:.4f}.{absent}"
    return [title, _table_errors(found), _table_hardest(found)]


def _table_systems(measured: Mapping[str, results.Measured], folds: Sequence[results.View2]) -> str:
    """The reference, ours, and published systems."""
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
    protocol = "View 1" if lfw.is_view_1(run.pairs) else "other pairs"
    cells = [f"**{name}**", lfw.category(run.header), protocol, f"**{accuracy.value:.2%}**", *intervals]
    return [*cells, str(accuracy.pairs), "measured here"]


def _view2_row(found: results.View2) -> markdown.Row:
    accuracy = f"**{markdown.spread(found.mean, found.standard_error)}**"
    count = f"{len(found.done)} of {found.of_folds} folds"
    return [f"**{found.name}**", found.category, "View 2", accuracy, "", "", count, "measured here"]


def _published_row(each: literature.Published) -> markdown.Row:
    accuracy = markdown.spread(each.accuracy, each.error)
    return [f"{each.system} ({each.paper})", each.category, "View 2", accuracy, "", "", "10 folds", each.origin]


def _table_seeds(measured: Mapping[str, results.Measured]) -> str:
    """Experiments that were run with several seeds: the mean over these, lowest and highest. Or nothing."""
    runs: dict[str, list[results.Run]] = {}
    for name, found in measured.items():
        runs.setdefault(name.partition("-seed")[0], []).append(found.run)
    head = ["experiment", "seeds", "accuracy", metrics.AREA, metrics.EER, metrics.FNMR_AT_1]
    return markdown.table(head, [_seeds_row(name, same) for name, same in runs.items() if len(same) > 1])


def _seeds_row(name: str, runs: Sequence[results.Run]) -> markdown.Row:
    cells = [name, ", ".join(str(run.header.provenance.seed) for run in runs)]
    for metric in (metrics.ACCURACY_AT_THRESHOLD, metrics.AREA, metrics.EER, metrics.FNMR_AT_1):
        mean = results.over_seeds(runs, metric)
        cells.append(f"{mean.value:.2%} ({mean.low:.2%} to {mean.high:.2%})")
    return cells


def _table_rates(measured: Mapping[str, results.Measured]) -> str:
    """Of the test pairs, and over all pairs of a list of people; intervals over people."""
    head = ["run", metrics.AREA, metrics.EER, metrics.FNMR_AT_1, "FNMR at FMR 0.1%, all pairs", "each person alike"]
    head += ["ECE", "Brier", "n", "seed", "began, measured with"]
    return markdown.table(head, [_rates_row(name, found) for name, found in measured.items()])


def _rates_row(name: str, found: results.Measured) -> markdown.Row:
    run, origin = found.run, found.run.header.provenance
    cells = [name, markdown.area(run.over_people(metrics.AREA))]
    cells += [markdown.percent(run.over_people(rate)) for rate in (metrics.EER, metrics.FNMR_AT_1)]
    cells += _at_low_fmr(found.all_pairs)
    errors = (metrics.CALIBRATION_ERROR, metrics.SQUARED_ERROR)
    cells += [f"{metrics.find_metric(run.summary.over_pairs, error).value:.4f}" for error in errors]
    return [*cells, str(len(run.scores)), str(origin.seed), f"{origin.code_version}, {origin.measured_with}"]


def _at_low_fmr(found: results.AllPairsRates | None) -> list[str]:
    for rate in found.rates if found else ():
        if rate.max_fmr == 0.001:
            rates = ((rate.fnmr, rate.interval), (rate.even_fnmr, rate.even_interval))
            return [f"{value:.2%} ({low:.1%} to {high:.1%})" for value, (low, high) in rates]
    return ["", ""]


def _table_operating_points(measured: Mapping[str, results.Measured]) -> str:
    """Every operating point that a checkpoint carries, and what it does to the test pairs, or nothing."""
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
    """Every run against the baseline, or nothing where that is missing or alone."""
    rows = []
    for name, found in measured.items():
        is_other = BASELINE in measured and name != BASELINE
        test = results.compare_runs(found.run, measured[BASELINE].run) if is_other else None
        if test:
            rows.append([name, str(test.pairs), str(test.first_only), str(test.second_only), f"{test.p_value:.2g}"])
    return markdown.table(["run", "pairs of both", "only it is right", f"only {BASELINE} is right", "p"], rows)


def _table_variants(measured: Mapping[str, results.Measured]) -> str:
    """Checkpoints on other pictures, and with parts left out, or nothing."""
    rows = [_variant_row(name, variant) for name, found in measured.items() for variant in found.variants]
    head = ["run", "changed", "pictures", "n", "left out", "accuracy", "95% over pairs", "AUC", metrics.EER]
    return markdown.table(head, rows)


def _variant_row(name: str, variant: results.Variant) -> markdown.Row:
    names = (metrics.ACCURACY_AT_THRESHOLD, metrics.AREA, metrics.EER)
    accuracy, area, eer = (metrics.find_metric(variant.metrics, each) for each in names)
    cells = [name, variant.what or "as it is", variant.images, str(accuracy.pairs), str(variant.left_out)]
    cells += [f"{accuracy.value:.2%}", markdown.interval(accuracy)]
    return [*cells, f"{area.value:.4f}", f"{eer.value:.2%}"]


def _table_errors(found: results.ErrorAnalysis) -> str:
    """A run's errors by what was measured of the faces."""
    rows = [_bin_row(title, each) for title, bins in found.tables.items() for each in bins]
    head = ["measured", "bin", "pairs", "accuracy", "95%", "one person, rejected", "two people, accepted"]
    return markdown.table(head, rows)


def _bin_row(title: str, each: results.Bin) -> markdown.Row:
    low, high = each.interval
    impostor = each.pairs - each.genuine
    rejected, accepted = each.genuine - each.genuine_right, impostor - (each.right - each.genuine_right)
    share = [str(each.pairs), f"{each.right / each.pairs:.2%}", f"{low:.1%} to {high:.1%}"]
    return [title, each.label, *share, f"{rejected} of {each.genuine}", f"{accepted} of {impostor}"]


def _table_hardest(found: results.ErrorAnalysis) -> str:
    """The surest wrong and the narrowest right answers by name."""
    rows = [[kind, markdown.scored_pairs(pairs)] for kind, pairs in found.hardest.items()]
    return markdown.table(["kind", "pairs and their similarity"], rows)
