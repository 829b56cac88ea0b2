"""Which packages and modules may be imported where, including imports inside functions."""

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = {"model", "app", "training", "tests", "benchmarks"}
ALLOWED = {"model": {"model"}, "app": {"app", "model"}, "training": {"training", "model"}}
ONLY_FOR_TRAINING = {"torchvision", "matplotlib", "tqdm", "pytest", "hypothesis", "httpx"}


def imported(path: Path) -> set[str]:
    """The top-level names of a file's imports."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names.add(node.module.split(".")[0])
    return names


def imported_modules(path: Path) -> set[str]:
    """The dotted names of a file's imports: modules, and names in modules."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def files(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


@pytest.mark.parametrize("package", ALLOWED)
def test_packages_import_only_allowed_packages(package: str) -> None:
    assert files(package)
    for path in files(package):
        assert imported(path) & PACKAGES <= ALLOWED[package], path


@pytest.mark.parametrize("package", ["model", "app"])
def test_serving_imports_no_training_dependencies(package: str) -> None:
    for path in files(package):
        assert not imported(path) & ONLY_FOR_TRAINING, path


def test_there_are_no_relative_imports() -> None:
    for package in ALLOWED:
        for path in files(package):
            nodes = ast.walk(ast.parse(path.read_text()))
            assert not any(isinstance(node, ast.ImportFrom) and node.level for node in nodes), path


@pytest.mark.parametrize("package", ["model", "app"])
def test_imports_of_serving_are_declared_dependencies(package: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = {re.split(r"[^\w-]", requirement)[0].lower() for requirement in project["dependencies"]}
    renamed = {"PIL": "pillow", "cv2": "opencv-python-headless", "python_multipart": "python-multipart"}
    for path in files(package):
        for name in imported(path) - PACKAGES - set(sys.stdlib_module_names) - {"starlette"}:
            wanted = renamed.get(name, name.replace("_", "-"))
            assert wanted in declared, f"{path} imports {name}"


def test_statistics_import_neither_files_nor_networks() -> None:
    allowed = ("collections.abc.", "dataclasses.", "functools.", "math.", "numpy", "model.similarity.",
               "training.metrics", "training.statistics")  # fmt: skip
    for path in files("training/statistics"):
        for name in imported_modules(path):
            assert name.startswith(allowed), f"{path} imports {name}"
    program = "import sys, training.statistics.summary; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True, timeout=60)


def test_reports_import_no_statistics() -> None:
    for path in files("training/reports"):
        assert not any(name.startswith("training.statistics") for name in imported_modules(path)), path
