"""Nothing that somebody sends turns up where it does not belong: logs, metrics, problems, other tables of the store."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow
CANARY = "canary7f3a"


def test_what_was_sent_is_only_in_the_ticket(serve: Callable[..., Any], tmp_path: Path) -> None:
    with serve("--open-loopback", TRIAGE_RULES_ONLY="1", TRIAGE_LOG_LEVEL="debug") as service:
        ask, said = service.client, []
        ticket = {"id": CANARY, "subject": CANARY, "body": f"{CANARY} printer", "attributes": {CANARY: CANARY}}
        decided = ask.post("/v1/predict", json=ticket, headers={"X-Custom": CANARY, "X-Request-ID": "right-1"})
        assert decided.status_code == 200
        said.append(ask.post("/v1/predict", json={"text": CANARY, CANARY: 1}))
        said.append(
            ask.post(
                "/v1/predict", content=f'{{"text": "{CANARY}'.encode(), headers={"Content-Type": "application/json"}
            )
        )
        said.append(ask.post("/v1/predict", content=CANARY.encode(), headers={"Content-Type": CANARY}))
        said.append(ask.get(f"/{CANARY}?{CANARY}={CANARY}"))
        said.append(ask.get(f"/v1/decisions/{CANARY}"))
        said.append(ask.request(CANARY.upper(), "/v1/predict"))
        said.append(ask.post("/v1/model/reload", headers={"Authorization": f"Bearer {CANARY}"}))
        said.append(ask.post(f"/v1/webhooks/{CANARY}", content=CANARY.encode()))
        feedback = f"/v1/decisions/{decided.json()['decision_id']}/feedback"
        said.append(ask.post(feedback, json={"verdict": "corrected", "tier": CANARY, "agent": "kim"}))
        assert all(answer.status_code >= 400 and CANARY not in answer.text.lower() for answer in said)
        assert {answer.headers["content-type"] for answer in said} == {"application/problem+json"}
        assert CANARY not in ask.get("/metrics").text.lower()
        assert service.stop() == 0
        log = service.log.read_text()
    assert CANARY not in log.lower()
    lines = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    assert [line["status"] for line in lines if line.get("request_id") == "right-1"] == [200]
    assert len({line["request_id"] for line in lines if line["event"] == "request"}) >= len(said)
    store = sqlite3.connect(tmp_path / "store.sqlite")
    for (table,) in store.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
        held = CANARY in str(store.execute(f'SELECT * FROM "{table}"').fetchall())
        # A decision names its ticket, and the index of words is read through the text of the ticket.
        assert held is (table in ("tickets", "decisions", "ticket_words")), table
    store.close()
