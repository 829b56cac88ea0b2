"""Variants of experiments: values that a run changes, found and named."""

import json
import re
from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar

from pydantic import BaseModel, TypeAdapter

from model.checkpoint import ChangedValue, Changes
from model.errors import TrainingError
from training.learning.experiment import Experiment

Run = TypeVar("Run", bound=Experiment[Any])
# The name tells runs apart, the seed has its place in every report, and `changes` is what is found here.
UNCOUNTED = {"name", "seed", "changes"}
MAX_SUFFIX = 60
JSON = TypeAdapter(Any)


def changed_values(named: object, changed: object, path: str = "") -> Iterator[ChangedValue]:
    """The values in which two values of one type differ, field by field, with dotted names."""
    if named == changed:
        return
    names = _field_names(named) if type(named) is type(changed) else ()
    if not names:
        yield ChangedValue(field=path, named=_as_json(named), value=_as_json(changed))
    for name in names:
        if path or name not in UNCOUNTED:
            inner = f"{path}.{name}" if path else name
            yield from changed_values(getattr(named, name), getattr(changed, name), inner)


def require_name(name: str) -> str:
    """The name of a run or a checkpoint. Raises TrainingError for one that cannot be a file's."""
    if not re.fullmatch(r"\w[\w.+-]*", name, re.ASCII):
        raise TrainingError(
            f"--name {name!r}: files get this name, so use letters, digits, '-', '_', '+' and '.' alone"
        )
    return name


def variant_of(named: Run, changed: Run) -> Run:
    """`changed` with a record of how it differs from `named`, and with a name that says so unless it has its own.

    The seed does not count. Raises TrainingError for a name that cannot be a file's.
    """
    values = tuple(changed_values(named, changed))
    name = require_name(changed.name if changed.name != named.name else named.name + _suffix(values))
    changes = Changes(experiment=named.name, values=values) if values else None
    return replace(changed, name=name, changes=changes)


def _field_names(value: object) -> tuple[str, ...]:
    if isinstance(value, BaseModel):
        return tuple(type(value).model_fields)
    return tuple(each.name for each in fields(value)) if is_dataclass(value) else ()


def _as_json(value: object) -> str:
    return json.dumps(JSON.dump_python(value, mode="json"))


def _suffix(values: tuple[ChangedValue, ...]) -> str:
    """Such as `-epochs3-from-experiment-7`; the number of values if that is too long."""
    suffix = "".join(map(_part, values))
    return suffix if len(suffix) <= MAX_SUFFIX else f"-with-{len(values)}-changes"


def _part(changed: ChangedValue) -> str:
    value = json.loads(changed.value)
    if changed.field == "start" and value:
        return f"-from-{value['checkpoint']}"
    text = re.sub(r"[^\w.+-]+", "_", str(value), flags=re.ASCII).rstrip("_")
    return f"-{changed.field.rpartition('.')[2]}{text}"
