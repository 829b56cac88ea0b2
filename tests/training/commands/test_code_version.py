"""Which code a checkpoint says that it comes from."""

import subprocess
from pathlib import Path

import pytest

from model import __version__
from training.commands import options


def test_code_version_ignores_an_enclosing_repository(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    installed = tmp_path / "site-packages" / "training" / "commands" / "options.py"
    installed.parent.mkdir(parents=True)
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@example.org"]
    for command in (["init", "--quiet"], ["commit", "--quiet", "--allow-empty", "--message", "another project's"]):
        subprocess.run([*git, *command], check=True, timeout=60)
    monkeypatch.setattr(options, "__file__", str(installed))
    assert options.code_version() == __version__
