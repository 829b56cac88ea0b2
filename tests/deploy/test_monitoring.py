"""The dashboard and the alerts ask for metrics, labels and codes that there are, and promtool finds no fault."""

import json
import re
import shutil
import subprocess
from typing import Any

import pytest
import yaml

from app.api.problems import BY_CODE
from app.api.routes.health import metrics_router
from app.metrics import Metrics
from tests.deploy.fleet import CONFIGURATION

DEPLOY = CONFIGURATION.parent
PROMTOOL = shutil.which("promtool")
RULES = DEPLOY / "prometheus" / "rules.yaml"
ALERTS: list[dict[str, Any]] = yaml.safe_load(RULES.read_text())["groups"][0]["rules"]
DASHBOARD: dict[str, Any] = json.loads((DEPLOY / "grafana" / "facepair.json").read_text())
SHOWN: list[str] = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
EXPRESSIONS = [*(alert["expr"] for alert in ALERTS), *SHOWN]
OPERATIONS = (DEPLOY.parent / "docs" / "operations.md").read_text()
# What Prometheus adds to the series that it scrapes.
SCRAPED = {"job", "instance"}


def exposed() -> dict[str, set[str]]:
    """The series of /metrics, with the labels that they can have."""
    metrics = Metrics()
    series: dict[str, set[str]] = {}
    for metric in vars(metrics).values():
        if not hasattr(metric, "describe"):
            continue
        labels = set(metric._labelnames)
        [family] = metric.describe()
        endings = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"]}.get(family.type, [""])
        series |= {family.name + end: labels | ({"le"} if end == "_bucket" else set()) for end in endings}
    process = [sample.name for family in metrics.registry.collect() for sample in family.samples]
    return series | {name: set() for name in process if name.startswith("process_")}


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_expressions_ask_for_series_and_labels_that_there_are(expression: str) -> None:
    known = exposed()
    asked = re.findall(r"((?:facepair|process)_\w+)(?:\{([^}]*)\})?", expression)
    assert asked
    grouped = {label.strip() for group in re.findall(r"by \(([^)]*)\)", expression) for label in group.split(",")}
    for name, selector in asked:
        assert name in known
        labels = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", selector)) | grouped
        assert labels <= known[name] | SCRAPED
    for code in re.findall(r'code=~?"([\w|]+)"', expression):
        assert set(code.split("|")) <= set(BY_CODE)


def test_the_dashboard_shows_every_metric() -> None:
    text = "\n".join(SHOWN)
    assert {name for name in exposed() if name.startswith("facepair_") and name not in text} <= {
        "facepair_request_seconds_sum", "facepair_request_seconds_count", "facepair_stage_seconds_sum",
        "facepair_stage_seconds_count", "facepair_batch_images_bucket",
    }  # fmt: skip
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


def test_panels_do_not_overlap() -> None:
    cells = [
        (panel["gridPos"]["x"] + x, panel["gridPos"]["y"] + y)
        for panel in DASHBOARD["panels"]
        for x in range(panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24


def test_every_alert_is_explained_and_has_a_test() -> None:
    tests = (RULES.parent / "rules_test.yaml").read_text()
    for alert in ALERTS:
        assert f"| `{alert['alert']}` |" in OPERATIONS
        assert re.search(rf"alertname: {alert['alert']}\n\s+exp_alerts:", tests)


def test_prometheus_scrapes_the_service_s_metrics() -> None:
    scraping = yaml.safe_load((DEPLOY / "kubernetes" / "monitoring" / "scraping.yaml").read_text())
    service = yaml.safe_load((DEPLOY / "kubernetes" / "service.yaml").read_text())
    assert scraping["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    [endpoint] = scraping["spec"]["endpoints"]
    assert endpoint["port"] in {port["name"] for port in service["spec"]["ports"]}
    assert endpoint["path"] in {getattr(route, "path") for route in metrics_router.routes}  # noqa: B009 (BaseRoute has none)


@pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed: apt-get install prometheus")
@pytest.mark.parametrize("command", ["check rules rules.yaml", "test rules rules_test.yaml"])
def test_promtool_finds_no_fault(command: str) -> None:
    checked = subprocess.run(
        [str(PROMTOOL), *command.split()], cwd=RULES.parent, capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "SUCCESS" in checked.stdout + checked.stderr
