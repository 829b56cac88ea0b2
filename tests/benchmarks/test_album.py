"""The benchmark of a large album, at a small size; no test looks at how fast it was."""

import mmap
import os
from pathlib import Path

import numpy as np
import pytest

from benchmarks.album import apart, calibrate, make_people, straight_files
from benchmarks.processes import anonymous_bytes
from training.data.lists import read_people
from training.data.pictures import picture_paths

MIB = 2**20


def test_people_are_links_to_a_few_files(tmp_path: Path) -> None:
    source = make_people(tmp_path, straight_files()[:3], pictures=20, people=6)
    people = read_people(tmp_path / source.train_people)
    assert sorted(people.values()) == [3, 3, 3, 3, 4, 4]
    paths = picture_paths(source.pictures)
    assert len(paths) == 20
    assert len({path.stat().st_ino for path in paths}) == 3


def test_anonymous_memory_leaves_mapped_files_out(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(80 * MIB))
    before = anonymous_bytes(os.getpid())
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        assert mapped[:: mmap.PAGESIZE].count(0) == 80 * MIB // mmap.PAGESIZE
        assert anonymous_bytes(os.getpid()) - before < 20 * MIB
    held = np.ones(80 * MIB, np.uint8)
    assert anonymous_bytes(os.getpid()) - before == pytest.approx(held.nbytes, rel=0.25)
    assert anonymous_bytes(2**22 + 1) == 0


def test_work_apart_is_measured() -> None:
    found = apart(os.getpid)
    assert found.result != os.getpid()
    assert found.mib > 1


def test_calibration_counts_every_impostor_pair() -> None:
    found = calibrate(200)
    assert found["pairs"] == 6 * 50 * 50
    assert found["fmr"] == pytest.approx([0.1, 0.01, 0.001], abs=2 / found["pairs"])
