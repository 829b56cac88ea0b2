"""A process that has come to stay."""

import platform
import subprocess
import sys

import pytest

# Frees blocks between others, and prints how many bytes the process then has less.
FREED = """
import os
from pathlib import Path
from app.server.replica import freeze_heap

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

blocks = [bytes(65536) + bytes([1]) for _ in range(1000)]
kept = blocks[::10]
before = resident()
del blocks
freeze_heap()
print(before - resident())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other libraries keep memory by other rules")
def test_freed_memory_is_given_back() -> None:
    freed = int(subprocess.run([sys.executable, "-c", FREED], capture_output=True, text=True, check=True).stdout)
    assert freed > 40e6


def test_loaded_objects_are_not_searched_for_garbage() -> None:
    code = """import gc
from app.server.replica import freeze_heap
freeze_heap()
print(gc.get_freeze_count(), len(gc.get_objects()))
searches = []
gc.callbacks.append(lambda *_: searches.append(1))
held = [[] for _ in range(4000)]
print(len(searches))
"""
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    frozen, searched, searches = map(int, told.split())
    assert frozen > 100 * searched
    assert searches == 0, "the objects of some hundred requests start no search"
