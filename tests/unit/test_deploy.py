"""What is shipped for operators loads in its checkers, and speaks of metrics, settings and paths that exist."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import generate_latest

from api.settings import load_settings
from api.telemetry import Metrics
from triage.__main__ import main
from triage.errors import InvalidRequest

DEPLOY = Path(__file__).parents[2] / "deploy"
PROMTOOL = shutil.which("promtool")
ALERTS = DEPLOY / "prometheus" / "alerts.yml"
DASHBOARD = DEPLOY / "grafana" / "triage.json"
KUBERNETES, MONITOR, VERB = (DEPLOY / "kubernetes" / f"{name}.yaml" for name in ("triage", "monitor", "verb"))
VERB_SPEC = yaml.safe_load(VERB.read_text("utf-8"))["spec"]["template"]["spec"]
JOB = "triage"
Parts = dict[str, dict[str, Any]]


def names() -> set[str]:
    """Names of the metrics that there are, with what a counter and a histogram add to theirs."""
    lines = generate_latest(Metrics().registry).decode().splitlines()
    found = {line.split()[2]: line.split()[3] for line in lines if line.startswith("# TYPE")}
    ends = {"histogram": ("_bucket", "_sum", "_count")}
    return {f"{name}{end}" for name, kind in found.items() for end in ends.get(kind, ("",))}


@pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed (Debian package prometheus)")
@pytest.mark.parametrize("words", [["check", "rules", "alerts.yml"], ["test", "rules", "alerts_test.yml"]])
def test_the_alerts_load_and_fire(words: list[str]) -> None:
    done = subprocess.run([str(PROMTOOL), *words], cwd=ALERTS.parent, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_what_an_alert_tells_operators_to_run_is_a_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TRIAGE_HOME", str(tmp_path))
    actions = [
        rule["annotations"]["action"] for rule in yaml.safe_load(ALERTS.read_text("utf-8"))["groups"][0]["rules"]
    ]
    told = [line for action in actions for line in re.findall(r"`triage ([^`]+)`", action)]
    assert len(told) == sum(len(re.findall(r"\btriage [a-z]", action)) for action in actions) >= 4
    for line in told:
        main(line.split())
        assert "--help" not in capsys.readouterr().err, line


def test_alerts_and_dashboard_ask_for_metrics_that_exist() -> None:
    dashboard: dict[str, Any] = json.loads(DASHBOARD.read_text("utf-8"))
    asked = [rule["expr"] for rule in yaml.safe_load(ALERTS.read_text("utf-8"))["groups"][0]["rules"]]
    asked += [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    used = {name for expression in asked for name in re.findall(r"\btriage_\w+", expression)}
    assert len(used) >= 12 and used <= names()
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"]) == 8
    assert all(panel["type"] and panel["gridPos"] and panel["targets"] for panel in dashboard["panels"])


@pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed (Debian package prometheus)")
@pytest.mark.parametrize("name", ["prometheus.yml", "kubernetes.yml"])
def test_prometheus_is_shown_the_service_with_a_key(name: str, tmp_path: Path) -> None:
    file = yaml.safe_load((ALERTS.parent / name).read_text("utf-8"))
    [job] = file["scrape_configs"]
    pods = job.pop("kubernetes_sd_configs", None)  # Debian's promtool is built without them
    assert (pods == [{"role": "pod"}]) != ("static_configs" in job)
    checked = tmp_path / name
    checked.write_text(yaml.safe_dump(file | {"rule_files": [str(ALERTS)]}), "utf-8")
    command = [str(PROMTOOL), "check", "config", "--syntax-only", str(checked)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert job["job_name"] == JOB and job["authorization"]["credentials_file"]
    assert file["rule_files"] == [ALERTS.name] and f'up{{job="{JOB}"}}' in ALERTS.read_text("utf-8")


def test_the_operator_of_prometheus_finds_the_service_and_the_key(parts: Parts) -> None:
    monitor = yaml.safe_load(MONITOR.read_text("utf-8"))
    [endpoint] = monitor["spec"]["endpoints"]
    service = parts["Service"]
    labels = service["metadata"]["labels"]
    assert monitor["spec"]["selector"]["matchLabels"].items() <= labels.items()
    assert labels[monitor["spec"]["jobLabel"]] == JOB
    assert endpoint["port"] in {port["name"] for port in service["spec"]["ports"]}
    assert endpoint["authorization"]["credentials"] == {"name": "triage-metrics", "key": "key"}
    assert "annotations" not in parts["Deployment"]["spec"]["template"]["metadata"]


@pytest.mark.parametrize("manifest", [KUBERNETES, VERB], ids=lambda path: path.name)
def test_the_kubernetes_manifests_are_valid(manifest: Path) -> None:
    checker = Path(sys.executable).with_name("kubernetes-validate")
    done = subprocess.run([str(checker), "--strict", str(manifest)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def parts() -> Parts:
    """The manifests by kind."""
    return {one["kind"]: one for one in yaml.safe_load_all(KUBERNETES.read_text("utf-8"))}


def test_what_kubernetes_says_of_the_service_is_not_taken_for_a_setting(
    parts: Parts, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    name = parts["Service"]["metadata"]["name"].upper().replace("-", "_")
    links = {f"{name}_PORT": "tcp://10.96.0.7:80", f"{name}_SERVICE_HOST": "10.96.0.7", f"{name}_SERVICE_PORT": "80"}
    for variable, value in links.items():
        monkeypatch.setenv(variable, value)
    with pytest.raises(InvalidRequest, match="TRIAGE_PORT"):  # so no pod may be told of it
        load_settings(home=tmp_path)
    for spec in (parts["Deployment"]["spec"]["template"]["spec"], VERB_SPEC):
        assert spec["enableServiceLinks"] is False


def test_a_pod_without_a_model_lives_and_gets_no_traffic(parts: Parts) -> None:
    [container] = parts["Deployment"]["spec"]["template"]["spec"]["containers"]
    paths = {name: container[f"{name}Probe"]["httpGet"]["path"] for name in ("startup", "readiness", "liveness")}
    assert paths == {"startup": "/livez", "readiness": "/readyz", "liveness": "/livez"}
    startup = container["startupProbe"]
    assert startup["periodSeconds"] * startup["failureThreshold"] >= 600


def test_a_verb_runs_with_what_the_service_has_and_gets_no_requests(parts: Parts) -> None:
    pod = parts["Deployment"]["spec"]["template"]
    [service], [verb] = pod["spec"]["containers"], VERB_SPEC["containers"]
    for name in ("image", "envFrom", "securityContext", "volumeMounts"):
        assert verb[name] == service[name], name
    assert all(entry in service["env"] for entry in verb["env"])
    for name in ("volumes", "securityContext", "serviceAccountName", "automountServiceAccountToken"):
        assert VERB_SPEC[name] == pod["spec"][name], name
    job = yaml.safe_load(VERB.read_text("utf-8"))
    assert job["spec"]["template"]["metadata"]["labels"] != parts["Service"]["spec"]["selector"]


def test_cookies_are_secure_behind_the_ingress(parts: Parts, tmp_path: Path) -> None:
    [container] = parts["Deployment"]["spec"]["template"]["spec"]["containers"]
    [address] = [one["value"] for one in container["env"] if one["name"] == "TRIAGE_PUBLIC_URL"]
    assert load_settings(home=tmp_path, public_url=address).public_url.startswith("https://")


def test_the_container_is_confined_and_is_reached(parts: Parts) -> None:
    [container] = parts["Deployment"]["spec"]["template"]["spec"]["containers"]
    assert (
        container["securityContext"]["readOnlyRootFilesystem"]
        and container["livenessProbe"]["httpGet"]["path"] == "/livez"
    )
    [port] = container["ports"]
    assert parts["Service"]["spec"]["ports"][0]["targetPort"] == port["name"]
    assert parts["NetworkPolicy"]["spec"]["ingress"][0]["ports"][0]["port"] == port["name"]
    assert container["args"][-2:] == ["--port", str(port["containerPort"])]
