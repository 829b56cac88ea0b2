"""Tables and figures as Markdown has them."""

from collections.abc import Iterable, Sequence

from model.checkpoint import Metric
from training.statistics.rates import Estimate

Row = list[str]


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table, or nothing if it has no rows."""
    body = list(rows)
    lines = [head, ["---"] * len(head), *body]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) if body else ""


def interval_of(metric: Metric) -> str:
    """A share's interval, where it has one."""
    return f"{metric.interval[0]:.1%} to {metric.interval[1]:.1%}" if metric.interval else ""


def between(figure: Estimate) -> str:
    """A share's interval."""
    return f"{figure.low:.1%} to {figure.high:.1%}"


def spread(mean: float, error: float | None) -> str:
    """A share and its standard error, where it has one."""
    return f"{mean:.2%}" if error is None else f"{mean:.2%} ± {error:.2%}"
