"""The documentation agrees with the code."""

import argparse
import re
import tomllib
from pathlib import Path

import pytest
import yaml

from app.__main__ import UNSET
from app.api.problems import KINDS
from app.api.routes import batch, embeddings, health, images, info
from app.metrics import Metrics
from app.settings import PREFIX, SHIPPED, Settings
from training.__main__ import main
from training.commands.train import choose_experiment
from training.learning.experiments import EXPERIMENTS

ROOT = Path(__file__).parent.parent
OPERATIONS = (ROOT / "docs" / "operations.md").read_text()
HTTP_API = (ROOT / "docs" / "http-api.md").read_text()
README = (ROOT / "README.md").read_text()
TRAINING = README + (ROOT / "docs" / "training.md").read_text()


def rows(text: str, pattern: str) -> list[tuple[str, ...]]:
    """The cells, without backquotes, of all table rows whose first cell matches."""
    found = []
    for line in text.splitlines():
        cells = tuple(cell.strip().replace("`", "") for cell in line.strip("|").split("|"))
        if line.startswith("|") and re.fullmatch(pattern, cells[0]):
            found.append(cells)
    return found


def test_every_error_is_documented_with_its_status() -> None:
    assert [(kind.status, kind.code) for kind in KINDS] == [(int(r[0]), r[1]) for r in rows(HTTP_API, r"\d{3}")]


def test_every_setting_is_documented_with_its_default() -> None:
    documented = {row[0]: row[1] for row in rows(OPERATIONS, PREFIX + r"\w+")}
    expected = {}
    for name, field in Settings.model_fields.items():
        default = {"weights": "the shipped checkpoint"}.get(name) or UNSET.get(name, str(field.default))
        expected[PREFIX + name.upper()] = default.replace("`", "")
    assert documented == expected


def test_every_metric_is_documented_with_its_labels() -> None:
    documented = {row[0].removesuffix("_total"): row[1] for row in rows(OPERATIONS, r"facepair_\w+")}
    metrics = Metrics()
    exposed = {
        metric._name: ", ".join(metric._labelnames)
        for metric in (
            metrics.requests,
            metrics.request_seconds,
            metrics.stage_seconds,
            metrics.batch_images,
            metrics.images_arriving,
            metrics.images_in_progress,
            metrics.bytes_held,
            metrics.large_pixels_in_progress,
            metrics.problems,
            metrics.decisions,
            metrics.connections,
            metrics.connections_closed,
            metrics.log_lines_dropped,
            metrics.model_info,
        )
    }
    assert documented == exposed
    shown = {family.name for family in metrics.registry.collect()}
    assert {name for name in shown if name.startswith("facepair_")} == set(exposed)
    assert {name for name in shown - set(exposed) if not name.startswith("process_")} == set()


def test_every_route_is_documented() -> None:
    routers = [module.router for module in (batch, embeddings, health, images, info)]
    for router in (*routers, health.metrics_router):
        for route in router.routes:
            assert getattr(route, "path") in HTTP_API  # noqa: B009 (BaseRoute declares no path)


@pytest.mark.parametrize("target", ["serve", "test"])
def test_readme_commands_are_makefile_targets(target: str) -> None:
    assert f"make {target}" in README
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


def test_pre_commit_hooks_equal_make_lint() -> None:
    recipe = re.search(r"^lint:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert recipe
    commands = [line.strip().replace("$(VENV)", ".venv") for line in recipe[1].splitlines()]
    [hooks] = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert [hook["entry"] for hook in hooks["hooks"]] == commands


def test_training_commands_exist(capsys: pytest.CaptureFixture[str]) -> None:
    commands = re.findall(r"-m training (\w+)", TRAINING)
    assert {"run", "prepare", "evaluate"} <= set(commands)
    for command in commands:
        with pytest.raises(SystemExit) as ended:
            main([command, "--help"])
        assert ended.value.code == 0
    assert "usage" in capsys.readouterr().out
    for name in re.findall(r"-m training run (\w[\w-]*)", TRAINING):
        assert name in EXPERIMENTS


def test_readme_serves_what_its_runs_write() -> None:
    """A run that starts from another checkpoint than its experiment has another name, unless it is given one."""
    written = set()
    for line in re.findall(r"training run (\S+ --data .*)", README.replace("\\\n", " ")):
        experiment, *options = line.partition("#")[0].replace("--skip-broken", "").split()
        values = dict(zip(options[::2], options[1::2], strict=True))
        values.pop("--data", None)
        start = values.pop("--start-from", None)
        run, _ = choose_experiment(
            argparse.Namespace(
                experiment=experiment,
                start_from=ROOT / "weights" / Path(start).name if start else None,
                experiment_values=tuple(text for value in values.items() for text in value),
            )
        )
        written.add(run.name)
    served = set(re.findall(r"--weights runs/(\S+)\.safetensors", README))
    assert served
    assert served <= {f"{name}/{name}" for name in written}


def anchors(page: str) -> set[str]:
    """The anchors that GitHub makes from a page's headings."""
    headings = re.findall(r"^#+ (.+)$", re.sub(r"^```.*?^```", "", page, flags=re.DOTALL | re.MULTILINE), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_documentation_links_exist() -> None:
    for folder in ("", "docs", "weights", "deploy", "benchmarks"):
        for page in (ROOT / folder).glob("*.md"):
            for target, anchor in re.findall(r"\]\(([^)#:]*)(?:#([^)]*))?\)", page.read_text()):
                linked = page.parent / target if target else page
                assert linked.exists(), f"{page.name}: {target}"
                assert not anchor or anchor in anchors(linked.read_text()), f"{page.name}: {target}#{anchor}"


def test_dependencies_have_a_lower_bound_and_a_pin() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    exact = (ROOT / "constraints.txt").read_text().splitlines()
    pinned = {line.partition("==")[0].lower().replace("_", "-") for line in exact if "==" in line}
    for requirement in [*project["dependencies"], *extras["gpu"], *extras["training"], *extras["test"]]:
        name, _, bound = requirement.partition(";")[0].partition(">=")
        assert bound, requirement
        assert name in pinned, requirement


def test_shipped_checkpoint_has_a_card() -> None:
    assert SHIPPED.exists()
    assert SHIPPED.with_suffix(".md").exists()
