"""Which files an image passes."""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.file_tracer import make_hook
from benchmarks.image_path import Event, find_path, trace
from benchmarks.service import ServiceError
from benchmarks.structure import ROOT

SOURCE = """
def make(size):
    return bytes(size)

def pass_on(parts):
    return len(parts)

def count(size):
    return size
"""
PHOTOGRAPH = Image.new("L", (8, 8))


def run_traced(work: Callable[[], object], root: Path) -> list[tuple[str, bool]]:
    """Function and whether it had an image, of each line of the tracer."""
    lines: list[str] = []
    before = sys.getprofile()
    sys.setprofile(make_hook(str(root), lines.append))
    try:
        work()
    finally:
        sys.setprofile(before)
    return [(line.split("\t")[2], line.endswith("\t1\n")) for line in lines]


@pytest.mark.parametrize("image", [bytes(2000), PHOTOGRAPH, np.zeros(16)])
def test_an_image_is_seen_among_arguments_and_in_what_comes_back(image: object, tmp_path: Path) -> None:
    namespace: dict[str, Callable[..., object]] = {}
    exec(compile(SOURCE, str(tmp_path / "app" / "module.py"), "exec"), namespace)

    def work() -> None:
        namespace["count"](2000)
        namespace["make"](2000)
        namespace["pass_on"]({"image": [image]})

    assert run_traced(work, tmp_path) == [("count", False), ("make", False), ("make", True), ("pass_on", True)]
    assert run_traced(work, tmp_path / "elsewhere") == []


def test_the_path_ends_with_the_similarity() -> None:
    events = [
        Event(at_ns=4, file="app/schemas.py", function="fill", handed=True),
        Event(at_ns=1, file="app/uploads.py", function="read", handed=True),
        Event(at_ns=2, file="app/settings.py", function="get", handed=False),
        Event(at_ns=3, file="model/similarity.py", function="similarity", handed=True),
    ]
    path = find_path(events)
    assert (path.passed, path.others) == (["app/uploads.py", "model/similarity.py"], ["app/settings.py"])
    with pytest.raises(ServiceError):
        find_path(events[:3])


def test_a_real_service_is_traced_into_its_decoders(aligned_checkpoint_path: Path) -> None:
    passed = {Path(file).name for file in trace(ROOT, aligned_checkpoint_path).passed}
    assert {"analyses.py", "decoder.py", "verifier.py", "embedder.py"} <= passed
