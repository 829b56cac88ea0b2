"""The figures that are reported of a set of scored pairs."""

from collections.abc import Sequence
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
        metric("accuracy at 0.5", accuracy(scores, same, 0.5)),
        metric("accuracy at threshold", accuracy(scores, same, threshold)),
        metric("area under ROC", bootstrap(area_under_roc, scores, same)),
        metric("EER", bootstrap(equal_error_rate, scores, same)),
        metric("FNMR at FMR 1%", bootstrap(partial(fnmr_at_fmr, max_fmr=0.01), scores, same)),
        metric("cross-entropy", cross_entropy(scores, same)),
        metric("squared error", squared_error(scores, same)),
    ]
    return [*metrics, metric("calibration error", calibration_error(scores, same))] if calibrated else metrics


def format_metrics(metrics: Sequence[Metric]) -> str:
    """The figures as aligned lines for a terminal."""
    lines = []
    for m in metrics:
        interval = f"  95% {m.interval[0]:.4f} to {m.interval[1]:.4f}" if m.interval else ""
        lines.append(f"{m.split:<11} {m.name:<22} {m.value:.4f}{interval}  n={m.pairs}")
    return "\n".join(lines)
