"""A real Request Tracker: a ticket gets tier and category written back, a correction made there becomes feedback."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.helpdesks.signatures import PRESETS

from ...conftest import free_port
from ..started import started

EXAMPLE = Path(__file__).parents[3] / "examples" / "request_tracker"
SERVER = Path("/usr/share/request-tracker5/libexec/rt-server")
SETUP = shutil.which("rt-setup-database-5") or shutil.which("rt-setup-database-5", path="/usr/sbin")
SECRET, PASSWORD = "a secret of sixteen or more", "a password of rt"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (SERVER.exists() and SETUP), reason="Request Tracker 5 is not installed (request-tracker5)"),
]


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[httpx.Client, httpx.Client]]:
    """Request Tracker and the triage service as the example sets them up: a client of each."""
    room = tmp_path_factory.mktemp("rt")
    rt_port, triage_port = free_port(), free_port()
    rt = {"RT_SITE_CONFIG": str(room / "RT_SiteConfig.pm"), "RT_SITE_CONFIG_DIR": str(room / "none")}
    (room / "RT_SiteConfig.pm").write_text(_site_config(room, rt_port, triage_port))
    environment = os.environ | rt | {"TRIAGE_RT_PASSWORD": PASSWORD}
    for step in (
        ["--action", "init", "--skip-create"],
        ["--action", "insert", "--datafile", str(EXAMPLE / "triage.initialdata")],
    ):
        done = subprocess.run(
            [str(SETUP), *step], env=environment, cwd=room, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stdout + done.stderr
    desks = (EXAMPLE / "desks.toml").read_text().replace("127.0.0.1:8080", f"127.0.0.1:{rt_port}")
    (room / "desks.toml").write_text(desks)
    login = base64.b64encode(f"triage:{PASSWORD}".encode()).decode()
    triage = {
        "TRIAGE_HOME": str(room / "home"),
        "TRIAGE_HELPDESKS": str(room / "desks.toml"),
        "TRIAGE_RULES_ONLY": "1",
        "TRIAGE_RT_SECRET": SECRET,
        "TRIAGE_RT_AUTHORIZATION": f"Basic {login}",
    }
    serve = [sys.executable, "-P", "-m", "triage", "serve", "--open-loopback", "--port", str(triage_port)]
    desk_url, triage_url = f"http://127.0.0.1:{rt_port}", f"http://127.0.0.1:{triage_port}"
    rt_server = [str(SERVER), "--server", "Standalone", "--port", str(rt_port)]
    with (
        started(serve, room / "triage.log", f"{triage_url}/livez", **triage),
        started(rt_server, room / "rt.log", f"{desk_url}/REST/2.0/rt", **rt),
        httpx.Client(base_url=f"{desk_url}/REST/2.0", auth=("root", "password"), timeout=30) as desk,
        httpx.Client(base_url=f"{triage_url}/v1", timeout=30) as service,
    ):
        yield desk, service


def _site_config(room: Path, rt_port: int, triage_port: int) -> str:
    return f"""
        Set($rtname, 'example'); Set($Organization, 'example.org');
        Set($WebDomain, '127.0.0.1'); Set($WebPort, {rt_port}); Set($WebPath, '');
        Set($DatabaseType, 'SQLite'); Set($DatabaseName, '{room}/rtdb');
        Set($LogToSyslog, undef); Set($LogToSTDERR, 'error'); Set($MailCommand, 'testfile');
        Set($TriageWebhook, 'http://127.0.0.1:{triage_port}/v1/webhooks/rt'); Set($TriageSecret, '{SECRET}');
        1;
    """


def wait_for(look: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + 30
    while not (found := look()) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert found
    return found


def fields(desk: httpx.Client, ticket: str) -> dict[str, str]:
    found = desk.get(f"/ticket/{ticket}").json()["CustomFields"]
    return {field["name"]: field["values"][0] for field in found if field["values"]}


def file(desk: httpx.Client, subject: str, text: str, **labels: str) -> str:
    wanted: dict[str, Any] = {
        "Queue": "General",
        "Subject": subject,
        "Content": text,
        "ContentType": "text/plain",
        "Requestor": "kim@example.org",
        **({"CustomFields": labels} if labels else {}),
    }
    answer = desk.post("/ticket", json=wanted)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def test_a_ticket_filed_there_is_decided_and_written_back(both: tuple[httpx.Client, httpx.Client]) -> None:
    desk, service = both
    ticket = file(desk, "Passwört vergessen", "I forgot my password and cannot sign in. 日本語")
    decided = wait_for(lambda: service.get("/decisions", params={"ticket_id": ticket}).json()["decisions"])[0]
    assert decided["desk"] == "rt" and decided["ticket"]["subject"] == "Passwört vergessen"
    assert "日本語" in decided["ticket"]["body"]
    written = wait_for(lambda: fields(desk, ticket))
    assert written == {"Tier": decided["tier"], "Category": decided["category"]}
    assert decided["feedback"] == []


def test_a_correction_made_there_comes_back_as_feedback(both: tuple[httpx.Client, httpx.Client]) -> None:
    desk, service = both
    ticket = file(desk, "Printer", "the printer on floor 3 jams")
    wait_for(lambda: fields(desk, ticket))
    decided = service.get("/decisions", params={"ticket_id": ticket}).json()["decisions"][0]
    assert desk.put(f"/ticket/{ticket}", json={"CustomFields": {"Tier": "L3"}}).status_code == 200

    def standing() -> Any:
        return service.get(f"/decisions/{decided['decision_id']}").json()["standing"]

    said = wait_for(standing)
    assert (said["verdict"], said["agent"]) == ("corrected", "root")
    assert (said["tier"], said["category"]) == ("L3", decided["category"])
    history = service.get(f"/decisions/{decided['decision_id']}").json()["feedback"]
    assert [row["agent"] for row in history] == ["root"]


def comments(desk: httpx.Client, ticket: str) -> list[str]:
    """Return the texts of a ticket's comments."""
    found = desk.get(f"/ticket/{ticket}/history", params={"fields": "Type", "per_page": 100}).json()["items"]
    ids = [row["id"] for row in found if row.get("Type") == "Comment"]
    parts = [desk.get(f"/transaction/{one}/attachments").json()["items"] for one in ids]
    texts = [desk.get(f"/attachment/{part['id']}").json().get("Content") or "" for items in parts for part in items]
    return [base64.b64decode(text).decode("utf-8", "replace") for text in texts]


def send_again(service: httpx.Client, ticket: str, text: str) -> dict[str, Any]:
    """Send what the scrip sends when a ticket comes in, with another text."""
    document = {"event": "created", "ticket": {"id": ticket, "subject": "Printer", "text": text}}
    body, now = json.dumps(document).encode(), str(int(time.time()))
    signature = PRESETS["triage"].of(SECRET.encode(), body, now)
    headers = {"X-Triage-Timestamp": now, "X-Triage-Signature": signature, "Content-Type": "application/json"}
    answer = service.post("/webhooks/rt", content=body, headers=headers)
    assert answer.status_code == 200, answer.text
    decided: dict[str, Any] = service.get(f"/decisions/{answer.json()['decision_id']}").json()
    return decided


def test_a_second_message_undoes_no_correction_and_is_a_note(both: tuple[httpx.Client, httpx.Client]) -> None:
    desk, service = both
    ticket = file(desk, "Printer", "the printer on floor 5 jams")
    wait_for(lambda: fields(desk, ticket))
    desk.put(f"/ticket/{ticket}", json={"CustomFields": {"Tier": "L3", "Category": "network"}})
    wait_for(lambda: service.get("/decisions", params={"ticket_id": ticket}).json()["decisions"][0]["standing"])
    again = send_again(service, ticket, "now smoke comes out of the printer, it is on fire and people are in the room")
    assert (again["tier"], again["category"], again["source"]) == ("L3", "network", "person")
    assert again["automation"] == "suggested" and again["proposed"] is not None
    [comment] = wait_for(lambda: comments(desk, ticket))
    assert "the route that a person set stands" in comment and "This must not wait" in comment
    assert fields(desk, ticket) == {"Tier": "L3", "Category": "network"}


def test_what_an_agent_set_when_filing_the_ticket_stands(both: tuple[httpx.Client, httpx.Client]) -> None:
    desk, service = both
    ticket = file(desk, "Locked out", "my password is expired and I cannot sign in", Tier="L3", Category="hardware")
    wait_for(lambda: service.get("/decisions", params={"ticket_id": ticket}).json()["decisions"])
    [comment] = wait_for(lambda: comments(desk, ticket))
    assert "the route that a person set stands" in comment
    assert fields(desk, ticket) == {"Tier": "L3", "Category": "hardware"}


def test_a_correction_on_the_page_is_written_there(both: tuple[httpx.Client, httpx.Client]) -> None:
    desk, service = both
    ticket = file(desk, "Screen", "my screen stays black")
    wait_for(lambda: fields(desk, ticket))
    decided = service.get("/decisions", params={"ticket_id": ticket}).json()["decisions"][0]
    said = {"verdict": "corrected", "tier": "L3", "category": "network", "agent": "lee"}
    assert service.post(f"/decisions/{decided['decision_id']}/feedback", json=said).status_code == 200
    wait_for(lambda: fields(desk, ticket) == {"Tier": "L3", "Category": "network"})
    history = service.get(f"/decisions/{decided['decision_id']}").json()["feedback"]
    assert [row["agent"] for row in history] == ["lee"]  # the write-back is not taken for a word of a person
