"""Every alert asks for metrics that a service shows from its start, so that the first event of a process is a rise."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from api.app import create_app
from api.settings import load_settings

from .local_client import TestClient

ALERTS = Path(__file__).parents[2] / "deploy" / "prometheus" / "alerts.yml"
FILES = {
    "helpdesks": """
[helpdesks.rt]
secrets = ["RT_SECRET"]
ticket = { when = { event = "created" }, id = "id", body = "text" }

[helpdesks.rt.update]
url = "http://127.0.0.1:9/ticket/{ticket_id}"
hosts = ["127.0.0.1:9"]
loopback = true
body = { Tier = "{tier}" }

[helpdesks.redmine]
vendor = "redmine"
url = "http://127.0.0.1:9"
authorization = "REDMINE_LOGIN"
user = "triage"
loopback = true
fields = { tier = "1" }
""",
    "mailboxes": """
[mailboxes.support]
imap = "imap://127.0.0.1:9"
user = "support"
password = "MAIL_PASSWORD"
done_folder = "Triaged"
""",
}
_OF_PROMETHEUS = {"instance", "job"}
Shown = list[tuple[str, dict[str, str], float]]


def shown(client: TestClient) -> Shown:
    families = text_string_to_metric_families(client.get("/metrics").text)
    return [(one.name, one.labels, one.value) for family in families for one in family.samples]


def alternatives(pattern: str) -> list[str]:
    """Return the texts that a matcher's pattern stands for, such as `a|b` and `mail-(a|b)`."""
    before, among, after = re.fullmatch(r"([^(]*)\(?([^)]*)\)?(.*)", pattern).groups()  # type: ignore[union-attr]
    texts = pattern.split("|") if "(" not in pattern else [f"{before}{one}{after}" for one in among.split("|")]
    assert texts and not set("".join(texts)) & set("().*+[]?^$")
    return texts


def asked() -> Iterator[tuple[str, str, list[str], str]]:
    """Yield metric, label, values and kind of question of every matcher in the alerts; no label where there is none."""
    for rule in yaml.safe_load(ALERTS.read_text("utf-8"))["groups"][0]["rules"]:
        rises = "increase" if "increase(" in rule["expr"] else ""
        for name, matchers in re.findall(r"\b(triage_\w+)(?:\{([^}]*)\})?", rule["expr"]):
            for label, pattern in re.findall(r'(\w+)=~?"([^"]*)"', matchers) or [("", "")]:
                yield name, label, alternatives(pattern), rises


@pytest.fixture
def client(
    make_bundle: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, until: Callable[..., float]
) -> Iterator[TestClient]:
    """A service with a model, a helpdesk and a mailbox."""
    pytest.importorskip("imapclient")
    monkeypatch.setenv("RT_SECRET", "a secret of sixteen or more")
    monkeypatch.setenv("MAIL_PASSWORD", "geheim")
    monkeypatch.setenv("REDMINE_LOGIN", "Basic abc")
    files: dict[str, Any] = {}
    for name, content in FILES.items():
        files[name] = tmp_path / f"{name}.toml"
        files[name].write_text(content, "utf-8")
    settings = load_settings(home=tmp_path / "home", bundle=make_bundle(), open_loopback=True, poll_s=0.2, **files)
    with TestClient(create_app(settings)) as client:
        until(lambda: any(name == "triage_mailbox_ready" for name, _, _ in shown(client)), 10)
        yield client


def test_what_an_alert_waits_for_is_shown_before_it_happens(client: TestClient) -> None:
    client.post("/v1/predict", json={"text": "the printer jams"})
    found, questions = shown(client), list(asked())
    assert len(questions) >= 12 and sum(bool(rises) for *_, rises in questions) >= 5
    for name, label, values, rises in questions:
        for value in values:
            counts = [count for metric, labels, count in found if metric == name and labels.get(label, "") == value]
            assert counts and not (rises and any(counts)), (name, label, value)


def test_an_alert_groups_by_labels_that_its_metrics_have(client: TestClient) -> None:
    client.post("/v1/predict", json={"text": "the printer jams"})
    found = shown(client)
    for rule in yaml.safe_load(ALERTS.read_text("utf-8"))["groups"][0]["rules"]:
        grouped = {label.strip() for part in re.findall(r"by \(([^)]*)\)", rule["expr"]) for label in part.split(",")}
        told = {label for text in rule["annotations"].values() for label in re.findall(r"\$labels\.(\w+)", text)}
        names = set(re.findall(r"\btriage_\w+", rule["expr"]))
        labels = [set(of) for metric, of, _ in found if metric in names]
        assert all((grouped | told) - _OF_PROMETHEUS <= of for of in labels), rule["alert"]


def test_every_target_and_helpdesk_is_shown_at_zero(client: TestClient) -> None:
    found = {(name, *sorted(labels.items())): count for name, labels, count in shown(client)}
    for target in ("tier", "category"):
        for mode in ("suggest", "automatic"):
            assert found["triage_autonomy_changes_total", ("mode", mode), ("target", target)] == 0
    for desk in ("rt", "unknown"):
        for outcome in ("sent", "retry", "dead", "kept"):
            assert found["triage_desk_updates_total", ("desk", desk), ("outcome", outcome)] == 0


def test_a_mailbox_that_is_not_read_says_nothing_of_the_store(client: TestClient, until: Callable[..., float]) -> None:
    until(lambda: ("triage_mailbox_ready", {"mailbox": "support"}, 0) in shown(client), 10)
    until(lambda: ("triage_store_ready", {}, 1) in shown(client), 10)
    assert client.get("/readyz").json()["because"] == "mailbox-not-read"
