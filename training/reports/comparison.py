"""Two finished runs compared: one table, McNemar's test, and their curves over each other."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model.errors import DataError
from model.files import replacing
from model.similarity import Metric
from training.learning.history import Epoch
from training.reports import markdown
from training.runs.results import Run, compare_runs

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# What an experiment's JSON has beside its values.
RECORDS = {"changes"}


def format_comparison(labels: tuple[str, str], runs: tuple[Run, Run]) -> str:
    """A table of all metrics and of the values that differ, then McNemar's test in words, in Markdown.

    Raises DataError if the runs have no test pair in common.
    """
    first, second = runs
    test = compare_runs(first, second)
    if test is None:
        raise DataError(
            f"{labels[0]} and {labels[1]} were tested on different pairs; compare runs of one list of pairs"
        )
    rows = [*_metric_rows(first, second), *_value_rows(first, second)]
    table = markdown.table(["", *labels, "difference"], rows)
    missing = [
        f"{len(run.pairs) - test.pairs} pairs of {label} are not among the other's"
        for label, run in zip(labels, runs, strict=True)
        if len(run.pairs) > test.pairs
    ]
    verdict = (
        f"McNemar's exact test on the {test.pairs} test pairs of both, each run at its own threshold: only {labels[0]} "
        f"is right on {test.first_only}, only {labels[1]} on {test.second_only}, p = {test.p_value:.2g}."
    )
    return "\n\n".join([table, " ".join([verdict, *(f"{each}." for each in missing)])])


def draw_comparison(path: Path, labels: tuple[str, str], runs: tuple[Run, Run]) -> None:
    """Draws both runs' losses, accuracies and areas over the epochs, and their ROC curves, as one PNG."""
    # Imported here, since it takes a second and few commands draw.
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(13, 4), layout="constrained")
    losses, rates, roc = figure.subplots(1, 3)
    for colour, label, run in zip(("C0", "C1"), labels, runs, strict=True):
        _draw_epochs(losses, run.history, {"validation_loss": "-", "train_loss": ":"}, colour, label)
        _draw_epochs(rates, run.history, {"validation_accuracy": "-", "validation_area": "--"}, colour, label)
        fmr, fnmr = run.roc()
        roc.plot(fmr, 1 - fnmr, colour, label=label)
    losses.set(title="validation loss (dotted: training)", xlabel="epoch", ylim=(0, None))
    rates.set(title="validation accuracy (dashed: area under ROC)", xlabel="epoch")
    roc.set(title="ROC on the test pairs", xlabel="false match rate", ylabel="1 - false non-match rate")
    for panel in (losses, rates, roc):
        panel.grid(alpha=0.3)
        panel.legend()
    for panel in (losses, rates):
        panel.xaxis.set_major_locator(MaxNLocator(integer=True))
    with replacing(path) as partial:
        figure.savefig(partial, format="png", dpi=120)


def _draw_epochs(panel: "Axes", rows: Sequence[Epoch], styles: Mapping[str, str], colour: str, label: str) -> None:
    """Draws fields of the epochs that have them; the first one bears the run's label."""
    for number, (name, style) in enumerate(styles.items()):
        known = [(row.epoch, value) for row in rows if (value := getattr(row, name)) is not None]
        panel.plot(*zip(*known, strict=True) if known else ((), ()), f"{colour}{style}", label="" if number else label)


def _metric_rows(first: Run, second: Run) -> Iterator[markdown.Row]:
    for one in first.header.metrics:
        for other in second.header.metrics:
            if (one.name, one.split) == (other.name, other.split):
                difference = f"{other.value - one.value:+.4f}"
                yield [f"{one.split} {one.name}", _figure(one), _figure(other), difference]


def _figure(metric: Metric) -> str:
    interval = f" ({metric.interval[0]:.4f} to {metric.interval[1]:.4f})" if metric.interval else ""
    return f"{metric.value:.4f}{interval}, n={metric.pairs}"


def _value_rows(first: Run, second: Run) -> Iterator[markdown.Row]:
    ours, theirs = _values(first), _values(second)
    for name in {**ours, **theirs}:
        if ours.get(name) != theirs.get(name):
            yield [name, ours.get(name, ""), theirs.get(name, ""), ""]


def _values(run: Run) -> dict[str, str]:
    """What determined the run, by dotted names: the experiment's values, the data and the versions."""
    header, origin = run.header, run.header.provenance
    experiment = {name: value for name, value in json.loads(origin.experiment).items() if name not in RECORDS}
    experiment |= {"network": header.network.model_dump(mode="json")}
    experiment |= {"preprocessing": header.preprocessing.model_dump(mode="json")}
    return {
        **dict(_flat(experiment)),
        "epochs trained": str(origin.epochs),
        "minutes": f"{sum(row.seconds for row in run.history) / 60:.1f}",
        "data (SHA-256)": origin.data_sha256[:12],
        "pairs (SHA-256)": origin.pairs_sha256[:12],
        "code": ", ".join([origin.code_version, *origin.resumed_with]),
        "torch": origin.torch_version,
    }


def _flat(value: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, str]]:
    for name, each in value.items():
        if isinstance(each, dict):
            yield from _flat(each, f"{path}{name}.")
        else:
            yield f"{path}{name}", json.dumps(each)
