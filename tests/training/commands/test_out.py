"""Every command's --out is checked before the command begins."""

import argparse
import os
import stat
from pathlib import Path

import pytest

from training.__main__ import _parser, main

FILES = {
    "landmarks", "evaluate", "all-pairs", "references", "shared-changes", "elsewhere", "conditions", "calibrate",
    "gallery", "import", "embed", "verify",
}  # fmt: skip
FOLDERS = {"run", "grid", "view2", "seeds", "report", "split"}


def parsers() -> dict[str, argparse.ArgumentParser]:
    (found,) = (action for action in _parser()._actions if isinstance(action, argparse._SubParsersAction))
    return dict(found.choices)


def refused(capsys: pytest.CaptureFixture[str], command: str, out: Path) -> str:
    """The message for that --out, with names of other files that do not exist."""
    needed = [each for each in parsers()[command]._actions if each.required and each.dest != "out"]
    filled = [[*each.option_strings[:1], str(next(iter(each.choices or ["absent"])))] for each in needed]
    assert main([command, *(word for words in filled for word in words), "--out", str(out)]) == 1
    line = capsys.readouterr().err
    assert line.startswith(f"error: {out}: cannot be written: ")
    assert line.endswith("; choose another --out\n")
    return line


def test_every_command_with_out_is_listed_and_checks_it() -> None:
    with_out = {name: each for name, each in parsers().items() if any(action.dest == "out" for action in each._actions)}
    assert set(with_out) == FILES | FOLDERS
    assert all(callable(each.get_default("require_writable")) for each in with_out.values())


@pytest.mark.parametrize("command", sorted(FILES))
def test_out_that_cannot_be_a_file_is_refused(command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("here before")
    os.mkfifo(tmp_path / "pipe")
    assert "it is a folder; add the name of a file" in refused(capsys, command, tmp_path)
    assert "it is no plain file" in refused(capsys, command, tmp_path / "pipe")
    assert f"{tmp_path / 'file'} is no folder" in refused(capsys, command, tmp_path / "file" / "new.json")
    assert "too long" in refused(capsys, command, tmp_path / ("x" * 240))
    refused(capsys, command, Path("/proc/absent/new.json"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "pipe"]
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)


@pytest.mark.parametrize("command", sorted(FOLDERS))
def test_out_that_cannot_be_a_folder_is_refused(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("here before")
    for out in (tmp_path / "file", tmp_path / "file" / "deep"):
        assert f"{tmp_path / 'file'} is no folder" in refused(capsys, command, out)
    assert "too long" in refused(capsys, command, tmp_path / ("x" * 256))
    refused(capsys, command, Path("/proc/absent"))
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_new_file_in_new_folders_passes_the_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "new" / "deep" / "found.json"
    assert main(["evaluate", str(tmp_path / "absent"), "--out", str(out), "--data", str(tmp_path)]) == 1
    assert "absent: the file does not exist" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
