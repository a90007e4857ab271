"""What the running service acknowledged survives `kill -9`, a restart and a second worker."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

pytestmark = pytest.mark.slow
Serve = Callable[..., Any]
RULES = {"TRIAGE_RULES_ONLY": "1"}


def kill(serving: Any) -> None:
    """Kill the service and all of its workers without warning."""
    for pid in (serving.process.pid, *serving.workers()):
        os.kill(pid, signal.SIGKILL)
    serving.process.wait(10)


def test_what_was_acknowledged_is_there_after_kill_9(serve: Serve) -> None:
    with serve("--open-loopback", **RULES) as before:
        first = before.client.post(
            "/v1/predict", json={"id": "T-1", "text": "the vpn drops"}, headers={"Idempotency-Key": "k"}
        )
        decision = first.json()["decision_id"]
        path = f"/v1/decisions/{decision}/feedback"

        def say(client: int) -> tuple[dict[str, str], list[str]]:
            acknowledged: dict[str, str] = {}
            with httpx.Client(base_url=before.url, timeout=20) as own:
                for number in range(100_000):
                    tag = f"{client}-{number}"
                    said = {"verdict": "unsure", "agent": f"client {client}", "comment": tag}
                    try:
                        answer = own.post(path, json=said, headers={"Idempotency-Key": tag})
                    except httpx.HTTPError:
                        return acknowledged, [tag]
                    if answer.status_code == 200:
                        acknowledged[tag] = answer.json()["feedback_id"]
            return acknowledged, []

        with ThreadPoolExecutor(8) as clients:
            outcomes = [clients.submit(say, client) for client in range(8)]
            deadline = time.monotonic() + 30
            while before.client.get(f"/v1/decisions/{decision}").json()["standing"] is None:
                assert time.monotonic() < deadline
            time.sleep(0.5)
            kill(before)
        told = [outcome.result() for outcome in outcomes]
    with serve("--open-loopback", **RULES) as after:
        for client, (_, unanswered) in enumerate(told):
            for tag in unanswered:
                said = {"verdict": "unsure", "agent": f"client {client}", "comment": tag}
                assert after.client.post(path, json=said, headers={"Idempotency-Key": tag}).status_code == 200
        rows = after.client.get(f"/v1/decisions/{decision}").json()["feedback"]
        again = after.client.post(
            "/v1/predict", json={"id": "T-1", "text": "the vpn drops"}, headers={"Idempotency-Key": "k"}
        )
        other = after.client.post("/v1/predict", json={"text": "else"}, headers={"Idempotency-Key": "k"})
        same_ticket = after.predict(id="T-1", text="the vpn drops")
    kept = {row["comment"]: row["feedback_id"] for row in rows}
    acknowledged = {tag: row for told_one, _ in told for tag, row in told_one.items()}
    assert acknowledged.items() <= kept.items() and len(rows) == len(kept)
    assert (again.status_code, again.content) == (200, first.content)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency-key-reused")
    assert same_ticket.json() == first.json()


def test_a_key_is_made_used_and_revoked_while_two_workers_run(serve: Serve, tmp_path: Path) -> None:
    def keys(*arguments: str) -> Any:
        command = [sys.executable, "-P", "-m", "triage", "keys", *arguments, "--json"]
        environment = {**os.environ, "TRIAGE_HOME": str(tmp_path)}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        return json.loads(done.stdout)

    with serve("--workers", "2", **RULES) as serving:
        made = keys("create", "--scope", "read")
        headers = {"Authorization": f"Bearer {made['key']}"}

        def statuses() -> set[int]:
            found = set()
            for _ in range(12):  # a fresh connection each, so that either worker may take it
                found.add(httpx.get(f"{serving.url}/v1/decisions", headers=headers, timeout=10).status_code)
            return found

        assert statuses() == {200}
        keys("revoke", made["id"])
        time.sleep(5)
        assert statuses() == {401}
    log = serving.log.read_text()
    assert made["key"] not in log and made["key"].split("_", 2)[2] not in log
