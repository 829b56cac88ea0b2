"""A checkpoint's card in Markdown, from its header alone: metrics, intended use and provenance."""

import json

from model.checkpoint import Header
from model.similarity import Calibration, Metric, OperatingPoint

INTENDED_USE = """\
For research, and for learning how face verification is built and served. Calibrate it on your own photographs first:
the rates hold for photographs like those that they were measured on, and other cameras, crops and light can raise the
false match rate many times over. Do not let it decide alone about anything that matters to a person, and use it only
with the consent of the people photographed.
"""


def format_card(header: Header) -> str:
    threshold, provenance = header.threshold, header.provenance
    rows = "\n".join(_row(metric) for metric in header.metrics)
    experiment = {name: value for name, value in json.loads(provenance.experiment).items() if value is not None}
    trained_on = {"quality of the training faces": header.trained_on.model_dump_json()} if header.trained_on else {}
    changes = {"changed from a named experiment": provenance.changes} if provenance.changes else {}
    resumed = {"code that went on with the run": ", ".join(provenance.resumed_with)} if provenance.resumed_with else {}
    origin = {"source": provenance.source, "licence": provenance.license} if provenance.source else {}
    facts: dict[str, object] = {
        **origin,
        "network": header.network.model_dump_json(),
        "preprocessing": header.preprocessing.model_dump_json(),
        **_calibration(header.calibration),
        **trained_on,
        **changes,
        "experiment": json.dumps(experiment),
        "seed": provenance.seed,
        "epochs trained": provenance.epochs,
        "data (SHA-256 of the prepared pictures)": provenance.data_sha256,
        "pairs (SHA-256 of the training and validation pairs)": provenance.pairs_sha256,
        "validation pairs that show a person of the training pairs": provenance.validation_pairs_sharing_people,
        "code that the run began with": provenance.code_version,
        **resumed,
        "code that chose the threshold and measured": provenance.measured_with,
        "torch": provenance.torch_version,
        **({"CPU threads": provenance.threads} if provenance.threads else {}),
        "created": provenance.created_utc,
        "embedding_sha256": header.embedding_sha256,
        "checkpoint_sha256": header.checkpoint_sha256,
    }
    listed = "\n".join(f"- {name}: `{value}`" for name, value in facts.items())
    return f"""\
# {header.name}

Threshold {threshold.value:.6f}: {threshold.method} on the {threshold.pairs} pairs of {threshold.split}.

Thresholds and rates hold for {header.rates_hold_for}.

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


def _calibration(calibration: Calibration) -> dict[str, str]:
    """What a calibration after training did; nothing for the thresholds of the training run."""
    if not calibration.made_on:
        return {}
    mean = "a mean embedding is subtracted, " if calibration.mean else ""
    return {
        "calibration": f"{mean}scale {calibration.scale:.4f}, bias {calibration.bias:+.4f}",
        "calibrated on": calibration.made_on,
    }


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
{_most_similar(points)}"""


def _most_similar(points: tuple[OperatingPoint, ...]) -> str:
    rows = [
        f"| {p.name} | {p.fmr_of_similar:.2%} | {p.interval_of_similar[0]:.2%} to {p.interval_of_similar[1]:.2%} |"
        for p in points
        if p.fmr_of_similar is not None and p.interval_of_similar
    ]
    if not rows:
        return ""
    table = "\n".join(rows)
    return f"""
Strangers who look alike pass more often. The rate over each person and the most similar twentieth of the other people,
who were found by other pictures than those compared:

| name | false match rate, most similar strangers | 95% interval |
|---|---|---|
{table}
"""


def _row(metric: Metric) -> str:
    interval = f"{metric.interval[0]:.4f} to {metric.interval[1]:.4f}" if metric.interval else ""
    return f"| {metric.split} | {metric.name} | {metric.value:.4f} | {interval} | {metric.pairs} |"
