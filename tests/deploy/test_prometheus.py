"""A real Prometheus scrapes a real service: each rule is evaluated, and each query of the dashboard finds data."""

import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from app.settings import SHIPPED
from tests.app.support.requests import pair
from tests.app.support.service import serving
from tests.deploy.fleet import free_ports
from tests.deploy.test_monitoring import ALERTS, RULES, SHOWN
from tests.drawing import encode
from tests.faces import head_at, scene

PROMETHEUS = shutil.which("prometheus")
PATIENCE_S = 60
JOB = "facepair"

pytestmark = pytest.mark.skipif(PROMETHEUS is None, reason="prometheus is not installed: apt-get install prometheus")


@pytest.fixture(scope="module")
def service() -> Iterator[str]:
    with serving(SHIPPED) as started:
        yield started.url


@pytest.fixture(scope="module")
def prometheus(service: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A client of a Prometheus that scrapes the service and evaluates the rules five times a second."""
    folder, port = tmp_path_factory.mktemp("prometheus"), free_ports(1)[0]
    target = {"job_name": JOB, "static_configs": [{"targets": [service.removeprefix("http://")]}]}
    often = {"scrape_interval": "200ms", "scrape_timeout": "200ms", "evaluation_interval": "200ms"}
    configuration = {"global": often, "rule_files": [str(RULES)], "scrape_configs": [target]}
    (folder / "prometheus.yml").write_text(yaml.safe_dump(configuration))
    command = [
        str(PROMETHEUS), f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data",
        f"--web.listen-address=127.0.0.1:{port}",
    ]  # fmt: skip
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE_S) as client:
                wait_until_it_answers(client, process, folder / "log")
                yield client
        finally:
            process.terminate()
            process.wait(PATIENCE_S)


def wait_until_it_answers(client: httpx.Client, process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(10 * PATIENCE_S):
        assert process.poll() is None, log.read_text()
        try:
            if client.get("/-/ready").is_success:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise AssertionError(log.read_text())


def ask(client: httpx.Client, path: str, **parameters: str) -> Any:
    """What Prometheus found; its error fails the test."""
    response = client.get(f"/api/v1/{path}", params=parameters)
    assert response.is_success, response.text
    return response.json()["data"]


def test_each_query_of_the_dashboard_finds_data(prometheus: httpx.Client, service: str) -> None:
    queries = {each.replace("$__rate_interval", "1m").replace("$job", JOB) for each in SHOWN}
    picture = encode(scene(head_at(1)))
    end = time.monotonic() + PATIENCE_S
    while queries and time.monotonic() < end:
        assert httpx.post(f"{service}/v1/verify", files=pair(picture, picture), timeout=PATIENCE_S).is_success
        assert httpx.post(f"{service}/v1/verify", files={"image1": picture}).status_code == 400
        queries = {each for each in queries if not ask(prometheus, "query", query=each)["result"]}
    assert queries == set()
    assert ask(prometheus, "label/job/values", **{"match[]": "facepair_model_info"}) == [JOB]


def test_each_rule_is_evaluated_and_none_fires(prometheus: httpx.Client) -> None:
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        [group] = ask(prometheus, "rules")["groups"]
        if all(rule["health"] != "unknown" for rule in group["rules"]):
            break
        time.sleep(0.1)
    found = {rule["name"]: (rule["health"], rule["state"]) for rule in group["rules"]}
    assert found == {alert["alert"]: ("ok", "inactive") for alert in ALERTS}, json.dumps(group["rules"])
