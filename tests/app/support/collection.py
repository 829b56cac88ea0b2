"""Python's garbage collection, switched off to see what is freed without it."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without_collection() -> Iterator[None]:
    """Inside, only what nothing refers to any more is freed: no cycles."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
