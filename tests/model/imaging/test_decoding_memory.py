"""What decoding takes for a pixel of the file, grey or in colour, upright or turned: what docs/operations.md states."""

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
def test_no_format_takes_more_than_is_stated() -> None:
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536"}  # what is freed is given back, and counts again
    command = [sys.executable, "-c", CHILD, json.dumps(SIZE)]
    found = json.loads(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout)
    assert len(found) == 4 * len(FORMS)
    per_pixel = {case: taken / (SIZE[0] * SIZE[1]) for case, taken in found.items()}
    assert max(per_pixel.values()) <= BYTES_PER_PIXEL, per_pixel
    assert max(per_pixel.values()) > BYTES_PER_PIXEL - 6, "the measure sees no memory"
