"""The values of an experiment as options of `run`, by tyro: every field of the frozen value, with its default."""

import contextlib
import io
import re
from collections.abc import Container, Sequence
from dataclasses import is_dataclass, replace
from itertools import pairwise
from types import NoneType
from typing import Any, TypeVar, get_args, get_type_hints

import tyro
from pydantic import BaseModel

from model.errors import TrainingError
from training.learning.experiment import Experiment

Run = TypeVar("Run", bound=Experiment[Any])
T = TypeVar("T")
SETTINGS = (tyro.conf.AvoidSubcommands, tyro.conf.FlagConversionOff)
# What a run derives from others of its options.
DERIVED = ("start", "changes")


def with_values(experiment: Run, arguments: Sequence[str], names: Container[str]) -> Run:
    """A copy with the values that the arguments give, such as `--epochs 3 --augmentation.rotation-deg 5`.

    `--FIELD None` leaves out a part such as `augmentation`. Raises TrainingError for an argument that is not a field
    of the experiment, for a value that its field cannot have, and for a name among `names`, those of the experiments.
    """
    if not arguments:
        return experiment
    start, rest = _with_parts(experiment, list(arguments))
    shown = io.StringIO()
    try:
        with contextlib.redirect_stderr(shown):
            changed, unknown = tyro.cli(
                type(experiment), default=start, args=rest, config=SETTINGS, return_unknown_args=True
            )
    except SystemExit as ended:
        raise TrainingError(f"{experiment.name}: {_one_line(shown.getvalue())}") from ended
    if unknown:
        raise TrainingError(
            f"unrecognized arguments: {' '.join(unknown)}; `python -m training run {experiment.name} --help` lists all"
        )
    if changed.name in names and any(each.partition("=")[0] == "--name" for each in arguments):
        raise TrainingError(f"--name {changed.name}: is the name of an experiment; choose a new one")
    return changed


def describe_values(experiment: Experiment[Any]) -> str:
    """The help of all options, with the experiment's values as defaults."""
    shown = io.StringIO()
    with contextlib.suppress(SystemExit), contextlib.redirect_stdout(shown):
        tyro.cli(type(experiment), default=experiment, args=["--help"], config=SETTINGS, prog="values")
    return shown.getvalue().partition("\n\n")[2]


def _with_parts(value: T, arguments: list[str], path: str = "") -> tuple[T, list[str]]:
    """Leaves out parts by `--PART None`, and adds parts that options name -> the value, and the arguments that remain.

    A part is a value with fields inside another one.
    """
    for name, (kind, optional) in _parts(type(value)).items():
        option = f"--{path}{name}".replace("_", "-")
        part = getattr(value, name)
        if optional and (index := _index_of_none(arguments, option)) is not None:
            part, arguments = None, arguments[:index] + arguments[index + 2 :]
        if part is None and any(each.replace("_", "-").startswith(f"{option}.") for each in arguments):
            part = _default(kind, option)
        if part is not None:
            part, arguments = _with_parts(part, arguments, f"{path}{name}.")
        value = _replaced(value, name, part)
    return value, arguments


def _index_of_none(arguments: Sequence[str], option: str) -> int | None:
    pairs = enumerate(pairwise(each.replace("_", "-") for each in arguments))
    return next((index for index, pair in pairs if pair == (option, "None")), None)


def _parts(kind: type) -> dict[str, tuple[type, bool]]:
    """The fields of a type that hold a value with fields: its type, and whether the field can be None."""
    found = {}
    for name, hint in get_type_hints(kind).items():
        inner = [each for each in get_args(hint) if each is not NoneType] or [hint]
        if len(inner) == 1 and name not in DERIVED and _has_fields(inner[0]):
            found[name] = (inner[0], NoneType in get_args(hint))
    return found


def _default(kind: type, option: str) -> Any:
    try:
        return kind()
    except (TypeError, ValueError) as error:
        raise TrainingError(f"{option}: the experiment has none, and there are no defaults to start from") from error


def _has_fields(kind: object) -> bool:
    return isinstance(kind, type) and (is_dataclass(kind) or issubclass(kind, BaseModel))


def _replaced(value: T, name: str, part: object) -> T:
    if getattr(value, name) == part:
        return value
    if isinstance(value, BaseModel):
        return value.model_copy(update={name: part})
    return replace(value, **{name: part})  # type: ignore[type-var]  # a dataclass, as _parts found


def _one_line(box: str) -> str:
    """The message in the box that tyro draws."""
    lines = [line.strip("│╭╮╰╯ ") for line in box.splitlines()[1:]]
    message = []
    for line in lines:
        if not line.strip("─"):
            break
        message.append(line)
    text = re.sub(r"For further information visit \S+", "", " ".join(message))
    return re.sub(r"\s+", " ", re.sub(r"\[type=.*?\]", "", text)).strip()
