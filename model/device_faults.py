"""Turns the exceptions with which a runtime reports a fault of its device into those of `model.errors`."""

import traceback
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeAlias, TypeVar

from model.errors import DeviceExhausted, DeviceLost

P = ParamSpec("P")
T = TypeVar("T")

# What a runtime's exception stands for, or None if it has another cause.
FaultOf: TypeAlias = Callable[[RuntimeError | MemoryError], DeviceExhausted | DeviceLost | None]


def translating(fault_of: FaultOf) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """A decorator that raises the faults that `fault_of` finds. The runtime's exception is a note of the fault."""

    def decorate(call: Callable[P, T]) -> Callable[P, T]:
        @wraps(call)
        def wrapper(*args: P.args, **kwargs: P.kwargs) -> T:
            try:
                return call(*args, **kwargs)
            except (RuntimeError, MemoryError) as error:
                if (fault := fault_of(error)) is None:
                    raise
                fault.add_note("".join(traceback.format_exception(error)))
            raise fault  # outside `except`: as its context, the original would keep the failed pass's arrays alive

        return wrapper

    return decorate
