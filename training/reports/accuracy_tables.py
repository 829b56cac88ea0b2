"""The tables of the accuracy page, in Markdown; those of where a run is wrong are in `error_tables.py`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from model.similarity import OperatingPoint
from training.measuring.all_pairs import AllPairsRates
from training.measuring.error_analysis import ErrorAnalysis
from training.measuring.variants import Variant
from training.measuring.view2_results import View2
from training.reports.markdown import Row, between, interval_of, spread, table
from training.reports.published import PUBLISHED, RESTRICTED, Published, category
from training.reports.reference import REFERENCES, is_view_1
from training.runs.read import Run
from training.statistics.calibration import calibration_error
from training.statistics.mcnemar import compare_runs
from training.statistics.rates import Estimate, squared_error, wilson
from training.statistics.resampling import numbered
from training.statistics.summary import AREA, AT_THRESHOLD, EER, FNMR_AT_1, figures_over_people, find_metric

BASELINE = "experiment-2"


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A finished run, its figures with their intervals over people, and what else was measured of it."""

    run: Run
    over_people: Mapping[str, Estimate]
    all_pairs: AllPairsRates | None = None
    errors: ErrorAnalysis | None = None
    variants: Sequence[Variant] = ()


def over_people(run: Run) -> dict[str, Estimate]:
    """The figures of a run's test pairs with their intervals over people."""
    left, right = numbered(run.pairs)
    return figures_over_people(run.scores, run.same, left, right, run.header.threshold.value)


def table_systems(measured: Mapping[str, Measured], folds: Sequence[View2]) -> str:
    """The reference, ours, and published systems."""
    head = ["system", "category", "protocol", "accuracy", "95% over pairs", "95% over people", "n", "figure from"]
    ours = [_run_row(name, found) for name, found in measured.items()]
    return table(head, [_reference_row(), *ours, *map(_view2_row, folds), *map(_published_row, PUBLISHED)])


def _reference_row() -> Row:
    reference = next(row for row in REFERENCES if row.name == BASELINE)
    accuracy = f"{reference.test_accuracy:.2%}"
    return [f"the reference, {reference.system}", RESTRICTED, "View 1", accuracy, "", "", "1000", "its report"]


def _run_row(name: str, found: Measured) -> Row:
    accuracy, people = found.run.metric(AT_THRESHOLD), found.over_people[AT_THRESHOLD]
    figures = [f"**{accuracy.value:.2%}**", interval_of(accuracy), between(people), str(accuracy.pairs)]
    protocol = "View 1" if is_view_1(found.run.pairs) else "other pairs"
    return [f"**{name}**", category(found.run.header), protocol, *figures, "measured here"]


def _view2_row(found: View2) -> Row:
    accuracy = f"**{spread(found.mean, found.standard_error)}**"
    count = f"{len(found.done)} of {found.of_folds} folds"
    return [f"**{found.name}**", found.category, "View 2", accuracy, "", "", count, "measured here"]


def _published_row(each: Published) -> Row:
    accuracy = spread(each.accuracy, each.error)
    return [f"{each.system} ({each.paper})", each.category, "View 2", accuracy, "", "", "10 folds", each.origin]


def table_seeds(measured: Mapping[str, Measured]) -> str:
    """Experiments that were run with several seeds: the mean over these, lowest and highest. Or nothing."""
    runs: dict[str, list[Run]] = {}
    for name, found in measured.items():
        runs.setdefault(name.partition("-seed")[0], []).append(found.run)
    head = ["experiment", "seeds", "accuracy", AREA, EER, FNMR_AT_1]
    return table(head, [_seeds_row(name, same) for name, same in runs.items() if len(same) > 1])


def _seeds_row(name: str, runs: Sequence[Run]) -> Row:
    cells = [name, ", ".join(str(run.header.provenance.seed) for run in runs)]
    for figure in (AT_THRESHOLD, AREA, EER, FNMR_AT_1):
        values = [run.metric(figure).value for run in runs]
        cells.append(f"{fmean(values):.2%} ({min(values):.2%} to {max(values):.2%})")
    return cells


def table_figures(measured: Mapping[str, Measured]) -> str:
    """Of the test pairs, and over all pairs of a list of people; intervals over people."""
    head = ["run", AREA, EER, FNMR_AT_1, "FNMR at FMR 0.1%, all pairs", "each person alike"]
    head += ["ECE", "Brier", "n", "seed", "began, measured with"]
    return table(head, [_figures_row(name, found) for name, found in measured.items()])


def _figures_row(name: str, found: Measured) -> Row:
    run, origin, area = found.run, found.run.header.provenance, found.over_people[AREA]
    rates = [found.over_people[figure] for figure in (EER, FNMR_AT_1)]
    cells = [name, f"{area.value:.4f} ({area.low:.4f} to {area.high:.4f})"]
    cells += [f"{rate.value:.2%} ({between(rate)})" for rate in rates]
    cells += _at_low_fmr(found.all_pairs)
    cells += [f"{figure(run.scores, run.same):.4f}" for figure in (calibration_error, squared_error)]
    return [*cells, str(len(run.scores)), str(origin.seed), f"{origin.code_version}, {origin.measured_with}"]


def _at_low_fmr(found: AllPairsRates | None) -> list[str]:
    for rate in found.rates if found else ():
        if rate.max_fmr == 0.001:
            rates = ((rate.fnmr, rate.interval), (rate.even_fnmr, rate.even_interval))
            return [f"{value:.2%} ({low:.1%} to {high:.1%})" for value, (low, high) in rates]
    return ["", ""]


def table_operating_points(measured: Mapping[str, Measured]) -> str:
    """Every operating point that a checkpoint carries, and what it does to the test pairs, or nothing."""
    rows = [
        _point_row(name, point, found.run)
        for name, found in measured.items()
        for point in found.run.header.operating_points
    ]
    head = ["run", "point", "threshold", "FMR", "impostor pairs", "people", "split"]
    return table([*head, "FMR on the test pairs", "FNMR on the test pairs"], rows)


def _point_row(name: str, point: OperatingPoint, run: Run) -> Row:
    low, high = point.interval
    rate = f"{point.fmr:.3%} ({low:.3%} to {high:.3%})"
    cells = [name, point.name, f"{point.threshold:.4f}", rate, f"{point.pairs:,}", f"{point.people:,}", point.split]
    accepted = run.scores >= point.threshold
    for wrong in (accepted[~run.same], ~accepted[run.same]):
        share = wilson(int(wrong.sum()), len(wrong))
        cells.append(f"{share.value:.1%} ({between(share)})")
    return cells


def table_mcnemar(measured: Mapping[str, Measured]) -> str:
    """Every run against the baseline, or nothing where that is missing or alone."""
    rows = []
    for name, found in measured.items():
        test = compare_runs(found.run, measured[BASELINE].run) if BASELINE in measured and name != BASELINE else None
        if test:
            rows.append([name, str(test.pairs), str(test.first_only), str(test.second_only), f"{test.p_value:.2g}"])
    return table(["run", "pairs of both", "only it is right", f"only {BASELINE} is right", "p"], rows)


def table_variants(measured: Mapping[str, Measured]) -> str:
    """Checkpoints on other pictures, and with parts left out, or nothing."""
    rows = [_variant_row(name, variant) for name, found in measured.items() for variant in found.variants]
    head = ["run", "changed", "pictures", "n", "left out", "accuracy", "95% over pairs", "AUC", EER]
    return table(head, rows)


def _variant_row(name: str, variant: Variant) -> Row:
    accuracy, area, eer = (find_metric(variant.metrics, figure) for figure in (AT_THRESHOLD, AREA, EER))
    cells = [name, variant.what or "as it is", variant.images, str(accuracy.pairs), str(variant.left_out)]
    cells += [f"{accuracy.value:.2%}", interval_of(accuracy)]
    return [*cells, f"{area.value:.4f}", f"{eer.value:.2%}"]
