"""A checkpoint's card: what it was trained on, what it scores, what it is for; Markdown, from the header alone."""

import json

from model.checkpoint import Header
from model.similarity import Metric, OperatingPoint

INTENDED_USE = """\
For research and for learning how face verification is built and served. It knows faces only as its training data
shows them: how it does on other groups of people, other cameras and other ages was not measured. It must not decide
alone about anything that matters to a person, and the people photographed must have agreed to its use.
"""


def format_card(header: Header) -> str:
    """The whole card."""
    threshold, provenance = header.threshold, header.provenance
    rows = "\n".join(_row(metric) for metric in header.metrics)
    experiment = {name: value for name, value in json.loads(provenance.experiment).items() if value is not None}
    trained_on = {"quality of the training faces": header.trained_on.model_dump_json()} if header.trained_on else {}
    facts = {
        "network": header.network.model_dump_json(),
        "preprocessing": header.preprocessing.model_dump_json(),
        **trained_on,
        "experiment": json.dumps(experiment),
        "seed": provenance.seed,
        "epochs trained": provenance.epochs,
        "data (SHA-256 of the prepared pictures)": provenance.data_sha256,
        "pairs (SHA-256 of the training and validation pairs)": provenance.pairs_sha256,
        "validation pairs that show a person of the training pairs": provenance.validation_pairs_sharing_people,
        "code that the run began with": provenance.code_version,
        "code that chose the threshold and measured": provenance.measured_with,
        "torch": provenance.torch_version,
        "created": provenance.created_utc,
        "embedding_sha256": header.embedding_sha256,
        "checkpoint_sha256": header.checkpoint_sha256,
    }
    listed = "\n".join(f"- {name}: `{value}`" for name, value in facts.items())
    return f"""\
# {header.name}

Threshold {threshold.value:.6f}: {threshold.method} on the {threshold.pairs} pairs of {threshold.split}.

## What it scores

Accuracies carry Wilson's 95% interval, the other figures a bootstrap's over pairs.

| split | figure | value | 95% interval | pairs |
|---|---|---|---|---|
{rows}
{_operating_points(header.operating_points)}
## What it is for

{INTENDED_USE}
## Where it comes from

{listed}
"""


def _operating_points(points: tuple[OperatingPoint, ...]) -> str:
    """A section of its own, or nothing."""
    if not points:
        return ""
    rows = "\n".join(
        f"| {p.name} | {p.threshold:.6f} | {p.fmr:.3%} | {p.interval[0]:.3%} to {p.interval[1]:.3%} | {p.pairs:,} |"
        for p in points
    )
    return f"""
## Operating points

Thresholds for a false match rate of at most so much, over impostor pairs of the {points[0].people} people of
{points[0].split}; the interval is a bootstrap's over people.

| name | threshold | false match rate | 95% interval | impostor pairs |
|---|---|---|---|---|
{rows}
"""


def _row(metric: Metric) -> str:
    interval = f"{metric.interval[0]:.4f} to {metric.interval[1]:.4f}" if metric.interval else ""
    return f"| {metric.split} | {metric.name} | {metric.value:.4f} | {interval} | {metric.pairs} |"
