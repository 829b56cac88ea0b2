"""What the image installs is what was measured: the lock has every dependency, with the versions of constraints.txt."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PINNED = re.compile(r"^([\w.-]+)==([^\s;]+)", re.MULTILINE)


def normal(name: str) -> str:
    """PEP 503."""
    return re.sub(r"[-_.]+", "-", name).lower()


def pinned(file: str) -> dict[str, str]:
    return {normal(name): version for name, version in PINNED.findall((ROOT / file).read_text())}


@pytest.mark.parametrize(("file", "extras"), [("requirements.txt", ()), ("requirements-traces.txt", ("traces",))])
def test_the_lock_has_the_measured_versions_of_all_dependencies_with_their_digests(
    file: str, extras: tuple[str, ...]
) -> None:
    locked, measured = pinned(file), pinned("constraints.txt")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needed = [*project["dependencies"], *(each for extra in extras for each in project["optional-dependencies"][extra])]
    names = {normal(re.split(r"[<>=;\[ ]", each)[0]) for each in needed}
    assert names <= set(locked), "run make lock"
    # Without a version here are packages that only other systems need.
    assert {name: measured[name] for name in locked if name in measured} == {
        name: version for name, version in locked.items() if name in measured
    }
    assert "torch" not in locked
    entries = re.split(r"^(?=[\w.-]+==)", (ROOT / file).read_text(), flags=re.MULTILINE)[1:]
    assert len(entries) == len(locked)
    assert all(re.search(r"--hash=sha256:[0-9a-f]{64}", entry) for entry in entries)


def test_the_image_installs_the_lock_and_runs_as_a_number() -> None:
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    assert "ARG BASE=docker.io/library/python:3.11-slim" in lines
    assert "FROM ${BASE}" in lines
    assert "USER 10001" in lines
    assert any("pip install --require-hashes -r requirements.txt" in line for line in lines)
