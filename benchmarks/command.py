"""What the benchmarks' commands share: common options, the handling of errors, and the record."""

import argparse
import shlex
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from app.settings import SHIPPED
from benchmarks.machine import describe_machine
from benchmarks.record import RESULTS, Figures, Record, format_record, write_record
from model.errors import FacepairError
from model.networks.device import select_device
from training.commands.options import code_version, positive


def new_parser(
    name: str, module: str, description: str, rounds: int | None, *, cpu_alone: bool = False
) -> argparse.ArgumentParser:
    """A parser with the options that benchmarks share.

    `name` is the record's default name, `rounds` the default of --rounds, or None for a benchmark without that option.
    """
    parser = argparse.ArgumentParser(
        prog=f"python -m {module}",
        description=description,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    if cpu_alone:
        parser.set_defaults(device="cpu")
    else:
        parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    if rounds is not None:
        parser.add_argument("--rounds", type=positive, default=rounds, help="how often each part has its turn")
    parser.add_argument("--name", default=name, help="the record's name, which the date follows")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder for the record")
    return parser


def add_weights(parser: argparse.ArgumentParser) -> None:
    """Adds the option for the checkpoint to measure."""
    parser.add_argument("--weights", type=Path, default=SHIPPED, help="checkpoint to measure")


def run_benchmark(
    parser: argparse.ArgumentParser,
    arguments: Sequence[str] | None,
    measure: Callable[[argparse.Namespace], Figures],
) -> int:
    """Measures, then writes and prints the record. Returns the exit status: 1 after a FacepairError, then printed."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    options = parser.parse_args(given)
    started, code = datetime.now(UTC), code_version()
    try:
        machine = describe_machine(select_device(options.device))
        figures = measure(options)
    except FacepairError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    record = Record(
        name=options.name,
        utc=started.isoformat(timespec="seconds"),
        command=shlex.join([*parser.prog.split(), *map(_without_place, given)]),
        code_version=code,
        machine=machine,
        figures=figures,
    )
    path = write_record(record, options.out)
    print(format_record(record))
    print(f"\nwrote {path}")
    return 0


def _without_place(argument: str) -> str:
    """An argument as a record has it: of a path on this machine, or outside the project, the name alone."""
    option, sign, value = argument.rpartition("=")
    path = Path(value)
    return f"{option}{sign}{path.name}" if path.is_absolute() or ".." in path.parts else argument
