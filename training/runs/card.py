"""A checkpoint's card in Markdown, from its header alone: metrics, intended use and provenance."""

import json

from model.checkpoint import Header
from model.similarity import Metric, OperatingPoint

INTENDED_USE = """\
For research, and for learning how face verification is built and served. Accuracy on people, cameras and ages unlike
those of the training data was not measured. Do not let it decide alone about anything that matters to a person, and
use it only with the consent of the people photographed.
"""


def format_card(header: Header) -> str:
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

## Metrics

95% intervals are Wilson's for accuracies, and a bootstrap's over pairs for the other metrics.

| split | metric | value | 95% interval | pairs |
|---|---|---|---|---|
{rows}
{_operating_points(header.operating_points)}
## Intended use

{INTENDED_USE}
## Provenance

{listed}
"""


def _operating_points(points: tuple[OperatingPoint, ...]) -> str:
    if not points:
        return ""
    rows = "\n".join(
        f"| {p.name} | {p.threshold:.6f} | {p.fmr:.3%} | {p.interval[0]:.3%} to {p.interval[1]:.3%} | {p.pairs:,} |"
        for p in points
    )
    return f"""
## Operating points

Each threshold keeps the false match rate at or below that in its name, over the impostor pairs of {points[0].people}
people ({points[0].split}). Intervals are a bootstrap's over people.

| name | threshold | false match rate | 95% interval | impostor pairs |
|---|---|---|---|---|
{rows}
"""


def _row(metric: Metric) -> str:
    interval = f"{metric.interval[0]:.4f} to {metric.interval[1]:.4f}" if metric.interval else ""
    return f"| {metric.split} | {metric.name} | {metric.value:.4f} | {interval} | {metric.pairs} |"
