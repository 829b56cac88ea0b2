"""Which code trains and measures."""

import subprocess
from pathlib import Path

from model import __version__


def code_version() -> str:
    """The commit that the code is at, marked `-dirty` if it was changed since; the package's version outside git."""
    root = Path(__file__).parents[2]
    try:
        if Path(_git(root, "rev-parse", "--show-toplevel")) != root.resolve():  # another project's, around this one
            return __version__
        return _git(root, "describe", "--always", "--dirty", "--abbrev=12")
    except (OSError, subprocess.CalledProcessError):
        return __version__


def _git(folder: Path, *command: str) -> str:
    line = ["git", "-C", str(folder), *command]
    return subprocess.run(line, capture_output=True, text=True, check=True).stdout.strip()  # noqa: S603
