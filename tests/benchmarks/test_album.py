"""The benchmark of a large album, at a small size; no test looks at how fast it was."""

import json
import mmap
import os
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from benchmarks import album
from benchmarks.album_data import add_picture, make_people, straight_files
from benchmarks.album_parts import PARTS, Compared, Parts, summarise
from benchmarks.anonymous_memory import Measured, run_apart, run_command
from benchmarks.processes import anonymous_bytes, other_work
from model.errors import DataError
from training.data.lists import read_people
from training.data.pictures import picture_paths

MIB = 2**20


def test_people_are_links_to_a_few_files(tmp_path: Path) -> None:
    files = straight_files()[:3]
    source = make_people(tmp_path / "made", files, pictures=20, people=6)
    people = read_people(source.folder / source.train_people)
    assert sorted(people.values()) == [3, 3, 3, 3, 4, 4]
    paths = picture_paths(source.pictures)
    assert len(paths) == 20
    assert len({path.stat().st_ino for path in paths}) == 3
    add_picture(source)
    assert make_people(tmp_path / "made", files, pictures=20, people=6) == source
    assert read_people(source.folder / source.train_people)["Person_00000"] == 5
    assert len(picture_paths(source.pictures)) == 21
    with pytest.raises(DataError, match="has other pictures; remove it, or choose another --folder"):
        make_people(tmp_path / "made", files, pictures=21, people=6)


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
    found = run_apart(os.getpid)
    assert found.result != os.getpid()
    assert found.mib > 1
    with pytest.raises(DataError, match="ended with status 1"):
        run_command(["false"])


def test_work_of_others_is_counted_in_cores() -> None:
    work = "import sys, time\nwhile time.process_time() < 0.4: pass\nprint(flush=True)\nsys.stdin.read()"
    started = time.perf_counter()
    with (
        subprocess.Popen([sys.executable, "-c", work], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child,
        other_work() as others,
    ):
        assert child.stdout
        child.stdout.readline()
    assert others.cores * (time.perf_counter() - started) >= 0.3


def test_calibration_counts_every_impostor_pair() -> None:
    found = album.calibrate(200)
    assert found["pairs"] == 6 * 50 * 50
    assert found["fmr"] == pytest.approx([0.1, 0.01, 0.001], abs=2 / found["pairs"])


def test_part_that_fails_loses_no_other(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: int) -> None:
        raise MemoryError("too many")

    monkeypatch.setattr(album, "calibrate", fail)
    monkeypatch.setattr(album, "straight_files", lambda: [b"1", b"2"])
    monkeypatch.setattr(album, "scene_files", lambda: [b"3"])
    monkeypatch.setattr(album, "run_apart", lambda work: Measured(seconds=1, mib=3, result=work()))
    monkeypatch.setattr(album, "prepare", lambda *_: Measured(seconds=2, mib=5))
    sizes = ["--pictures", "30", "--people", "6", "--small", "10", "--straightened", "10"]
    folders = ["--folder", str(tmp_path), "--out", str(tmp_path / "records")]
    assert album.main([*sizes, *folders, "--parts", "prepare", "calibrate", "straighten"]) == 1
    said = capsys.readouterr()
    assert said.err == "calibrate: failed: MemoryError: too many\n"
    assert "prepare: 30 pictures, 2.0 s, 5 MiB of anonymous memory\n" in said.out
    [path] = (tmp_path / "records").iterdir()
    text = path.read_text()
    assert str(tmp_path) not in text
    assert f"--folder {tmp_path.name} --out records --parts" in text
    found = json.loads(text)["figures"]
    assert [row["part"] for row in found["table"]] == ["prepare", "straighten"]
    assert found["summary"]["failed"] == "calibrate (MemoryError)"
    assert found["summary"]["beside_network_mib"] == 5
    assert found["summary"]["train_less_network_mib"] is None
    assert [each.name for each in tmp_path.iterdir()] == ["records"]


def test_memory_of_training_alone_is_counted_without_the_network() -> None:
    parts = Parts(wanted=[*PARTS])
    for name, mib in (("network", 900), ("train", 1000), ("prepare", 90), ("one", 80), ("straighten", 300)):
        parts.run(name, 10, partial(Measured, seconds=1, mib=mib))
    seconds = {"large": [2.0, 3.0], "small": [1.0, 3.0], "large_batch": [0.2, 0.2], "small_batch": [0.1, 0.1]}
    compared = Compared(seconds=seconds, cpu_s={"large": [2.0], "small": [2.0]}, others=0.5)
    parts.run("steps", 10, partial(Measured, seconds=1, mib=2000, result=compared))
    found = summarise(parts, straightened=10)
    assert (found["speed_to_small_album_low"], found["speed_to_small_album_high"]) == (0.5, 1.0)
    assert (found["cpu_speed_to_small_album"], found["cores_busy_with_other_work"]) == (1.0, 0.5)
    assert found["train_less_network_mib"] == 100
    assert found["beside_network_mib"] == found["straighten_mib"] == 300
