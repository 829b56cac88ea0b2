"""Which packages and modules may be imported where, including imports inside functions."""

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from benchmarks.source_tree import read_modules

ROOT = Path(__file__).parent.parent
PACKAGES = {"model", "app", "training", "tests", "benchmarks"}
ALLOWED = {"model": {"model"}, "app": {"app", "model"}, "training": {"training", "model"}}
ONLY_FOR_TRAINING = {"torchvision", "matplotlib", "tqdm", "pytest", "hypothesis", "httpx"}

# Each room and the rooms that it may import. A room may import only rooms above it, so there is no circle. A room is a
# folder without the modules and folders that have a row of their own. docs/design.md says what is in each.
ROOMS = {
    room: set(others.split())
    for room, others in {
        "model": "",
        "model.device": "model",
        "model.imaging": "model",
        "model.networks.configurations": "model.imaging",
        "model.checkpoint": "model model.imaging model.networks.configurations",
        "model.cpu": "model model.imaging model.networks.configurations model.checkpoint",
        "model.onnx": "model model.device model.imaging model.networks.configurations model.checkpoint model.cpu",
        "model.networks": "model model.device model.imaging model.networks.configurations model.checkpoint model.onnx",
        "model.embedder": "model model.device model.checkpoint model.cpu model.onnx model.networks",
        "model.verifier": "model model.imaging model.checkpoint model.embedder",
        "app": "model",
        "app.engine": "model model.imaging model.verifier app",
        "app.api": "model model.imaging model.networks.configurations model.checkpoint app app.engine",
        "app.server": "model model.imaging model.checkpoint model.verifier app app.engine",
        "app.page": "",
        "app.doors": "model app.api",
        "app.application": "model app app.engine app.api app.page app.doors",
        "app.__main__": "model app app.server app.application",
        "training": "model",
        "training.data": "model model.imaging",
        "training.statistics": "model training",
        "training.scoring": "model.networks training.data training.statistics",
        "training.conditions": "model model.imaging model.networks training.data training.statistics training.scoring",
        "training.learning": "model model.imaging model.networks.configurations model.checkpoint model.networks"
        " training.data training.statistics",
        "training.fitting": "model model.networks training.data training.statistics training.scoring",
        "training.pairs": "model model.imaging model.networks.configurations model.checkpoint model.networks"
        " training.data training.scoring training.learning",
        "training.people": "model model.imaging model.networks.configurations model.checkpoint model.networks"
        " training.data training.statistics training.scoring training.learning training.fitting",
        "training.learning.experiments": "model model.imaging model.networks.configurations training.learning"
        " training.pairs training.people",
        "training.learning.grid": "training.learning training.pairs training.learning.experiments",
        "training.landmarks": "model model.imaging training.data training.people",
        "training.runs": "model model.imaging model.checkpoint model.networks training training.data"
        " training.statistics training.scoring training.learning training.fitting",
        "training.measuring": "model model.imaging model.networks.configurations model.checkpoint model.networks"
        " training training.data training.statistics training.scoring training.conditions training.fitting"
        " training.runs",
        "training.importing": "model model.imaging model.networks.configurations model.checkpoint model.onnx"
        " model.networks training.data training.statistics training.scoring training.fitting"
        " training.learning.experiments training.measuring",
        "training.cluster": "model",
        "training.bulk": "model model.imaging model.checkpoint model.verifier training.data",
        "training.reports": "model model.imaging model.checkpoint training training.data training.learning"
        " training.runs",
        "training.commands": "model model.imaging model.networks.configurations model.checkpoint model.onnx"
        " model.networks model.verifier training training.bulk training.cluster training.data"
        " training.learning training.pairs training.people training.landmarks training.learning.experiments"
        " training.learning.grid training.runs training.conditions training.measuring training.importing"
        " training.reports",
        "training.__main__": "model training.commands",
    }.items()
}


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


def room_of(module: str) -> str:
    return max((room for room in ROOMS if f"{module}.".startswith(f"{room}.")), key=len)


def is_torch_free(module: str) -> bool:
    """Whether a module may not load torch: all that serves on a CPU."""
    room = room_of(module)
    return room != "model.networks" and (room.startswith(("model", "app")) or room == "training.statistics")


def closure(arrows: dict[str, set[str]]) -> set[tuple[str, str]]:
    """Every room with each room that it reaches by arrows."""
    reached = {(start, end) for start, ends in arrows.items() for end in ends}
    for middle in arrows:
        reached |= {(a, d) for a, b in reached if b == middle for c, d in reached if c == middle}
    return reached


def files(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


@pytest.mark.parametrize("package", ALLOWED)
def test_packages_import_only_allowed_packages(package: str) -> None:
    assert files(package)
    for path in files(package):
        assert imported(path) & PACKAGES <= ALLOWED[package], path


def test_rooms_import_what_the_table_says() -> None:
    found: dict[str, set[str]] = {room: set() for room in ROOMS}
    for module in read_modules(ROOT):
        found[room_of(module.name)] |= {room_of(other) for other in module.imports}
    for room, others in ROOMS.items():
        assert found[room] - {room} == others, room


def test_rooms_import_only_rooms_above_them() -> None:
    above: set[str] = set()
    for room, others in ROOMS.items():
        assert others <= above, room
        above.add(room)


def test_torch_is_imported_only_behind_the_embedder() -> None:
    modules = [module for module in read_modules(ROOT) if is_torch_free(module.name)]
    assert {"model.cpu.embedder", "model.checkpoint", "model.networks.configurations"} <= {m.name for m in modules}
    for module in modules:
        assert not imported(module.path) & {"torch", "torchvision"}, module.name
    names = ", ".join(module.name for module in modules)
    program = f"import sys, {names}; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True, timeout=60)


def test_app_reaches_networks_through_the_verifier() -> None:
    for room in ROOMS:
        if room.startswith("app"):
            assert not ROOMS[room] & {"model.cpu", "model.onnx", "model.networks", "model.device", "model.embedder"}, (
                room
            )


def test_design_describes_and_draws_the_rooms() -> None:
    page = (ROOT / "docs" / "design.md").read_text()
    rows = re.findall(r"^\| `([a-z_/.]+)` \|", page, re.MULTILINE)
    assert {row.removesuffix(".py").rstrip("/").replace("/", ".") for row in rows} >= set(ROOMS)
    drawn: dict[str, set[str]] = {room: set() for room in ROOMS}
    for start, end in re.findall(r"^ +([a-z_.]+) --> ([a-z_.]+)$", page.split("```")[1], re.MULTILINE):
        drawn[start].add(end)
    assert closure(drawn) == closure(ROOMS)


def test_pictures_of_the_design_name_functions_that_exist() -> None:
    steps = re.findall(r'"([\w/]+\.py)<br>([\w., ]+)"', (ROOT / "docs" / "design.md").read_text())
    assert len(steps) > 20
    for path, names in steps:
        for name in names.split(", "):
            *owner, last = name.split(".")
            text = (ROOT / path).read_text()
            assert all(f"class {each}" in text for each in owner), f"{path}: {name}"
            assert re.search(rf"\b(def|class) {last}\b", text), f"{path}: {name}"


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
    needed = project["dependencies"] + (project["optional-dependencies"]["gpu"] if package == "model" else [])
    declared = {re.split(r"[^\w-]", requirement)[0].lower() for requirement in needed}
    renamed = {"PIL": "pillow", "cv2": "opencv-python-headless", "python_multipart": "python-multipart"}
    renamed["opentelemetry"] = "opentelemetry-api"
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
