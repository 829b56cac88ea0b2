"""The names under which runs store the metrics of scored pairs, and functions to find and print them."""

from collections.abc import Sequence

from model.errors import DataError
from model.similarity import Metric

ACCURACY_AT_HALF = "accuracy at 0.5"
ACCURACY_AT_THRESHOLD = "accuracy at threshold"
AREA = "area under ROC"
EER = "EER"
FNMR_AT_1 = "FNMR at FMR 1%"
CROSS_ENTROPY = "cross-entropy"
SQUARED_ERROR = "squared error"
CALIBRATION_ERROR = "calibration error"


def find_metric(metrics: Sequence[Metric], name: str, split: str = "test") -> Metric:
    """The metric with that name and split. Raises DataError if there is none."""
    for metric in metrics:
        if (metric.name, metric.split) == (name, split):
            return metric
    raise DataError(f"there is no {name} of the {split} pairs")


def format_metrics(metrics: Sequence[Metric]) -> str:
    """One aligned line per metric, for a terminal."""
    lines = []
    for m in metrics:
        interval = f"  95% {m.interval[0]:.4f} to {m.interval[1]:.4f}" if m.interval else ""
        lines.append(f"{m.split:<11} {m.name:<22} {m.value:.4f}{interval}  n={m.pairs}")
    return "\n".join(lines)
