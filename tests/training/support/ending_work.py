"""Work for processes that ends some of them. It imports little, since each process begins with that."""

import os
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path

from model.errors import DataError


def open_square(folder: Path) -> Callable[[int], int]:
    return partial(square, folder)


def square(folder: Path, number: int) -> int:
    """Ends the process at a multiple of 3, once; at -1 always."""
    mark = folder / str(number)
    if number == -1 or (number % 3 == 0 and not mark.exists()):
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    if number == 7:
        raise DataError("7 is refused")
    return number**2


def refuse() -> Callable[[int], int]:
    raise DataError("cannot be opened")
