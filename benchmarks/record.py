"""Records of measurements, with the command and the machine: one dated JSON file each, and a table for a terminal."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.machine import Machine
from model.files import replacing

RESULTS = Path(__file__).parent / "results"

# None if there was nothing to measure.
Value = str | int | float | None
Row = dict[str, Value]


@dataclass(frozen=True, kw_only=True)
class Figures:
    """What a benchmark measured: single values, and a table whose rows have the same columns."""

    summary: Row
    table: list[Row]


@dataclass(frozen=True, kw_only=True)
class Record:
    """A measurement with its circumstances; `utc` is when it began, in ISO 8601."""

    name: str
    utc: str
    command: str
    code_version: str
    machine: Machine
    figures: Figures


def write_record(record: Record, folder: Path) -> Path:
    """Writes `NAME-YYYY-MM-DD.json` into the folder, in place of an earlier record of that name and day."""
    path = folder / f"{record.name}-{record.utc[:10]}.json"
    with replacing(path) as partial:
        partial.write_text(json.dumps(asdict(record), indent=1, allow_nan=False) + "\n")
    return path


def format_record(record: Record) -> str:
    """The command, the machine, the single values and the table, as lines."""
    machine = record.machine
    lines = [
        f"{record.command}  at {record.utc}, code {record.code_version}",
        f"{machine.gpu or machine.cpu}, {machine.cores} cores, {machine.threads} threads, torch {machine.torch}",
        *(f"{name:<24} {_text(value)}" for name, value in record.figures.summary.items()),
        "",
        *_table(record.figures.table),
    ]
    return "\n".join(lines)


def _table(rows: Sequence[Row]) -> list[str]:
    cells = [list(rows[0]), *([_text(value) for value in row.values()] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in cells]


def _text(value: Value) -> str:
    """At most four significant digits, more than a noisy machine gives."""
    if not isinstance(value, float):
        return str(value)
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.4g}"
