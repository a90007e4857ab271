"""A helpdesk that is asked what is new, and answers oddly: it is asked again, and no issue holds up another."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import parse_qs

import pytest
from sqlalchemy import update
from structlog.testing import capture_logs

from api.app import create_app
from api.helpdesks import poller
from api.settings import load_settings
from api.store.tables import StoredDelivery, StoredPosition

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
                path, _, query = self.path.partition("?")
                helpdesk.asked.append(path)
                status, text = helpdesk.answer(path, query)
                self.send_response(status)
                self.send_header("Content-Length", str(len(text.encode())))
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, *arguments: object) -> None:
                """Keep quiet."""

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def answer(self, path: str, query: str) -> Answer:
        return self.answers.get(path, (404, ""))

    def lists(self, *issues: dict[str, Any]) -> None:
        self.answers["/issues.json"] = 200, json.dumps({"issues": issues})


class BusyRedmine(OddRedmine):
    """Lists issues by their last change, as Redmine does, while people change them.

    Attributes:
        issues: By their number.
        on_page: Called after each page with how many were given, the first one being 1.
        pages: How many pages were given.
        since: The moment from which the last page was asked for.
        counts: Whether a page may begin within the list: a helpdesk that cannot gives the first page each time.
    """

    def __init__(self) -> None:
        super().__init__()
        self.issues: dict[int, dict[str, Any]] = {}
        self.on_page: Callable[[int], object] = lambda number: None
        self.pages, self.since, self.counts = 0, "", True

    def answer(self, path: str, query: str) -> Answer:
        if path != "/issues.json":
            number = int(path.removeprefix("/issues/").removesuffix(".json"))
            return 200, json.dumps({"issue": self.issues[number]})
        asked = {name: values[0] for name, values in parse_qs(query).items()}
        self.since = asked["updated_on"].removeprefix(">=")
        listed = [one for one in self.issues.values() if one["updated_on"] >= self.since]
        listed.sort(key=lambda one: (one["updated_on"], one["id"]))
        offset = int(asked["offset"]) if self.counts else 0
        page = listed[offset : offset + int(asked["limit"])]
        text = json.dumps({"issues": page})
        if page:
            self.pages += 1
            self.on_page(self.pages)
        return 200, text


AnyRedmine = TypeVar("AnyRedmine", bound=OddRedmine)


@pytest.fixture
def busy_redmine() -> Iterator[BusyRedmine]:
    yield from running(BusyRedmine())


@pytest.fixture
def redmine() -> Iterator[OddRedmine]:
    yield from running(OddRedmine())


def running(helpdesk: AnyRedmine) -> Iterator[AnyRedmine]:
    """Run a helpdesk until the test is over."""
    thread = threading.Thread(target=helpdesk.server.serve_forever, args=(0.05,))
    thread.start()
    yield helpdesk
    helpdesk.server.shutdown()
    thread.join()
    helpdesk.server.server_close()


@pytest.fixture
def client(redmine: OddRedmine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    yield from asking(redmine, tmp_path, monkeypatch)


@pytest.fixture
def busy_client(
    busy_redmine: BusyRedmine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[], TestClient]]:
    """A service that begins to ask when the test says so, and gets five issues a page."""
    monkeypatch.setattr(poller, "_PAGE", 5)
    with ExitStack() as until_the_end:
        yield lambda: until_the_end.enter_context(contextmanager(asking)(busy_redmine, tmp_path, monkeypatch))


def asking(redmine: OddRedmine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    """Run a service that asks a helpdesk every second."""
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
    places = {"home": tmp_path / "home", "helpdesks": tmp_path / "desks.toml"}
    settings = load_settings(**places, rules_only=True, open_loopback=True)
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


@pytest.mark.parametrize("fault", [(500, "damaged"), (200, "<html>")], ids=["an error", "no JSON"])
def test_an_issue_that_is_never_given_is_set_aside_and_said(
    redmine: OddRedmine, client: TestClient, until: Callable[..., float], fault: Answer
) -> None:
    redmine.lists(*(issue(number) for number in range(1, 4)))
    redmine.answers |= {
        "/issues/1.json": fault,
        "/issues/2.json": (200, json.dumps({"issue": issue(2)})),
        "/issues/3.json": (200, json.dumps({"issue": issue(3)})),
    }
    with capture_logs() as lines:
        until(lambda: client.get("/readyz").json().get("because") == "helpdesk-not-asked", 10)
        until(lambda: decided(client) == {"2", "3"}, 30)
        asked = redmine.asked.count("/issues/1.json")
        until(lambda: redmine.asked.count("/issues/1.json") >= asked + 2, 10)
    [said] = [line for line in lines if line["event"] == "issue_set_aside"]
    assert (said["helpdesk"], said["issue"]) == ("redmine", 1)
    figures = client.get("/metrics").text
    assert 'triage_webhooks_total{desk="redmine",outcome="issue-set-aside"} 1.0' in figures
    assert 'triage_helpdesk_ready{desk="redmine"} 1.0' in figures
    assert client.get("/readyz").json()["status"] == "rules-only"


def test_a_helpdesk_that_gives_no_issue_at_all_has_none_set_aside(
    redmine: OddRedmine, client: TestClient, until: Callable[..., float]
) -> None:
    redmine.lists(*(issue(number) for number in range(1, 4)))
    redmine.answers |= {f"/issues/{number}.json": (503, "down") for number in range(1, 4)}
    with capture_logs() as lines:
        until(lambda: redmine.asked.count("/issues/1.json") >= 6, 15)
        assert 'triage_helpdesk_ready{desk="redmine"} 0.0' in client.get("/metrics").text
        redmine.answers |= {f"/issues/{n}.json": (200, json.dumps({"issue": issue(n)})) for n in range(1, 4)}
        until(lambda: decided(client) == numbers(1, 4), 10)
    assert "issue_set_aside" not in {line["event"] for line in lines}


def test_a_correction_is_taken_once_however_long_nothing_else_is_changed(
    redmine: OddRedmine, client: TestClient, until: Callable[..., float]
) -> None:
    said = issue(1)
    redmine.lists(said)
    redmine.answers["/issues/1.json"] = 200, json.dumps({"issue": said})
    until(lambda: decided(client) == {"1"}, 10)
    store = client.app.state.parts.service.store  # type: ignore[attr-defined]
    [decision] = store.latest(1, source="redmine")
    said |= {
        "custom_fields": [{"id": 1, "value": "L3"}],
        "journals": [{
            "id": 7, "user": {"name": "Kim K"}, "created_on": said["updated_on"],
            "details": [{"property": "cf", "name": "1", "old_value": "L2", "new_value": "L3"}],
        }],
    }  # fmt: skip
    redmine.answers["/issues/1.json"] = 200, json.dumps({"issue": said})
    until(lambda: "Kim K" in speakers(client, decision.id), 10)
    corrected = {"verdict": "corrected", "agent": "bo", "tier": "L1"}
    assert client.post(f"/v1/decisions/{decision.id}/feedback", json=corrected).is_success
    three_days_ago = datetime.now(UTC) - timedelta(days=3)
    with store.database.writing() as session:
        session.execute(update(StoredDelivery).values(received_at=three_days_ago))
        session.execute(update(StoredPosition).values(updated_at=three_days_ago))
    store.expire(None)
    asked = redmine.asked.count("/issues/1.json")
    until(lambda: redmine.asked.count("/issues/1.json") >= asked + 3, 10)
    assert client.get(f"/v1/decisions/{decision.id}").json()["tier"] == "L1"


def speakers(client: TestClient, decision_id: str) -> list[str]:
    """Who has corrected a decision."""
    return [one["agent"] for one in client.get(f"/v1/decisions/{decision_id}").json()["feedback"]]


def at(seconds: int) -> str:
    """A moment after now, as Redmine writes it."""
    return (datetime.now(UTC) + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


def new(number: int, moment: str) -> dict[str, Any]:
    """An issue that comes in at a moment after the service's start."""
    return issue(number, created_on=moment, updated_on=moment)


def numbers(*first_to_last: int) -> set[str]:
    return {str(number) for number in range(*first_to_last)}


@pytest.mark.parametrize("apart", [1, 0], ids=["each at another second", "all within one second"])
def test_an_issue_that_moves_to_the_end_of_the_list_hides_no_other(
    busy_redmine: BusyRedmine, busy_client: Callable[[], TestClient], until: Callable[..., float], apart: int
) -> None:
    moments = [at(60 + number * apart) for number in range(13)]
    busy_redmine.issues = {number: new(number, moments[number]) for number in range(1, 13)}

    def change(page: int) -> None:
        if page in (1, 2):
            busy_redmine.issues[page]["updated_on"] = at(600 + page)

    busy_redmine.on_page = change
    client = busy_client()
    until(lambda: decided(client) == numbers(1, 13), 20)


def test_more_than_a_page_of_one_second_is_read_and_then_left_alone(
    busy_redmine: BusyRedmine, busy_client: Callable[[], TestClient], until: Callable[..., float]
) -> None:
    moment = at(60)
    busy_redmine.issues = {number: new(number, moment) for number in range(1, 13)}
    client = busy_client()
    until(lambda: decided(client) == numbers(1, 13), 20)
    busy_redmine.issues[13] = new(13, at(90))
    until(lambda: decided(client) == numbers(1, 14), 20)
    asked: list[str] = []
    busy_redmine.on_page = lambda number: asked.append(busy_redmine.since)
    until(lambda: asked and asked[-1] == busy_redmine.issues[13]["updated_on"], 10)  # it goes on after that second


def test_a_helpdesk_that_gives_the_first_page_each_time_is_not_asked_without_end(
    busy_redmine: BusyRedmine, busy_client: Callable[[], TestClient], until: Callable[..., float]
) -> None:
    moment = at(60)
    busy_redmine.issues = {number: new(number, moment) for number in range(1, 13)}
    busy_redmine.counts = False
    with capture_logs() as lines:
        client = busy_client()
        until(lambda: any(line["event"] == "helpdesk_not_asked" for line in lines), 10)
        assert decided(client) == numbers(1, 6)
        busy_redmine.counts = True
        until(lambda: decided(client) == numbers(1, 13), 10)
