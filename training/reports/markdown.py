"""Formats tables, metrics and scored pairs as Markdown."""

from collections.abc import Iterable, Sequence

from model.similarity import Metric
from training.runs.records import ScoredPair

Row = list[str]


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; "" if it has no rows."""
    body = list(rows)
    lines = [head, ["---"] * len(head), *body]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) if body else ""


def percent(metric: Metric, digits: int = 2) -> str:
    return f"{metric.value:.{digits}%} ({interval(metric)})" if metric.interval else f"{metric.value:.{digits}%}"


def interval(metric: Metric) -> str:
    """A share's interval; "" without one."""
    return f"{metric.interval[0]:.1%} to {metric.interval[1]:.1%}" if metric.interval else ""


def area(metric: Metric) -> str:
    assert metric.interval
    return f"{metric.value:.4f} ({metric.interval[0]:.4f} to {metric.interval[1]:.4f})"


def spread(mean: float, error: float | None) -> str:
    """A share with its standard error, if it has one."""
    return f"{mean:.2%}" if error is None else f"{mean:.2%} ± {error:.2%}"


def scored_pairs(pairs: Iterable[ScoredPair]) -> str:
    return "; ".join(f"{pair.left} / {pair.right} {pair.similarity:.4f}" for pair in pairs)
