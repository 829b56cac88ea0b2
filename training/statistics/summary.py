"""The figures that are reported of a set of scored pairs, with their intervals over pairs or over people.

P pairs
"""

from collections.abc import Callable, Sequence
from functools import partial

from model.checkpoint import Metric
from model.errors import DataError
from training.statistics.calibration import calibration_error
from training.statistics.rates import (
    Estimate,
    Labels,
    Scores,
    accuracy,
    area_under_roc,
    bootstrap,
    cross_entropy,
    equal_error_rate,
    fnmr_at_fmr,
    squared_error,
)
from training.statistics.resampling import Owners, bootstrap_over_people

AT_HALF = "accuracy at 0.5"
AT_THRESHOLD = "accuracy at threshold"
AREA = "area under ROC"
EER = "EER"
FNMR_AT_1 = "FNMR at FMR 1%"


def measure(split: str, scores: Scores, same: Labels, threshold: float, *, calibrated: bool = False) -> list[Metric]:
    """Every figure that is reported of a set of pairs, with its interval where it has one.

    Of similarities that are `calibrated` probabilities the calibration error is told too; the squared error is their
    Brier score.
    """

    figures: dict[str, Estimate | float] = {
        AT_HALF: accuracy(scores, same, 0.5),
        AT_THRESHOLD: accuracy(scores, same, threshold),
        AREA: bootstrap(area_under_roc, scores, same),
        EER: bootstrap(equal_error_rate, scores, same),
        FNMR_AT_1: bootstrap(partial(fnmr_at_fmr, max_fmr=0.01), scores, same),
        "cross-entropy": cross_entropy(scores, same),
        "squared error": squared_error(scores, same),
    }
    if calibrated:
        figures["calibration error"] = calibration_error(scores, same)
    return [metric_of(name, split, figure, len(scores)) for name, figure in figures.items()]


def metric_of(name: str, split: str, figure: Estimate | float, pairs: int) -> Metric:
    """A figure of so many pairs, with its interval where it has one."""
    if isinstance(figure, Estimate):
        return Metric(name=name, split=split, value=figure.value, pairs=pairs, interval=(figure.low, figure.high))
    return Metric(name=name, split=split, value=figure, pairs=pairs)


def find_metric(metrics: Sequence[Metric], name: str, split: str = "test") -> Metric:
    """The figure of that name. Raises DataError."""
    for metric in metrics:
        if (metric.name, metric.split) == (name, split):
            return metric
    raise DataError(f"there is no {name} of the {split} pairs")


def figures_over_people(
    scores: Scores, same: Labels, left: Owners, right: Owners, threshold: float
) -> dict[str, Estimate]:
    """The figures of `measure` that have an interval, by their names, each with that over people; arrays (P,)."""
    figures: dict[str, Callable[[Scores, Labels], float]] = {
        AT_HALF: partial(_share_right, threshold=0.5, genuine=float(same.mean())),
        AT_THRESHOLD: partial(_share_right, threshold=threshold, genuine=float(same.mean())),
        AREA: area_under_roc,
        EER: equal_error_rate,
        FNMR_AT_1: partial(fnmr_at_fmr, max_fmr=0.01),
    }
    return {name: bootstrap_over_people(figure, scores, same, left, right) for name, figure in figures.items()}


def _share_right(scores: Scores, same: Labels, threshold: float, genuine: float) -> float:
    """The accuracy where that share of the pairs is of one person, however many of them were drawn."""
    right = (scores >= threshold) == same
    return float(genuine * right[same].mean() + (1 - genuine) * right[~same].mean())


def format_metrics(metrics: Sequence[Metric]) -> str:
    """The figures as aligned lines for a terminal."""
    lines = []
    for m in metrics:
        interval = f"  95% {m.interval[0]:.4f} to {m.interval[1]:.4f}" if m.interval else ""
        lines.append(f"{m.split:<11} {m.name:<22} {m.value:.4f}{interval}  n={m.pairs}")
    return "\n".join(lines)
