"""Every example of the client works, run in its own process against a real service."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.app.support.service import PATIENCE_S, ROOT, Service, serving
from tests.drawing import encode, portrait
from tests.faces import head_at, scene

EXAMPLES = ROOT / "client" / "examples"


@pytest.fixture(scope="module")
def service(aligned_checkpoint_path: Path) -> Iterator[Service]:
    with serving(aligned_checkpoint_path) as service:
        yield service


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two drawn people, and a picture without a face."""
    for name, person in (("first.png", 0), ("second.png", 1)):
        (tmp_path / name).write_bytes(encode(scene(head_at(person))))
    (tmp_path / "third.png").write_bytes(encode(portrait(1)))
    return tmp_path


def run(name: str, *arguments: Path | str, service: Service) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(ROOT / "client" / "src")}
    command = [sys.executable, EXAMPLES / name, *arguments, "--url", service.url]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=PATIENCE_S, check=False)


def test_the_program_of_the_readme_works(service: Service, folder: Path) -> None:
    page = (ROOT / "client" / "README.md").read_text()
    [code] = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    for name in re.findall(r"\w+\.jpg", code):
        (folder / name).write_bytes((folder / "first.png").read_bytes())
    code = code.replace("http://127.0.0.1:8000", service.url).replace(", max_fmr=0.01", "")  # no operating points
    code = code.replace("        max_fmr=0.01,\n", "")
    environment = os.environ | {"PYTHONPATH": str(ROOT / "client" / "src")}
    command = [sys.executable, "-c", code]
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    assert done.returncode == 0, done.stderr
    decision, *others = done.stdout.split("\n")
    assert decision.startswith("same ")
    assert others == ["same", "same", ""]


def test_verify_prints_the_decision_or_ends_with_the_error(service: Service, folder: Path) -> None:
    done = run("verify.py", folder / "first.png", folder / "first.png", service=service)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("same: similarity ")
    done = run("verify.py", folder / "first.png", folder / "third.png", service=service)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("no_face in image2: ")


def test_a_reference_is_compared_with_many_photographs(service: Service, folder: Path) -> None:
    others = [folder / "first.png", folder / "second.png", folder / "third.png"] * 3
    done = run("reference.py", folder / "first.png", *others, service=service)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert len(lines) == 9
    assert lines[0].startswith("first.png: same, ")
    assert lines[2].startswith("third.png: no_face in image2[2]")


def test_a_folder_is_embedded(service: Service, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    store = tmp_path_factory.mktemp("store") / "store.json"
    done = run("embed_folder.py", folder, "--store", store, service=service)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{store}: 2 of 3 files embedded\n", "")
    stored = json.loads(store.read_text())
    assert set(stored["files"]) == {"first.png", "second.png", "third.png"}
    assert stored["files"]["third.png"]["error"].startswith("no_face in image[0]: ")
    assert stored["files"]["first.png"]["conditions"] is None
    assert stored["model"]["embedding_sha256"]
