"""The tables of the accuracy page, in Markdown."""

from collections.abc import Mapping, Sequence

from model.similarity import OperatingPoint
from training import metrics
from training.measuring import lfw
from training.reports import literature, markdown
from training.runs import read, records

BASELINE = "experiment-2"


def table_systems(measured: Mapping[str, read.Measured], folds: Sequence[records.View2]) -> str:
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


def _run_row(name: str, run: read.Run) -> markdown.Row:
    accuracy = run.metric(metrics.ACCURACY_AT_THRESHOLD)
    intervals = [markdown.interval(each) for each in (accuracy, run.over_people(metrics.ACCURACY_AT_THRESHOLD))]
    protocol = "View 1" if lfw.is_view_1(run.pairs) else "other pairs"
    cells = [f"**{name}**", lfw.category(run.header), protocol, f"**{accuracy.value:.2%}**", *intervals]
    return [*cells, str(accuracy.pairs), "measured here"]


def _view2_row(found: records.View2) -> markdown.Row:
    accuracy = f"**{markdown.spread(found.mean, found.standard_error)}**"
    count = f"{len(found.done)} of {found.of_folds} folds"
    return [f"**{found.name}**", found.category, "View 2", accuracy, "", "", count, "measured here"]


def _published_row(each: literature.Published) -> markdown.Row:
    accuracy = markdown.spread(each.accuracy, each.error)
    return [f"{each.system} ({each.paper})", each.category, "View 2", accuracy, "", "", "10 folds", each.origin]


def table_seeds(measured: Mapping[str, read.Measured]) -> str:
    """Experiments that were run with several seeds: the mean over these, lowest and highest. Or nothing."""
    runs: dict[str, list[read.Run]] = {}
    for name, found in measured.items():
        runs.setdefault(name.partition("-seed")[0], []).append(found.run)
    head = ["experiment", "seeds", "accuracy", metrics.AREA, metrics.EER, metrics.FNMR_AT_1]
    return markdown.table(head, [_seeds_row(name, same) for name, same in runs.items() if len(same) > 1])


def _seeds_row(name: str, runs: Sequence[read.Run]) -> markdown.Row:
    cells = [name, ", ".join(str(run.header.provenance.seed) for run in runs)]
    for metric in (metrics.ACCURACY_AT_THRESHOLD, metrics.AREA, metrics.EER, metrics.FNMR_AT_1):
        mean = read.over_seeds(runs, metric)
        cells.append(f"{mean.value:.2%} ({mean.low:.2%} to {mean.high:.2%})")
    return cells


def table_rates(measured: Mapping[str, read.Measured]) -> str:
    """Of the test pairs, and over all pairs of a list of people; intervals over people."""
    head = ["run", metrics.AREA, metrics.EER, metrics.FNMR_AT_1, "FNMR at FMR 0.1%, all pairs", "each person alike"]
    head += ["ECE", "Brier", "n", "seed", "began, measured with"]
    return markdown.table(head, [_rates_row(name, found) for name, found in measured.items()])


def _rates_row(name: str, found: read.Measured) -> markdown.Row:
    run, origin = found.run, found.run.header.provenance
    cells = [name, markdown.area(run.over_people(metrics.AREA))]
    cells += [markdown.percent(run.over_people(rate)) for rate in (metrics.EER, metrics.FNMR_AT_1)]
    cells += _at_low_fmr(found.all_pairs)
    errors = (metrics.CALIBRATION_ERROR, metrics.SQUARED_ERROR)
    cells += [f"{metrics.find_metric(run.summary.over_pairs, error).value:.4f}" for error in errors]
    return [*cells, str(len(run.scores)), str(origin.seed), f"{origin.code_version}, {origin.measured_with}"]


def _at_low_fmr(found: records.AllPairsRates | None) -> list[str]:
    for rate in found.rates if found else ():
        if rate.max_fmr == 0.001:
            rates = ((rate.fnmr, rate.interval), (rate.even_fnmr, rate.even_interval))
            return [f"{value:.2%} ({low:.1%} to {high:.1%})" for value, (low, high) in rates]
    return ["", ""]


def table_operating_points(measured: Mapping[str, read.Measured]) -> str:
    """Every operating point that a checkpoint carries, and what it does to the test pairs, or nothing."""
    rows = [
        _point_row(name, point, found.run)
        for name, found in measured.items()
        for point in found.run.header.operating_points
    ]
    head = ["run", "point", "threshold", "FMR", "impostor pairs", "people", "split"]
    return markdown.table([*head, "FMR on the test pairs", "FNMR on the test pairs"], rows)


def _point_row(name: str, point: OperatingPoint, run: read.Run) -> markdown.Row:
    low, high = point.interval
    rate = f"{point.fmr:.3%} ({low:.3%} to {high:.3%})"
    cells = [name, point.name, f"{point.threshold:.4f}", rate, f"{point.pairs:,}", f"{point.people:,}", point.split]
    for error in ("FMR", "FNMR"):
        share = metrics.find_metric(run.summary.at_points, f"{error} at {point.name}")
        cells.append(markdown.percent(share, digits=1))
    return cells


def table_mcnemar(measured: Mapping[str, read.Measured]) -> str:
    """Every run against the baseline, or nothing where that is missing or alone."""
    rows = []
    for name, found in measured.items():
        is_other = BASELINE in measured and name != BASELINE
        test = read.compare_runs(found.run, measured[BASELINE].run) if is_other else None
        if test:
            rows.append([name, str(test.pairs), str(test.first_only), str(test.second_only), f"{test.p_value:.2g}"])
    return markdown.table(["run", "pairs of both", "only it is right", f"only {BASELINE} is right", "p"], rows)


def table_variants(measured: Mapping[str, read.Measured]) -> str:
    """Checkpoints on other pictures, and with parts left out, or nothing."""
    rows = [_variant_row(name, variant) for name, found in measured.items() for variant in found.variants]
    head = ["run", "changed", "pictures", "n", "left out", "accuracy", "95% over pairs", "AUC", metrics.EER]
    return markdown.table(head, rows)


def _variant_row(name: str, variant: records.Variant) -> markdown.Row:
    names = (metrics.ACCURACY_AT_THRESHOLD, metrics.AREA, metrics.EER)
    accuracy, area, eer = (metrics.find_metric(variant.metrics, each) for each in names)
    cells = [name, variant.what or "as it is", variant.images, str(accuracy.pairs), str(variant.left_out)]
    cells += [f"{accuracy.value:.2%}", markdown.interval(accuracy)]
    return [*cells, f"{area.value:.4f}", f"{eer.value:.2%}"]


def table_errors(found: records.ErrorAnalysis) -> str:
    """A run's errors by what was measured of the faces."""
    rows = [_bin_row(title, each) for title, bins in found.tables.items() for each in bins]
    head = ["measured", "bin", "pairs", "accuracy", "95%", "one person, rejected", "two people, accepted"]
    return markdown.table(head, rows)


def _bin_row(title: str, each: records.Bin) -> markdown.Row:
    low, high = each.interval
    impostor = each.pairs - each.genuine
    rejected, accepted = each.genuine - each.genuine_right, impostor - (each.right - each.genuine_right)
    share = [str(each.pairs), f"{each.right / each.pairs:.2%}", f"{low:.1%} to {high:.1%}"]
    return [title, each.label, *share, f"{rejected} of {each.genuine}", f"{accepted} of {impostor}"]


def table_hardest(found: records.ErrorAnalysis) -> str:
    """The surest wrong and the narrowest right answers by name."""
    rows = [[kind, markdown.scored_pairs(pairs)] for kind, pairs in found.hardest.items()]
    return markdown.table(["kind", "pairs and their similarity"], rows)
