import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from model.files import partial_of, partials, replacing

WRITER = """
import sys
from pathlib import Path
from model.files import replacing
with replacing(Path(sys.argv[1])) as partial:
    partial.write_text("theirs")
    print("half way", flush=True)
    sys.stdin.readline()
"""


@contextmanager
def other_writer(path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that has written to its partial file, and publishes it once it is sent a line."""
    command = [sys.executable, "-c", WRITER, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "half way\n"
        yield process


def interrupted(path: Path, failure: type[BaseException]) -> None:
    with replacing(path) as partial:
        partial.write_text("ne")
        raise failure


def test_a_new_file_appears_complete_and_in_a_new_folder(tmp_path: Path) -> None:
    path = tmp_path / "runs" / "one" / "weights"
    with replacing(path) as partial:
        partial.write_text("new")
        assert not path.exists()
    assert path.read_text() == "new"
    assert list(path.parent.iterdir()) == [path]


def test_the_old_file_stands_until_the_new_one_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "weights"
    path.write_text("old")
    with replacing(path) as partial:
        partial.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"


def test_the_bytes_are_on_the_disk_before_the_new_name_is_and_then_it_is_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "weights"
    path.write_text("old")
    flushed = []

    def flush(descriptor: int) -> None:
        flushed.append((os.fstat(descriptor).st_ino, path.read_text()))

    monkeypatch.setattr(os, "fsync", flush)
    with replacing(path) as partial:
        partial.write_text("new")
    assert flushed == [(path.stat().st_ino, "old"), (tmp_path.stat().st_ino, "new")]


@pytest.mark.parametrize("failure", [OSError, KeyboardInterrupt, SystemExit])
def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path, failure: type[BaseException]) -> None:
    path = tmp_path / "weights"
    path.write_text("old")
    with pytest.raises(failure):
        interrupted(path, failure)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_failure_before_the_first_byte_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="too early"), replacing(tmp_path / "weights"):
        raise ValueError("too early")
    assert list(tmp_path.iterdir()) == []


def test_writers_of_one_file_do_not_disturb_each_other(tmp_path: Path) -> None:
    path = tmp_path / "weights"
    with other_writer(path) as other:
        with replacing(path) as partial:
            partial.write_text("ours")
            assert partials(path) == sorted([partial, partial_of(path, other.pid)])
        assert path.read_text() == "ours"
        assert partials(path) == [partial_of(path, other.pid)]
        other.communicate("go on\n")
    assert path.read_text() == "theirs"
    assert list(tmp_path.iterdir()) == [path]


def test_what_killed_processes_left_is_removed(tmp_path: Path) -> None:
    path = tmp_path / "weights"
    left = set()
    for _ in range(2):
        with other_writer(path) as other:
            other.kill()
        left.add(partial_of(path, other.pid))
        assert left >= set(partials(path)) == {partial_of(path, other.pid)}
    with replacing(path) as partial:
        assert partials(path) == []
        partial.write_text("ours")
    assert path.read_text() == "ours"
    assert list(tmp_path.iterdir()) == [path]


def test_partials_are_those_of_this_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "a[1]"
    mine = partial_of(path, 12)
    others = [partial_of(tmp_path / name, 12) for name in ("a1", "a[1].b", "b.a[1]")]
    for partial in (path, mine, *others, tmp_path / ".a[1].partial", tmp_path / ".a[1].x.partial"):
        partial.touch()
    assert partials(path) == [mine]
    assert partials(tmp_path / "absent" / "a") == []


def test_files_of_one_folder_do_not_share_their_partial_file(tmp_path: Path) -> None:
    with replacing(tmp_path / "a") as a, replacing(tmp_path / "b") as b:
        a.write_text("a")
        b.write_text("b")
    assert (tmp_path / "a").read_text() == "a"
    assert (tmp_path / "b").read_text() == "b"
