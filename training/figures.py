"""The figures that are reported of a set of scored pairs, with their intervals over pairs or over people.

P pairs
"""

from collections.abc import Callable, Sequence
from functools import partial

from model.checkpoint import Metric
from training.calibration import calibration_error
from training.evaluation import (
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
from training.resampling import Owners, bootstrap_over_people

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

    def metric(name: str, figure: Estimate | float) -> Metric:
        if isinstance(figure, float):
            return Metric(name=name, split=split, value=figure, pairs=len(scores))
        interval = (figure.low, figure.high)
        return Metric(name=name, split=split, value=figure.value, pairs=len(scores), interval=interval)

    metrics = [
        metric(AT_HALF, accuracy(scores, same, 0.5)),
        metric(AT_THRESHOLD, accuracy(scores, same, threshold)),
        metric(AREA, bootstrap(area_under_roc, scores, same)),
        metric(EER, bootstrap(equal_error_rate, scores, same)),
        metric(FNMR_AT_1, bootstrap(partial(fnmr_at_fmr, max_fmr=0.01), scores, same)),
        metric("cross-entropy", cross_entropy(scores, same)),
        metric("squared error", squared_error(scores, same)),
    ]
    return [*metrics, metric("calibration error", calibration_error(scores, same))] if calibrated else metrics


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
