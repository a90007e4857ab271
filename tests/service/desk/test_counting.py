"""What operators can see of helpdesks and feedback: counted by outcome, and never under a stranger's words."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from api.app import create_app
from api.helpdesks.signatures import PRESETS
from api.settings import load_settings

from ..local_client import TestClient

SECRET = "a secret of sixteen or more"
FILE = """
[helpdesks.rt]
secrets = ["RT_SECRET"]
ticket = {{ when = {{ event = "created" }}, id = "id", body = "text" }}
feedback = {{ when = {{ event = "corrected" }}, id = "id", agent = "agent", tier = "tier" }}

[helpdesks.rt.update]
url = "http://127.0.0.1:{port}/ticket/{{ticket_id}}"
hosts = ["127.0.0.1:{port}"]
loopback = true
body = {{ Tier = "{{tier}}" }}
"""


def counted(client: TestClient, metric: str) -> dict[str, float]:
    """Return a metric's samples by their labels, without those that are shown at zero."""
    lines = [line for line in client.get("/metrics").text.splitlines() if line.startswith(metric + "_total{")]
    found = {line[line.index("{") + 1 : line.index("}")]: float(line.split()[-1]) for line in lines}
    return {labels: count for labels, count in found.items() if count}


def wait_for_updates(client: TestClient, outcomes: int) -> None:
    deadline = time.monotonic() + 10
    while len(counted(client, "triage_desk_updates")) < outcomes and time.monotonic() < deadline:
        time.sleep(0.02)


def test_webhooks_updates_and_feedback_are_counted(told: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RT_SECRET", SECRET)
    (tmp_path / "desks.toml").write_text(FILE.format(port=told.port))
    told.answers = [404]
    told.before_answer = lambda: time.sleep(0.5)  # as on a busy machine
    settings = load_settings(
        home=tmp_path / "home", rules_only=True, helpdesks=tmp_path / "desks.toml", open_loopback=True
    )
    now = int(time.time())  # one clock for all: a second later the same ticket would be another delivery
    with TestClient(create_app(settings)) as client:

        def send(document: object, desk: str = "rt", secret: str = SECRET, age_s: int = 0) -> Any:
            body, stamp = json.dumps(document).encode(), str(now - age_s)
            signature = PRESETS["triage"].of(secret.encode(), body, stamp)
            headers = {"X-Triage-Timestamp": stamp, "X-Triage-Signature": signature}
            return client.post(f"/v1/webhooks/{desk}", content=body, headers=headers)

        created = {"event": "created", "id": 7, "text": "the printer jams"}
        decision = send(created).json()["decision_id"]
        send(created)
        send({"event": "closed"})
        wait_for_updates(client, 1)  # a correction that overtakes the update has the helpdesk told once more
        send({"event": "corrected", "id": 7, "agent": "kim", "tier": "L3"})
        send(created, secret="another secret, long enough")
        send(created, age_s=999)
        send([])
        send(created, desk="somebody's own words")
        path = f"/v1/decisions/{decision}/feedback"
        said = client.post(path, json={"verdict": "unsure", "agent": "kim"}).json()["feedback_id"]
        client.delete(f"{path}/{said}", params={"agent": "kim"})
        client.post(f"/decisions/{decision}/feedback", data={"verdict": "accepted"})
        wait_for_updates(client, 2)

        outcomes = ("decided", "replayed-delivery", "ignored", "feedback", "bad-signature", "stale-timestamp")
        expected = {f'desk="rt",outcome="{outcome}"': 1.0 for outcome in (*outcomes, "malformed-json")}
        assert counted(client, "triage_webhooks") == expected | {'desk="unknown",outcome="no-signature"': 1.0}
        assert counted(client, "triage_desk_updates") == {
            'desk="rt",outcome="dead"': 1.0,
            'desk="rt",outcome="sent"': 1.0,
        }
        verdicts = {f'verdict="{verdict}"': 1.0 for verdict in ("corrected", "unsure", "undone", "accepted")}
        assert counted(client, "triage_feedback") == verdicts
        assert "somebody" not in client.get("/metrics").text
