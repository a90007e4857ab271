"""A helpdesk that is asked what is new, and answers oddly: it is asked again, and no issue holds up another."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from api.app import create_app
from api.helpdesks import poller
from api.settings import load_settings

from ..local_client import TestClient

Answer = tuple[int, str]


class OddRedmine:
    """Answers by path; what is not named is not there."""

    def __init__(self) -> None:
        self.answers: dict[str, Answer] = {}
        self.asked: list[str] = []
        helpdesk = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                path = self.path.partition("?")[0]
                helpdesk.asked.append(path)
                status, text = helpdesk.answers.get(path, (404, ""))
                self.send_response(status)
                self.send_header("Content-Length", str(len(text.encode())))
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, *arguments: object) -> None:
                """Keep quiet."""

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def lists(self, *issues: dict[str, Any]) -> None:
        self.answers["/issues.json"] = 200, json.dumps({"issues": issues})


@pytest.fixture
def redmine() -> Iterator[OddRedmine]:
    helpdesk = OddRedmine()
    thread = threading.Thread(target=helpdesk.server.serve_forever, args=(0.05,))
    thread.start()
    yield helpdesk
    helpdesk.server.shutdown()
    thread.join()
    helpdesk.server.server_close()


@pytest.fixture
def client(redmine: OddRedmine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    monkeypatch.setattr(poller, "_PAUSE_S", 0.2)
    monkeypatch.setenv("LOGIN", "Basic abc")
    (tmp_path / "desks.toml").write_text(f"""
[helpdesks.redmine]
vendor = "redmine"
url = "{redmine.url}"
authorization = "LOGIN"
user = "triage"
loopback = true
fields = {{ tier = "1", category = "2" }}
poll = {{ every_s = 1 }}
""")
    settings = load_settings(home=tmp_path / "home", rules_only=True, helpdesks=tmp_path / "desks.toml")
    with TestClient(create_app(settings)) as client:
        yield client


def issue(number: int, **changes: Any) -> dict[str, Any]:
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {"id": number, "subject": "vpn", "description": f"the vpn drops, {number}", "created_on": now,
            "updated_on": now, "journals": [], **changes}  # fmt: skip


def decided(client: TestClient) -> set[str]:
    store = client.app.state.parts.service.store  # type: ignore[attr-defined]
    return {row.document.ticket_id for row in store.latest(20, source="redmine")}


@pytest.mark.parametrize("odd", ["", "{}", "[]", '{"issues": null}', '{"issues": [7]}', '{"issues": [{"id": "x"}]}'])
def test_an_odd_answer_does_not_end_the_asking(
    redmine: OddRedmine, client: TestClient, until: Callable[..., float], odd: str
) -> None:
    redmine.answers["/issues.json"] = 200, odd
    until(lambda: redmine.asked.count("/issues.json") >= 2, 10)
    redmine.lists(issue(1))
    redmine.answers["/issues/1.json"] = 200, json.dumps({"issue": issue(1)})
    until(lambda: decided(client) == {"1"}, 10)


def test_an_issue_that_cannot_be_read_holds_up_no_other(
    redmine: OddRedmine, client: TestClient, until: Callable[..., float]
) -> None:
    redmine.lists(*(issue(number) for number in range(1, 6)))
    without_date = issue(3)
    del without_date["created_on"]
    redmine.answers |= {
        "/issues/1.json": (403, ""),
        "/issues/2.json": (200, "{}"),
        "/issues/3.json": (200, json.dumps({"issue": without_date})),
        "/issues/4.json": (200, json.dumps({"issue": issue(4)})),
        "/issues/5.json": (503, "<html>down</html>"),
    }
    until(lambda: decided(client) == {"4"}, 10)
    redmine.answers["/issues/5.json"] = 200, json.dumps({"issue": issue(5)})
    until(lambda: decided(client) == {"4", "5"}, 10)  # it was not given up
