"""The whole circle with a real Redmine: a ticket is decided there, a correction comes back, a warning is a note."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from ...conftest import free_port
from ..started import started

RAILS = Path("/usr/share/redmine/bin/rails")
STORE = Path("/var/lib/dbconfig-common/sqlite3/redmine/instances/default/redmine_default")
RUBY = shutil.which("ruby")
CAN_RUN = bool(RUBY) and RAILS.exists() and STORE.parent.exists() and os.access(STORE, os.R_OK)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not CAN_RUN, reason="Redmine is not installed (redmine, redmine-sqlite), or not readable"),
]
SETUP = """
Setting.rest_api_enabled = '1'
Setting.default_language = 'en'
status = IssueStatus.first || IssueStatus.create!(name: 'New')
tracker = Tracker.first || Tracker.create!(name: 'Support', default_status: status)
IssuePriority.first || IssuePriority.create!(name: 'Normal', is_default: true)
fields = { 'Tier' => %w[L0 L1 L2 L3 L4], 'Category' => %w[access hardware network printing] }.map do |name, values|
  IssueCustomField.create!(name: name, field_format: 'list', possible_values: values + [values.first + '-other'],
                           is_for_all: true, trackers: [tracker])
end
fields << IssueCustomField.create!(name: 'Group', field_format: 'string', is_for_all: true, trackers: [tracker])
category = fields[1]
category.possible_values = File.read(ENV['CATEGORIES']).split
category.save!
project = Project.create!(name: 'Desk', identifier: 'desk', trackers: [tracker])
keys = %w[triage kim].map do |login|
  user = User.new(firstname: login, lastname: 'Desk', mail: "#{login}@example.org", language: 'en')
  user.login = login
  user.admin = true
  user.password = user.password_confirmation = 'a long password'
  user.save!
  user.api_key
end
puts (['RESULT', project.id, tracker.id] + fields.map(&:id) + keys).join(' ')
"""


class Desk:
    """Redmine in the hands of an agent."""

    def __init__(self, client: httpx.Client, project: int, tracker: int, fields: dict[str, int]) -> None:
        self.client, self.project, self.tracker, self.fields = client, project, tracker, fields

    def file(self, subject: str, text: str, **labels: str) -> int:
        issue = {"project_id": self.project, "tracker_id": self.tracker, "subject": subject, "description": text}
        values = [{"id": self.fields[name], "value": label} for name, label in labels.items()]
        answer = self.client.post("/issues.json", json={"issue": {**issue, "custom_fields": values}})
        assert answer.status_code == 201, answer.text
        return int(answer.json()["issue"]["id"])

    def labels(self, issue: int) -> dict[str, str]:
        found = self.client.get(f"/issues/{issue}.json").json()["issue"]["custom_fields"]
        return {field["name"]: field["value"] for field in found if field["value"]}

    def notes(self, issue: int) -> list[str]:
        found = self.client.get(f"/issues/{issue}.json?include=journals").json()["issue"]["journals"]
        return [journal["notes"] for journal in found if journal.get("notes")]

    def correct(self, issue: int, **labels: str) -> None:
        values = [{"id": self.fields[name], "value": label} for name, label in labels.items()]
        answer = self.client.put(f"/issues/{issue}.json", json={"issue": {"custom_fields": values}})
        assert answer.status_code == 204, answer.text


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Desk, httpx.Client]]:
    from triage.defaults import default_policy

    room = tmp_path_factory.mktemp("redmine")
    shutil.copy(STORE, room / "redmine.sqlite")
    (room / "categories.txt").write_text("\n".join(default_policy().labels("category")))
    (room / "setup.rb").write_text(SETUP)
    rails = [str(RUBY), str(RAILS)]
    environment = {"DATABASE_URL": f"sqlite3:{room / 'redmine.sqlite'}", "RAILS_ENV": "production"}
    environment |= {"CATEGORIES": str(room / "categories.txt")}
    done = subprocess.run(
        [*rails, "runner", str(room / "setup.rb")],
        env=os.environ | environment, cwd=room, capture_output=True, text=True, timeout=180,
    )  # fmt: skip
    line = next((line for line in done.stdout.splitlines() if line.startswith("RESULT")), "")
    assert done.returncode == 0 and line, done.stdout[-1000:] + done.stderr[-2000:]
    project, tracker, tier, category, group, triage_key, kim_key = line.split()[1:]
    redmine_port, triage_port = free_port(), free_port()
    redmine, service = f"http://127.0.0.1:{redmine_port}", f"http://127.0.0.1:{triage_port}"
    (room / "desks.toml").write_text(f"""
[helpdesks.redmine]
vendor = "redmine"
url = "{redmine}"
authorization = "REDMINE_AUTHORIZATION"
user = "triage Desk"
loopback = true
fields = {{ tier = "{tier}", category = "{category}", resolver_group = "{group}" }}
poll = {{ every_s = 1 }}
""")
    triage = {
        "TRIAGE_HOME": str(room / "home"),
        "TRIAGE_HELPDESKS": str(room / "desks.toml"),
        "TRIAGE_RULES_ONLY": "1",
        "REDMINE_AUTHORIZATION": "Basic " + b64encode(f"{triage_key}:x".encode()).decode(),
    }
    serve = [sys.executable, "-P", "-m", "triage", "serve", "--open-loopback", "--port", str(triage_port)]
    found = subprocess.run(["gem", "which", "webrick"], capture_output=True, text=True, check=True).stdout.strip()
    webrick = str(Path(found).parent)  # Redmine's bundle leaves it out
    server = [
        str(RUBY),
        "-I",
        webrick,
        str(RAILS),
        "server",
        "-u",
        "webrick",
        "-e",
        "production",
        "-b",
        "127.0.0.1",
        "-p",
        str(redmine_port),
    ]
    server += ["-P", str(room / "redmine.pid")]
    with (
        started(server, room / "redmine.log", f"{redmine}/login", **environment),
        started(serve, room / "triage.log", f"{service}/livez", **triage),
        httpx.Client(base_url=redmine, headers={"X-Redmine-API-Key": kim_key}, timeout=60) as desk,
        httpx.Client(base_url=f"{service}/v1", timeout=30) as client,
    ):
        fields = {"Tier": int(tier), "Category": int(category), "Group": int(group)}
        yield Desk(desk, int(project), int(tracker), fields), client


def wait_for(look: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + 60
    while not (found := look()) and time.monotonic() < deadline:
        time.sleep(0.3)
    assert found
    return found


def decided(service: httpx.Client, issue: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = service.get("/decisions", params={"ticket_id": str(issue)}).json()["decisions"]
    return found


def test_a_ticket_filed_there_gets_tier_category_and_group(both: tuple[Desk, httpx.Client]) -> None:
    desk, service = both
    issue = desk.file("Passwört vergessen", "I forgot my password and cannot sign in. 日本語")
    labels = wait_for(lambda: desk.labels(issue))
    [decision] = decided(service, issue)
    assert decision["desk"] == "redmine" and "日本語" in decision["ticket"]["body"]
    assert labels == {
        "Tier": decision["tier"], "Category": decision["category"], "Group": decision["resolver_group"]
    }  # fmt: skip
    time.sleep(3)
    assert [one["feedback"] for one in decided(service, issue)] == [[]]  # its own write is no correction


def test_a_correction_made_there_comes_back_and_stands(both: tuple[Desk, httpx.Client]) -> None:
    desk, service = both
    issue = desk.file("Printer", "the printer on floor 3 jams")
    wait_for(lambda: desk.labels(issue))
    desk.correct(issue, Tier="L3", Category="network")
    said = wait_for(lambda: decided(service, issue)[0]["standing"])
    assert (said["verdict"], said["agent"], said["tier"], said["category"]) == (
        "corrected",
        "kim Desk",
        "L3",
        "network",
    )
    time.sleep(3)
    assert desk.labels(issue)["Tier"] == "L3" and len(decided(service, issue)[0]["feedback"]) == 1


def test_what_must_not_wait_is_a_note_and_labels_set_at_filing_stand(both: tuple[Desk, httpx.Client]) -> None:
    desk, service = both
    text = "Smoke comes out of the server cabinet, it is on fire and people are in the room"
    issue = desk.file("Fire", text, Tier="L4", Category="hardware")
    assert any("This must not wait" in note for note in wait_for(lambda: desk.notes(issue)))
    assert decided(service, issue)[0]["attention"]
    assert desk.labels(issue) == {"Tier": "L4", "Category": "hardware"}
