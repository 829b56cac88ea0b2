"""The figures of a made-up checkout, which can be counted by hand."""

from pathlib import Path

import pytest

from benchmarks import structure
from benchmarks.source_tree import circles, import_graph, longest_chain, read_modules
from benchmarks.structure import measure, project_classes, type_checks

FILES = {
    "model/__init__.py": "",
    "model/errors.py": "class FacepairError(Exception):\n    pass\n\n\nclass Lost(FacepairError):\n    pass\n",
    "model/arrays.py": "from typing import Any\n\nPixels = Any\n",
    "model/imaging/__init__.py": "",
    "model/imaging/crops.py": "from model.arrays import (\n    Pixels,\n)\nfrom model.errors import Lost\n",
    "model/imaging/faces.py": "from model.imaging import crops\n\n\ndef find():\n    from model.errors import Lost\n",
    "model/networks/__init__.py": "from . import siamese\n",
    "model/networks/siamese.py": "from ..arrays import Pixels\n\n\nclass TinyNetwork:\n    pass\n",
    "app/__init__.py": "",
    "app/left.py": "import app.right\nimport os\n",
    "app/right.py": "from app import left\nfrom model.networks.siamese import TinyNetwork\n",
    "app/top.py": (
        "from app.right import a, b\n"
        "from model.errors import Lost\n"
        "from model.networks import siamese\n"
        "assert isinstance(a, siamese.TinyNetwork | int) and isinstance(b, siamese.TinyNetwork)\n"
        "assert not isinstance(b, (int, Lost))\n"
        "match a:\n"
        "    case siamese.TinyNetwork():\n"
        "        pass\n"
    ),
    "training/__init__.py": "",
}


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_a_package_is_measured(checkout: Path) -> None:
    shape = measure("model", read_modules(checkout))
    assert (shape.files, shape.in_folder, shape.circles) == (8, 2, 0)
    assert shape.lines == sum(len(text.splitlines()) for name, text in FILES.items() if name.startswith("model/"))
    assert shape.import_share == pytest.approx((1 + 4 + 2 + 1 + 1) / shape.lines)
    # crops takes two names, faces two, networks and siamese one each; typing's is of no file of the package
    assert shape.names_per_thousand == pytest.approx(1000 * 6 / shape.lines)
    assert shape.floors == 3  # faces, crops, arrays


def test_imports_of_modules_and_of_names_are_told_apart(checkout: Path) -> None:
    graph = import_graph(read_modules(checkout))
    assert graph["model.imaging.faces"] == {"model.imaging.crops", "model.errors"}
    assert graph["model.networks"] == {"model.networks.siamese"}
    assert graph["model.networks.siamese"] == {"model.arrays"}
    assert graph["app.top"] == {"app.right", "model.errors", "model.networks.siamese"}


def test_a_circle_is_found_and_adds_no_floor(checkout: Path) -> None:
    modules = [module for module in read_modules(checkout) if module.package == "app"]
    graph = import_graph(modules)
    assert circles(graph) == [["app.left", "app.right"]]
    assert longest_chain(graph) == 2
    assert measure("app", modules).circles == 1


def test_exceptions_are_no_type_checks_of_the_project(checkout: Path) -> None:
    modules = read_modules(checkout)
    assert project_classes(modules) == {"TinyNetwork"}
    checks = type_checks(modules)
    assert [line for _, line, classes in checks if "TinyNetwork" in classes] == [4, 4, 7]
    assert [line for _, line, classes in checks if "Lost" in classes] == [5]


def test_the_command_prints_every_package_and_the_totals(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert structure.main(["--root", str(checkout)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1:4]] == ["model", "app", "training"]
    assert "isinstance calls on classes of the project: 3" in lines
    assert "isinstance lines on networks, experiments and data: 2" in lines
