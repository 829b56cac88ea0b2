"""Decoding takes no more memory per pixel of the file than docs/operations.md states."""

import json
import os
import subprocess
import sys

import pytest

from benchmarks.memory import BYTES_PER_PIXEL, FORMS

SIZE = (2200, 1500)

CHILD = """
import json, sys
from PIL import Image
from benchmarks.memory import FORMS, drawn_file
from benchmarks.processes import resident_bytes
from model.imaging.decoding import decode
from model.imaging.preprocessing import PreprocessingConfig

size, found = tuple(json.loads(sys.argv[1])), {}
for form in FORMS:
    for orientation in (1, 6):
        file = drawn_file(form, size, orientation)
        for colour in ("grey", "rgb"):
            config = PreprocessingConfig(colour=colour)
            decode(file, config)
            open("/proc/self/clear_refs", "w").write("5")
            before = resident_bytes("self", "VmRSS")
            decode(file, config)
            found[f"{form}, {colour}, orientation {orientation}"] = resident_bytes("self") - before
print(json.dumps(found))
"""


@pytest.mark.skipif(not os.access("/proc/self/clear_refs", os.W_OK), reason="the system cannot forget a memory peak")
def test_decoding_stays_within_the_documented_memory() -> None:
    # Makes the allocator return freed memory to the system, so that its reuse counts.
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536"}
    command = [sys.executable, "-c", CHILD, json.dumps(SIZE)]
    found = json.loads(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout)
    assert len(found) == 4 * len(FORMS)
    per_pixel = {case: taken / (SIZE[0] * SIZE[1]) for case, taken in found.items()}
    assert max(per_pixel.values()) <= BYTES_PER_PIXEL, per_pixel
    assert max(per_pixel.values()) > BYTES_PER_PIXEL - 6, "the measure sees no memory"
