"""Records which files of a checkout run, and which of them are handed an image.

`benchmarks.image_path` copies this file to `sitecustomize.py`, which Python runs at its start. The tracer is thereby in
the service, the fork server and the decoders. It needs only the standard library.
"""

import os
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from math import prod
from types import FrameType

# Without the prefix of the service's settings, since the service refuses variables that it does not know.
ROOT_VARIABLE = "FILE_TRACER_ROOT"
LOG_VARIABLE = "FILE_TRACER_LOG"
PACKAGES = ("model", "app", "training")
# Shorter byte strings are options and headers.
MIN_BYTES = 1000
ARRAYS = {"ndarray", "Tensor", "Image"}
# Smaller arrays are landmarks, boxes and scores.
MIN_VALUES = 16
MAX_DEPTH = 3
MAX_ITEMS = 8

Hook = Callable[[FrameType, str, object], None]


def holds_image(value: object, depth: int = MAX_DEPTH) -> bool:
    """Whether a value is the bytes of a file, a Pillow image or an array, or contains one."""
    if isinstance(value, bytes | bytearray | memoryview):
        return len(value) >= MIN_BYTES
    if ARRAYS & {base.__name__ for base in type(value).__mro__}:
        return _values(value) >= MIN_VALUES
    return depth > 0 and any(holds_image(each, depth - 1) for each in _parts(value))


def _values(value: object) -> int:
    """The number of values of an array; MIN_VALUES for a Pillow image, which has no shape."""
    shape = getattr(value, "shape", None)
    return MIN_VALUES if shape is None else prod(shape)


def _parts(value: object) -> list[object]:
    if isinstance(value, list | tuple):
        return list(value[:MAX_ITEMS])
    if isinstance(value, dict):
        return list(value.values())[:MAX_ITEMS]
    if is_dataclass(value) and not isinstance(value, type):
        return [getattr(value, field.name, None) for field in fields(value)]
    return []


def make_hook(root: str, write: Callable[[str], object]) -> Hook:
    """A function for `sys.setprofile` that writes lines with time, file, function, and whether an image was handed.

    It writes a line for each call, and two when an image is returned: for the function and for its caller.
    """
    folders = tuple(os.path.join(root, package) + os.sep for package in PACKAGES)

    def note(frame: FrameType | None, *, handed: bool) -> None:
        if frame and frame.f_code.co_filename.startswith(folders):
            path = os.path.relpath(frame.f_code.co_filename, root)
            write(f"{time.monotonic_ns()}\t{path}\t{frame.f_code.co_name}\t{int(handed)}\n")

    def hook(frame: FrameType, event: str, value: object) -> None:
        if not frame.f_code.co_filename.startswith(folders):
            return
        if event == "call":
            own = {name: each for name, each in frame.f_locals.items() if name not in ("self", "cls")}
            note(frame, handed=holds_image(own))
        elif event == "return" and holds_image(value):
            note(frame, handed=True)
            note(frame.f_back, handed=True)

    return hook


def start(root: str, log: str) -> None:
    """Traces this process, its future threads and the processes forked from it, which all append to the log."""
    file = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    hook = make_hook(root, lambda line: os.write(file, line.encode()))
    threading.setprofile(hook)
    sys.setprofile(hook)


if LOG_VARIABLE in os.environ:
    start(os.environ[ROOT_VARIABLE], os.environ[LOG_VARIABLE])
