from pathlib import Path

import pytest

from model.files import replacing


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


def test_what_a_killed_process_left_is_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "weights"
    with replacing(path) as partial:
        litter = partial
        partial.write_text("first")
    litter.write_text("half of a longer text")
    with replacing(path) as partial:
        partial.write_text("second")
    assert path.read_text() == "second"
    assert list(tmp_path.iterdir()) == [path]


def test_files_of_one_folder_do_not_share_their_partial_file(tmp_path: Path) -> None:
    with replacing(tmp_path / "a") as a, replacing(tmp_path / "b") as b:
        a.write_text("a")
        b.write_text("b")
    assert (tmp_path / "a").read_text() == "a"
    assert (tmp_path / "b").read_text() == "b"
