"""A process that has come to stay."""

import platform
import subprocess
import sys

import pytest

# Takes and gives back what a pass needs, on a thread as the network does, and prints how many bytes the system gave.
PASSES = """
import resource, threading
from app.server.replica import freeze_heap

def passes():
    for _ in range(PASSES):
        [bytearray(BYTES) for _ in range(BLOCKS)]

freeze_heap()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
thread = threading.Thread(target=passes)
thread.start()
thread.join()
print((resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) * resource.getpagesize())
"""
COUNT, BLOCKS, SIZE = 20, 8, 2 * 1024 * 1024


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other libraries keep memory by other rules")
def test_memory_of_a_pass_is_kept_for_the_next() -> None:
    code = PASSES.replace("PASSES", str(COUNT)).replace("BLOCKS", str(BLOCKS)).replace("BYTES", str(SIZE))
    given = int(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)
    assert given < 2 * BLOCKS * SIZE, "otherwise it is given again for each pass"


def test_loaded_objects_are_not_searched_for_garbage() -> None:
    code = """import gc
from app.server.replica import freeze_heap
freeze_heap()
print(gc.get_freeze_count(), len(gc.get_objects()))
"""
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    frozen, searched = map(int, told.split())
    assert frozen > 100 * searched
