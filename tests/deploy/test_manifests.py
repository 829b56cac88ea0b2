"""The files of deploy/ name settings, routes, metrics and ports that exist, and their times fit together."""

import re
import shutil
import subprocess
import sysconfig
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.api.problems import BY_CODE
from app.api.routes.health import metrics_router, router
from app.engine.cpu_budget import FIRST_PER_CORE, MIN_FIRST
from app.metrics import Metrics
from app.settings import PREFIX, SHIPPED, Settings, SettingsError, read_settings
from tests.deploy.fleet import CONFIGURATION, HAPROXY, REPLICAS

DEPLOY = CONFIGURATION.parent
ROOT = DEPLOY.parent
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
KINDS = {"Deployment", "Service", "HorizontalPodAutoscaler", "PodDisruptionBudget", "NetworkPolicy"}
KUSTOMIZATION: dict[str, Any] = yaml.safe_load((DEPLOY / "kubernetes" / "kustomization.yaml").read_text())
MANIFESTS: dict[str, Any] = {
    manifest["kind"]: manifest
    for path in (DEPLOY / "kubernetes").glob("*.yaml")
    if path.name != "kustomization.yaml"
    for manifest in yaml.safe_load_all(path.read_text())
}
POD: dict[str, Any] = MANIFESTS["Deployment"]["spec"]["template"]
CONTAINER: dict[str, Any] = POD["spec"]["containers"][0]
PROBES = ("startupProbe", "readinessProbe", "livenessProbe")
HADOLINT = shutil.which("hadolint", path=sysconfig.get_path("scripts"))
REPLICA_NAMES = [f"replica{number}" for number in range(1, REPLICAS + 1)]


def settings_of_pod() -> Settings:
    return read_settings({}, {each["name"]: each["value"] for each in CONTAINER["env"]})


def settings_of_compose(name: str) -> Settings:
    return read_settings({}, COMPOSE["services"][name]["environment"])


def variables_of_image() -> dict[str, str]:
    """What the image sets, which Compose's replicas leave as it is."""
    return dict(re.findall(rf"({PREFIX}\w+)=(\S+)", (ROOT / "Dockerfile").read_text()))


def seconds(text: str) -> float:
    """A time as HAProxy or Compose writes it."""
    found = re.fullmatch(r"(\d+)(ms|s)", text)
    assert found, text
    return int(found[1]) / (1000 if found[2] == "ms" else 1)


def configured(pattern: str) -> str:
    """The only place of HAProxy's configuration that matches."""
    found: list[str] = re.findall(pattern, CONFIGURATION.read_text(), re.MULTILINE)
    assert len(found) == 1, pattern
    return found[0]


def test_there_is_one_manifest_of_each_kind_and_each_finds_the_pods() -> None:
    assert set(MANIFESTS) == KINDS
    files = {path.name for path in (DEPLOY / "kubernetes").glob("*.yaml")} - {"kustomization.yaml"}
    assert sorted(KUSTOMIZATION["resources"]) == sorted(files)
    assert [image["name"] for image in KUSTOMIZATION["images"]] == [CONTAINER["image"]]
    labels = POD["metadata"]["labels"]
    assert MANIFESTS["Deployment"]["spec"]["selector"]["matchLabels"] == labels
    assert MANIFESTS["Service"]["spec"]["selector"] == labels
    assert MANIFESTS["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"] == labels
    assert MANIFESTS["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"] == labels
    target = MANIFESTS["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]
    assert (target["kind"], target["name"]) == ("Deployment", MANIFESTS["Deployment"]["metadata"]["name"])


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_kubernetes_knows_every_field(kind: str) -> None:
    import kubernetes_validate  # which takes seconds to import

    schemas = kubernetes_validate.latest_version()
    kubernetes_validate.validate(MANIFESTS[kind], schemas, strict=True)
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate({**MANIFESTS[kind], "speck": {}}, schemas, strict=True)


def test_ports_are_the_service_s() -> None:
    (port,) = CONTAINER["ports"]
    assert port["containerPort"] == settings_of_pod().port == int(POD["metadata"]["annotations"]["prometheus.io/port"])
    assert MANIFESTS["Service"]["spec"]["ports"][0]["targetPort"] == port["name"]
    assert {CONTAINER[probe]["httpGet"]["port"] for probe in PROBES} == {port["name"]}
    [rule] = MANIFESTS["NetworkPolicy"]["spec"]["ingress"]
    assert [each["port"] for each in rule["ports"]] == [port["name"]]
    variables = COMPOSE["services"]["balancer"]["environment"]
    image = read_settings({}, variables_of_image())
    assert [variables[name.upper()] for name in REPLICA_NAMES] == [f"{name}:{image.port}" for name in REPLICA_NAMES]
    assert image.host == settings_of_pod().host == "0.0.0.0"


def test_probes_ask_routes_that_there_are() -> None:
    routes = [*router.routes, *metrics_router.routes]
    paths = {getattr(route, "path") for route in routes}  # noqa: B009 (BaseRoute has none)
    asked = {CONTAINER[probe]["httpGet"]["path"] for probe in PROBES}
    assert asked == {"/health/ready", "/health/live"}
    assert asked | {POD["metadata"]["annotations"]["prometheus.io/path"]} <= paths
    assert configured(r"httpchk GET (\S+)") == CONTAINER["readinessProbe"]["httpGet"]["path"]


def test_the_autoscaler_looks_at_a_metric_that_there_is() -> None:
    (metric,) = MANIFESTS["HorizontalPodAutoscaler"]["spec"]["metrics"]
    assert metric["pods"]["metric"]["name"] in {family.name for family in Metrics().registry.collect()}
    # So many are let in however slow the replica is; more replicas come before any is refused.
    slots = max(MIN_FIRST, FIRST_PER_CORE * int(CONTAINER["resources"]["limits"]["cpu"]))
    assert int(metric["pods"]["target"]["averageValue"]) < slots


def test_kubernetes_puts_no_variables_among_the_settings() -> None:
    """For a Service it makes NAME_PORT and more in every container, unless it is told not to."""
    prefix = MANIFESTS["Service"]["metadata"]["name"].upper() + "_"
    assert prefix == PREFIX
    with pytest.raises(SettingsError, match="FACEPAIR_SERVICE_HOST is not a setting"):
        read_settings({}, {f"{prefix}SERVICE_HOST": "10.0.0.1"})
    assert POD["spec"]["enableServiceLinks"] is False


def test_a_replica_of_compose_has_the_cores_that_its_limits_are_for() -> None:
    pod = CONTAINER["resources"]["limits"]
    for name in REPLICA_NAMES:
        service = COMPOSE["services"][name]
        assert (str(service["cpus"]), service["mem_limit"]) == (pod["cpu"], pod["memory"].lower().removesuffix("i"))


def test_the_image_of_compose_is_built_once_and_never_pulled() -> None:
    replicas = [COMPOSE["services"][name] for name in REPLICA_NAMES]
    assert [service["build"] for service in replicas if "build" in service] == [".."]
    assert {(service["image"], service["pull_policy"]) for service in replicas} == {("facepair", "never")}


def test_a_pod_that_leaves_has_the_time() -> None:
    settings, probe = settings_of_pod(), CONTAINER["readinessProbe"]
    assert settings.drain_s > probe["periodSeconds"] * probe["failureThreshold"]
    assert settings.grace_s > settings.upload_s + settings.deadline_s
    assert POD["spec"]["terminationGracePeriodSeconds"] > settings.drain_s + settings.grace_s


def test_a_replica_of_compose_that_leaves_has_the_time() -> None:
    every = seconds(configured(r"check inter (\S+) fall 1 "))
    for name in REPLICA_NAMES:
        settings = settings_of_compose(name)
        assert settings.drain_s >= 2 * every
        assert settings.grace_s > settings.upload_s + settings.deadline_s
        assert seconds(COMPOSE["services"][name]["stop_grace_period"]) > settings.drain_s + settings.grace_s


def test_the_balancer_s_limits_fit_the_replicas() -> None:
    settings = settings_of_compose(REPLICA_NAMES[0])
    assert int(configured(r"BALANCER_EACH-(\d+)\}")) * 2 == FIRST_PER_CORE * COMPOSE["services"]["replica1"]["cpus"]
    assert settings.queue is None
    assert seconds(configured(r"timeout server (\S+)")) > settings.deadline_s
    assert seconds(configured(r"BALANCER_BODY_WITHIN-(\w+)\}")) >= settings.upload_s
    assert seconds(configured(r"hard-stop-after (\S+)")) > settings.upload_s + settings.deadline_s
    assert seconds(configured(r"timeout http-keep-alive (\S+)")) < settings.keep_alive_s
    assert int(configured(r"req.body_size gt (\d+)")) > 2 * settings.max_image_bytes


def test_the_balancer_s_errors_are_of_the_table() -> None:
    found = re.findall(
        r"problem:(\w+).*?\"title\":\"(.*?)\",\"status\":(\d+),.*?\"code\":\"(\w+)\"", CONFIGURATION.read_text()
    )
    assert {code for code, *_ in found} == {
        "not_ready", "deadline_passed", "not_found", "too_many_bytes", "queue_full", "method_not_allowed"
    }  # fmt: skip
    for code, title, status, again in found:
        assert (code, title, int(status)) == (again, BY_CODE[code].title, BY_CODE[code].status)


def test_compose_gives_the_balancer_what_its_configuration_asks_for() -> None:
    asked = set(re.findall(r"\"\$\{(\w+)\}\"", CONFIGURATION.read_text()))
    known = asked | set(re.findall(r"\"\$\{(\w+)-", CONFIGURATION.read_text()))
    assert asked <= set(COMPOSE["services"]["balancer"]["environment"]) <= known
    assert COMPOSE["services"].keys() == {*REPLICA_NAMES, "balancer"}


def test_the_balancer_s_memory_and_times_fit_what_is_around_it() -> None:
    text = CONFIGURATION.read_text()

    def number(pattern: str) -> int:
        found = re.search(pattern, text)
        assert found, pattern
        return int(found[1])

    connections = number(r"BALANCER_LISTEN[^\n]*\n(?: *#[^\n]*\n)? *maxconn (\d+)")
    buffers = connections + number(r"BALANCER_MOST-(\d+)")
    assert COMPOSE["services"]["balancer"]["mem_limit"] == "4g"
    assert buffers * number(r"tune\.bufsize (\d+)") < 0.95 * 4 * 1024**3
    assert number(r"global\n *#[^\n]*\n *maxconn (\d+)") > connections
    for name in ("client", "server"):
        assert number(rf"timeout {name} (\d+)s") > Settings().deadline_s
    grace_s = int(COMPOSE["services"]["balancer"]["stop_grace_period"].removesuffix("s"))
    assert number(r"timeout server (\d+)s") < number(r"hard-stop-after (\d+)s") < grace_s
    for option in ("http-server-close", "abortonclose", "redispatch 1", "disable-h2-upgrade"):
        assert f"    option {option}\n" in text
    assert "    retry-on conn-failure empty-response junk-response 503\n" in text


def test_pods_call_nobody() -> None:
    policy = MANIFESTS["NetworkPolicy"]["spec"]
    assert set(policy["policyTypes"]) == {"Ingress", "Egress"}
    assert policy["egress"] == []


def test_the_image_has_the_weights_that_it_serves_and_no_others() -> None:
    copied = re.findall(r"^COPY .*?(\S+\.safetensors)", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert copied == [str(SHIPPED.relative_to(ROOT))]
    assert "COPY --chmod=755 weights " not in (ROOT / "Dockerfile").read_text()


def test_the_image_s_user_is_the_pod_s() -> None:
    text = (ROOT / "Dockerfile").read_text()
    users = re.findall(r"^USER (\d+)$|--uid (\d+)", text, re.MULTILINE)
    assert {int(one or other) for one, other in users} == {POD["spec"]["securityContext"]["runAsUser"]}


@pytest.mark.skipif(HADOLINT is None, reason="hadolint is not installed: make setup")
def test_hadolint_finds_no_fault() -> None:
    checked = subprocess.run([str(HADOLINT), "Dockerfile"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout


def test_nothing_in_a_container_is_written() -> None:
    assert all(service["read_only"] for service in COMPOSE["services"].values())
    assert CONTAINER["securityContext"]["readOnlyRootFilesystem"]
    assert POD["spec"]["securityContext"]["runAsNonRoot"]
    assert "volumes" not in POD["spec"]


@pytest.mark.skipif(HAPROXY is None, reason="haproxy is not installed: apt-get install haproxy")
def test_haproxy_accepts_the_configuration_without_a_warning(tmp_path: Path) -> None:
    variables = {name.upper(): "127.0.0.1:1" for name in REPLICA_NAMES}
    command = [str(HAPROXY), "-c", "-dW", "-f", str(CONFIGURATION)]
    checked = subprocess.run(command, env=variables, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr
