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

from api.telemetry import Metrics
from triage.__main__ import main

DEPLOY = Path(__file__).parents[2] / "deploy"
PROMTOOL = shutil.which("promtool")
ALERTS = DEPLOY / "prometheus" / "alerts.yml"
DASHBOARD = DEPLOY / "grafana" / "triage.json"
KUBERNETES = DEPLOY / "kubernetes" / "triage.yaml"


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


def test_the_kubernetes_manifests_are_valid() -> None:
    checker = Path(sys.executable).with_name("kubernetes-validate")
    done = subprocess.run([str(checker), "--strict", str(KUBERNETES)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    parts = {one["kind"]: one for one in yaml.safe_load_all(KUBERNETES.read_text("utf-8"))}
    [container] = parts["Deployment"]["spec"]["template"]["spec"]["containers"]
    assert (
        container["securityContext"]["readOnlyRootFilesystem"]
        and container["livenessProbe"]["httpGet"]["path"] == "/livez"
    )
    assert parts["Service"]["spec"]["ports"][0]["targetPort"] == container["ports"][0]["name"]
