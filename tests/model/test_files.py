import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from model.files import alone_in, partial_of, partials, replacing

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
    """Another process that has written its partial file, and replaces the file when it gets a line."""
    command = [sys.executable, "-c", WRITER, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "half way\n"
        yield process


def test_a_folder_is_of_one_process_until_it_ends(tmp_path: Path) -> None:
    """A killed process leaves nothing behind that would keep the next one out."""
    code = "import sys; from pathlib import Path; from model.files import alone_in\n"
    code += "with alone_in(Path(sys.argv[1])): print('in', flush=True); sys.stdin.readline()"
    folder = tmp_path / "new" / "run"
    command = [sys.executable, "-c", code, str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "in\n"
        with pytest.raises(BlockingIOError), alone_in(folder):
            pass
        process.kill()
    with alone_in(folder):
        assert list(folder.iterdir()) == []
    with alone_in(folder):
        pass


def interrupted(path: Path, failure: type[BaseException]) -> None:
    with replacing(path) as partial:
        partial.write_text("ne")
        raise failure


def test_new_file_appears_complete_in_a_new_folder(tmp_path: Path) -> None:
    path = tmp_path / "runs" / "one" / "weights"
    with replacing(path) as partial:
        partial.write_text("new")
        assert not path.exists()
    assert path.read_text() == "new"
    assert list(path.parent.iterdir()) == [path]


def test_old_file_stays_until_the_new_one_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "weights"
    path.write_text("old")
    with replacing(path) as partial:
        partial.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"


def test_bytes_are_flushed_before_the_rename_and_the_folder_after(
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
def test_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path, failure: type[BaseException]) -> None:
    path = tmp_path / "weights"
    path.write_text("old")
    with pytest.raises(failure):
        interrupted(path, failure)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_failure_before_the_first_byte_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="too early"), replacing(tmp_path / "weights"):
        raise ValueError("too early")
    assert list(tmp_path.iterdir()) == []


def test_concurrent_writers_do_not_interfere(tmp_path: Path) -> None:
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


def test_partial_files_of_killed_processes_are_removed(tmp_path: Path) -> None:
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


def test_partials_lists_only_those_of_its_file(tmp_path: Path) -> None:
    path = tmp_path / "a[1]"
    mine = partial_of(path, 12)
    others = [partial_of(tmp_path / name, 12) for name in ("a1", "a[1].b", "b.a[1]")]
    for partial in (path, mine, *others, tmp_path / ".a[1].partial", tmp_path / ".a[1].x.partial"):
        partial.touch()
    assert partials(path) == [mine]
    assert partials(tmp_path / "absent" / "a") == []


def test_files_of_a_folder_have_separate_partial_files(tmp_path: Path) -> None:
    with replacing(tmp_path / "a") as a, replacing(tmp_path / "b") as b:
        a.write_text("a")
        b.write_text("b")
    assert (tmp_path / "a").read_text() == "a"
    assert (tmp_path / "b").read_text() == "b"
