"""More tables of the accuracy page, in Markdown: operating points, comparisons, variants, errors."""

from collections.abc import Mapping, Sequence

from model.checkpoint import Metric
from model.similarity import OperatingPoint
from training.accuracy_tables import BASELINE, Measured
from training.error_analysis import Bin, ErrorAnalysis
from training.figures import AREA, AT_THRESHOLD, EER
from training.markdown import Row, interval_of, table
from training.significance import compare_runs
from training.variants import Variant


def table_operating_points(measured: Mapping[str, Measured]) -> str:
    """Every operating point that a checkpoint carries, or nothing."""
    rows = [_point_row(name, point) for name, found in measured.items() for point in found.run.header.operating_points]
    return table(["run", "point", "threshold", "FMR", "impostor pairs", "people", "split"], rows)


def _point_row(name: str, point: OperatingPoint) -> Row:
    low, high = point.interval
    rate = f"{point.fmr:.3%} ({low:.3%} to {high:.3%})"
    return [name, point.name, f"{point.threshold:.4f}", rate, f"{point.pairs:,}", f"{point.people:,}", point.split]


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
    accuracy, area, eer = (_named(variant.metrics, figure) for figure in (AT_THRESHOLD, AREA, EER))
    cells = [name, variant.what or "as it is", variant.images, str(accuracy.pairs), str(variant.left_out)]
    cells += [f"{accuracy.value:.2%}", interval_of(accuracy)]
    return [*cells, f"{area.value:.4f}", f"{eer.value:.2%}"]


def table_errors(found: ErrorAnalysis) -> str:
    """A run's errors by what was measured of the faces."""
    rows = [_bin_row(title, each) for title, bins in found.tables.items() for each in bins]
    return table(["measured", "bin", "pairs", "accuracy", "95%", "one person, rejected", "two people, accepted"], rows)


def _bin_row(title: str, each: Bin) -> Row:
    low, high = each.interval
    impostor = each.pairs - each.genuine
    rejected, accepted = each.genuine - each.genuine_right, impostor - (each.right - each.genuine_right)
    share = [str(each.pairs), f"{each.right / each.pairs:.2%}", f"{low:.1%} to {high:.1%}"]
    return [title, each.label, *share, f"{rejected} of {each.genuine}", f"{accepted} of {impostor}"]


def table_hardest(found: ErrorAnalysis) -> str:
    """The surest wrong and the narrowest right answers by name."""
    rows = []
    for kind, pairs in found.hardest.items():
        rows.append([kind, "; ".join(f"{pair.left} / {pair.right} {pair.similarity:.4f}" for pair in pairs)])
    return table(["kind", "pairs and their similarity"], rows)


def _named(metrics: Sequence[Metric], name: str) -> Metric:
    return next(metric for metric in metrics if metric.name == name)
