"""Two hundred payloads in the shapes of eight vendors: decided, taken as feedback, ignored, or refused."""

from __future__ import annotations

import base64
import json
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from api.app import create_app
from api.helpdesks.config import load_helpdesks
from api.helpdesks.outbound import _names
from api.helpdesks.signatures import PRESETS
from api.helpdesks.vendors import VENDORS
from api.settings import load_settings
from api.store.outbox import DEAD, KEPT, SENT
from triage.errors import InvalidRequest

from ..local_client import TestClient

SECRET = "a secret of sixteen or more"
FIELDS = {
    "freshdesk": ("cf_tier", "cf_category"),
    "glpi": ("tier", "category"),
    "jira": ("customfield_1", "customfield_2"),
    "redmine": ("1", "2"),
    "request-tracker": ("Tier", "Category"),
    "servicenow": ("u_tier", "u_category"),
    "zammad": ("tier", "category"),
    "zendesk": ("360001", "360002"),
}
Shape = dict[str, Any]
OPEN: dict[str, Any] = {"rules_only": True, "open_loopback": True, "request_deadline_s": 20}


def created(vendor: str, id: object, subject: object, text: object, at: object = "2026-11-28T09:00:00Z") -> Shape:
    """A new ticket as the vendor sends it."""
    number = 7 if id is None else id
    shapes: dict[str, Callable[[], Shape]] = {
        "freshdesk": lambda: {
            "freshdesk_webhook": {
                "triggered_event": "{ticket_action:created}", "ticket_id": id, "ticket_subject": subject,
                "ticket_description": text, "ticket_source": "Email", "ticket_requester_email": "kim@example.org",
            }
        },
        "glpi": lambda: {
            "event": "new", "itemtype": "Ticket",
            "item": {"id": id, "name": subject, "content": text, "date_creation": at, "entity": {"name": "Root"}},
        },
        "jira": lambda: {
            "webhookEvent": "jira:issue_created", "timestamp": 1, "user": {"displayName": "Kim"},
            "issue": {
                "id": f"1{number}", "key": id, "fields": {
                    "summary": subject, "description": text, "created": at, "reporter": {"accountId": "5b"},
                    "project": {"key": "DESK"},
                },
            },
        },
        "redmine": lambda: {
            "event": "created", "issue": {
                "id": id, "subject": subject, "description": text, "created_on": at, "author": {"id": 5, "name": "Kim"},
                "project": {"id": 1, "name": "Desk"}, "tracker": {"id": 1, "name": "Support"},
            },
        },
        "request-tracker": lambda: {
            "event": "created", "ticket": {"id": id, "subject": subject, "text": text, "queue": "General"}
        },
        "servicenow": lambda: {
            "event": "created", "record": {
                "sys_id": id, "number": "INC0010001", "short_description": subject, "description": text,
                "contact_type": "email", "caller_id": {"value": "abc", "link": "https://…"}, "opened_at": at,
            },
        },
        "zammad": lambda: {
            "ticket": {
                "id": id, "number": "31001", "title": subject, "created_at": at,
                "customer": {"id": 4}, "group": {"name": "Users"},
            },
            "article": {"body": text, "content_type": "text/html", "sender": "Customer", "type": "email"},
        },
        "zendesk": lambda: {
            "type": "zen:event-type:ticket.created", "account_id": 1, "id": "e-1", "event": {},
            "detail": {
                "id": id, "subject": subject, "description": text, "created_at": at, "requester_id": "8",
                "via": {"channel": "email"},
            },
        },
    }  # fmt: skip
    return shapes[vendor]()


def corrected(vendor: str, id: object, tier: str, agent: str) -> Shape:
    """A correction of the tier as the vendor sends it."""
    tier_field, _ = FIELDS[vendor]
    shapes: dict[str, Callable[[], Shape]] = {
        "glpi": lambda: {"event": "update", "item": {"id": id, "tier": tier, "user_editor": {"name": agent}}},
        "jira": lambda: {
            "webhookEvent": "jira:issue_updated", "user": {"displayName": agent},
            "changelog": {"items": [{"field": "Tier", "fieldId": tier_field, "toString": tier}]},
            "issue": {"key": id, "fields": {tier_field: {"value": tier}}},
        },
        "redmine": lambda: {
            "event": "corrected",
            "journal": {"id": 9, "user": {"name": agent}, "details": [{"property": "cf", "name": tier_field}]},
            "issue": {"id": id, "custom_fields": [{"id": int(tier_field), "name": "Tier", "value": tier}]},
        },
        "servicenow": lambda: {
            "event": "corrected", "record": {"sys_id": id, tier_field: tier, "sys_updated_by": agent}
        },
    }  # fmt: skip
    own_body = {"event": "corrected", "agent": agent, "ticket": {"id": id, "tier": tier}}
    return shapes.get(vendor, lambda: own_body)()


def other(vendor: str) -> Shape:
    """Something else that the vendor tells."""
    shapes: dict[str, Shape] = {
        "glpi": {"event": "delete", "item": {"id": 7}},
        "jira": {
            "webhookEvent": "jira:issue_updated", "user": {"displayName": "Kim"},
            "changelog": {"items": [{"field": "status", "fieldId": "status"}]}, "issue": {"key": "D-7", "fields": {}},
        },
        "zammad": {"ticket": {"id": 7}, "article": {"body": "we look at it", "sender": "Agent"}},
        "zendesk": {"type": "zen:event-type:ticket.status_changed", "detail": {"id": "7"}, "event": {}},
    }  # fmt: skip
    return shapes.get(vendor, {"event": "closed", "ticket": {"id": 7}})


IMAGE = "<img src='data:image/png;base64," + base64.b64encode(bytes(range(256)) * 1500).decode() + "'>"
TEXTS: list[tuple[object, object, object]] = [
    ("VPN", "the vpn drops every ten minutes", "2026-11-28T09:00:00Z"),
    ("Drucker", "Der Drucker im 3. Stock klemmt – bitte helfen 🖨", "2026-11-28T09:00:00+01:00"),
    ("Passwort", "<p>Mein <b>Passwort</b> geht nicht &amp; nun?</p>", "2026-11-28 09:00:00"),
    ("VPN", "the vpn drops", "28/11/2026 9:00"),
    ("VPN", "the vpn drops", 1_800_000_000),
    ("VPN", "the vpn drops", None),
    ("no text", "", "2026-11-28T09:00:00Z"),
    ("no text", None, "2026-11-28T09:00:00Z"),
    ("", "", "2026-11-28T09:00:00Z"),
    (None, "only a text: the printer jams", "2026-11-28T09:00:00Z"),
    ("long", "the printer jams. " + "word " * 20_000, "2026-11-28T09:00:00Z"),
    ("image", f"<p>see</p>{IMAGE}<p>the printer jams</p>", "2026-11-28T09:00:00Z"),
    ("x" * 3_000, "the printer jams", "2026-11-28T09:00:00Z"),
    ("nul", "the printer\x00 jams \ud800", "2026-11-28T09:00:00Z"),
    ("日本語", "プリンターが動きません", "2026-11-28T09:00:00Z"),
]
"""Fifteen tickets as they come: each is decided."""


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    room = tmp_path_factory.mktemp("vendors")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SECRET", SECRET)
        patch.setenv("LOGIN", "Basic abc")
        (room / "desks.toml").write_text("".join(desk(vendor, "https://desk.example") for vendor in FIELDS))
        settings = load_settings(home=room / "home", rules_only=True, helpdesks=room / "desks.toml")
        with TestClient(create_app(settings), raise_server_exceptions=False) as client:
            yield client


def desk(vendor: str, url: str, **site: str) -> str:
    tier, category = FIELDS[vendor]
    more = "".join(f"{name} = {value}\n" for name, value in site.items())
    return f"""
[helpdesks.{vendor}]
vendor = "{vendor}"
url = "{url}"
authorization = "LOGIN"
secrets = ["SECRET"]
user = "Triage"
fields = {{ tier = "{tier}", category = "{category}" }}
poll = {{ url = "{url}", every_s = 3600 }}
{more}"""


def send(client: TestClient, vendor: str, document: Shape, at: int | None = None) -> Any:
    """Send a payload as the vendor signs it, now or at a time in seconds."""
    signature = PRESETS[VENDORS[vendor].signature]
    body, now = json.dumps(document).encode(), f"{at or time.time_ns() // 1_000_000_000}"
    headers = {signature.signature: signature.of(SECRET.encode(), body, now), "Content-Type": "application/json"}
    if signature.timestamp:
        headers[signature.timestamp] = now
    return client.post(f"/v1/webhooks/{vendor}", content=body, headers=headers)


@pytest.mark.parametrize("vendor", FIELDS)
def test_twenty_five_payloads_of_a_vendor(client: TestClient, vendor: str) -> None:
    outcomes: list[tuple[int, str]] = []

    def note(answer: Any) -> dict[str, Any]:
        said: dict[str, Any] = answer.json()
        outcomes.append((answer.status_code, said.get("outcome") or said["code"]))
        return said

    for number, (subject, text, at) in enumerate(TEXTS):
        taken = note(send(client, vendor, created(vendor, f"T-{number}", subject, text, at)))
        assert outcomes[-1] == (200, "decided"), (number, taken)
        assert taken["ticket_id"] == f"T-{number}"
    assert note(send(client, vendor, created(vendor, "T-0", "VPN", TEXTS[0][1])))["ticket_id"] == "T-0"
    for tier, agent in (("L3", "Kim"), ("L2", "Kim"), ("L9", "Kim"), ("L2", "Triage")):
        note(send(client, vendor, corrected(vendor, "T-0", tier, agent)))
    note(send(client, vendor, corrected(vendor, "unheard-of", "L2", "Kim")))
    note(send(client, vendor, other(vendor)))
    note(send(client, vendor, created(vendor, None, "VPN", "the vpn drops")))
    note(send(client, vendor, created(vendor, {"a": 1}, "VPN", "the vpn drops")))
    assert outcomes[15:] == [
        (200, "decided"), (200, "feedback"), (200, "feedback"), (422, "unknown-label"), (200, "ignored"),
        (404, "no-such-decision"), (200, "ignored"), (422, "no-ticket-id"), (422, "no-ticket-id"),
    ]  # fmt: skip
    assert client.post(f"/v1/webhooks/{vendor}", json=created(vendor, "T-1", "VPN", "x")).status_code == 401
    assert len(outcomes) + 1 == 25
    store = client.app.state.parts.service.store  # type: ignore[attr-defined]
    [kept] = store.latest(1, ticket_id="T-11", source=vendor)
    assert "base64" not in kept.body and "the printer jams" in kept.body
    assert store.latest(1, ticket_id="T-8", source=vendor)[0].document.automation == "blank"


PAGE = Path(__file__).parents[3] / "docs/integration.md"
DOCUMENTED = re.search(r'```json\n(\{"event": "corrected".*\})\n```', PAGE.read_text("utf-8"))


@pytest.mark.parametrize("vendor", ["freshdesk", "zammad", "zendesk"])
def test_who_goes_back_to_a_label_is_heard_with_the_documented_body(client: TestClient, vendor: str) -> None:
    assert DOCUMENTED is not None
    decision = send(client, vendor, created(vendor, "B-1", "VPN", "the vpn drops")).json()["decision_id"]
    for minute, tier in enumerate(("L2", "L1", "L2")):
        body = json.loads(DOCUMENTED[1])
        filled = {"at": f"2026-11-28T09:0{minute}:00Z", "agent": "Kim"}
        body |= {name: value for name, value in filled.items() if name in body}
        body["ticket"] = {"id": "B-1", "tier": tier, "category": "network"}
        now = int(time.time())
        taken = send(client, vendor, body, now).json()
        assert taken["outcome"] == "feedback"
        assert send(client, vendor, body, now).json() == taken  # a retry is the same event
    store = client.app.state.parts.service.store  # type: ignore[attr-defined]
    assert [said.tier for said in store.decision(decision).feedback] == ["L2", "L1", "L2"]


def test_a_description_as_an_atlassian_document_is_read(client: TestClient) -> None:
    words = [
        {"type": "paragraph", "content": [{"type": "text", "text": one}]} for one in ("the vpn drops", "since noon")
    ]
    document = {"type": "doc", "version": 1, "content": words}
    answer = send(client, "jira", created("jira", "ADF-1", "VPN", document))
    store = client.app.state.parts.service.store  # type: ignore[attr-defined]
    assert store.decision(answer.json()["decision_id"]).body == "the vpn drops\nsince noon\n"


@pytest.mark.parametrize("vendor", FIELDS)
def test_a_route_and_a_note_are_written_as_the_vendor_takes_them(
    vendor: str, told: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, until: Callable[..., float]
) -> None:
    monkeypatch.setenv("SECRET", SECRET)
    monkeypatch.setenv("LOGIN", "Basic abc")
    (tmp_path / "desks.toml").write_text(desk(vendor, f"http://127.0.0.1:{told.port}", loopback="true"))
    settings = load_settings(home=tmp_path / "home", rules_only=True, helpdesks=tmp_path / "desks.toml")
    with TestClient(create_app(settings)) as client:
        fire = "Smoke comes out of the server cabinet, it is on fire and people are in the room"
        assert send(client, vendor, created(vendor, "7", "Fire", fire)).json()["outcome"] == "decided"
        until(lambda: len(told.requests) == 2, 15)
    written = json.dumps([[method, path, body] for method, path, body, _ in told.requests])
    assert any(path.split("?")[0].rstrip(".json").endswith("7") for path in told.asked)
    assert all(headers["Authorization"] == "Basic abc" for *_, headers in told.requests)
    assert "This must not wait" in written and "{" not in written.replace('{"', "")
    for field in FIELDS[vendor]:
        assert field in written


GROUPS = {"jira": "customfield_3", "servicenow": "u_group", "zammad": "resolver_group", "zendesk": "360003"}


def told_now(vendor: str, *labels: str) -> tuple[Shape, Shape]:
    """Return a ticket with these labels as the vendor's API answers it, and as it sends a correction of it."""
    fields = dict(zip((*FIELDS[vendor], GROUPS[vendor]), labels, strict=True))
    chosen = {field: {"value": label} for field, label in fields.items()}
    listed = [{"id": int(field), "value": label} for field, label in fields.items() if field.isdigit()]
    own = dict(zip(("tier", "category", "resolver_group"), labels, strict=True))
    read: dict[str, Shape] = {
        "jira": {"fields": chosen}, "servicenow": {"result": fields}, "zammad": fields,
        "zendesk": {"ticket": {"custom_fields": listed}},
    }  # fmt: skip
    sent: dict[str, Shape] = {
        "jira": {
            "webhookEvent": "jira:issue_updated", "user": {"displayName": "Kim"},
            "changelog": {"items": [{"fieldId": GROUPS[vendor]}]}, "issue": {"key": "7", "fields": chosen},
        },
        "servicenow": {"event": "corrected", "record": {"sys_id": "7", "sys_updated_by": "Kim", **fields}},
    }  # fmt: skip
    return read[vendor], sent.get(vendor, {"event": "corrected", "agent": "Kim", "ticket": {"id": "7", **own}})


@pytest.fixture
def with_group(
    request: pytest.FixtureRequest, told: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[str, TestClient]]:
    """A helpdesk with a field for the group, and the service that tells it."""
    vendor = str(request.param)
    monkeypatch.setenv("SECRET", SECRET)
    monkeypatch.setenv("LOGIN", "Basic abc")
    text = desk(vendor, f"http://127.0.0.1:{told.port}", loopback="true")
    category = FIELDS[vendor][1]
    text = text.replace(f'"{category}" }}', f'"{category}", resolver_group = "{GROUPS[vendor]}" }}')
    (tmp_path / "desks.toml").write_text(text)
    chosen = load_settings(
        home=tmp_path / "home",
        rules_only=True,
        open_loopback=True,
        request_deadline_s=20,
        helpdesks=tmp_path / "desks.toml",
    )
    with TestClient(create_app(chosen)) as client:
        yield vendor, client


@pytest.mark.parametrize("with_group", GROUPS, indirect=True)
def test_a_group_that_was_set_there_is_a_correction_and_stays(
    with_group: tuple[str, TestClient], told: Any, until: Callable[..., float]
) -> None:
    vendor, client = with_group
    decision = send(client, vendor, created(vendor, "7", "VPN", "the vpn drops")).json()["decision_id"]
    store = client.app.state.parts.service.store  # type: ignore[attr-defined]
    until(lambda: store.updates(SENT), 10)
    route = client.get(f"/v1/decisions/{decision}").json()["current_route"]
    told.current, sent = told_now(vendor, route["tier"], route["category"], "field-service")
    assert send(client, vendor, sent).json()["outcome"] == "feedback"
    shown = client.get(f"/v1/decisions/{decision}").json()
    assert shown["standing"]["verdict"] == "corrected" and shown["resolver_group"] == "field-service"
    said = {"verdict": "corrected", "agent": "lee", "tier": "L3"}
    assert client.post(f"/v1/decisions/{decision}/feedback", json=said).status_code == 200
    until(lambda: len(told.requests) == 2, 10)
    written = json.dumps(told.requests[1][2])
    assert "field-service" in written and "L3" in written


@pytest.mark.parametrize("with_group", GROUPS, indirect=True)
def test_a_group_of_which_no_webhook_told_is_not_written_over(
    with_group: tuple[str, TestClient], told: Any, until: Callable[..., float]
) -> None:
    vendor, client = with_group
    told.current, _ = told_now(vendor, "", "", "field-service")
    send(client, vendor, created(vendor, "7", "VPN", "the vpn drops"))
    store = client.app.state.parts.service.store  # type: ignore[attr-defined]
    until(lambda: store.updates(KEPT), 10)
    until(lambda: told.requests, 10)
    assert all("a person set stands" in json.dumps(body) for _, _, body, _ in told.requests)


def test_a_group_that_only_stands_there_still_is_not_stated(
    told: Any, tmp_path: Path, until: Callable[..., float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET", SECRET)
    monkeypatch.setenv("LOGIN", "Basic abc")
    text = desk("zammad", f"http://127.0.0.1:{told.port}", loopback="true")
    text = text.replace('"category" }', '"category", resolver_group = "resolver_group" }')
    (tmp_path / "desks.toml").write_text(text)
    chosen = load_settings(home=tmp_path, helpdesks=tmp_path / "desks.toml", **OPEN)
    with TestClient(create_app(chosen)) as client:
        decision = send(client, "zammad", created("zammad", "7", "VPN", "the vpn drops")).json()["decision_id"]
        store = client.app.state.parts.service.store  # type: ignore[attr-defined]
        until(lambda: store.updates(SENT), 10)
        route = client.get(f"/v1/decisions/{decision}").json()["current_route"]
        _, sent = told_now("zammad", "L3", route["category"], route["resolver_group"])
        send(client, "zammad", sent)
        standing = client.get(f"/v1/decisions/{decision}").json()["standing"]
        assert (standing["targets"], standing["tier"]) == ({"tier": "L3", "category": route["category"]}, "L3")


def test_a_sensitive_category_counts_where_the_tier_stands_still(client: TestClient) -> None:
    decision = send(client, "zammad", created("zammad", "S-1", "VPN", "the vpn drops")).json()["decision_id"]
    store = client.app.state.parts.service.store  # type: ignore[attr-defined]
    tier = store.decision(decision).document.tier
    ticket = {"id": "S-1", "tier": tier, "category": "security"}
    answer = send(client, "zammad", {"event": "corrected", "agent": "Kim", "ticket": ticket})
    assert (tier, answer.status_code, answer.json().get("outcome")) == ("L1", 200, "feedback")
    row = store.decision(decision)
    assert row.sensitive and (row.standing.tier, row.standing.category) == (None, "security")
    ticket["tier"] = "L0"  # who sets a tier beside it that may not see it contradicts themselves
    answer = send(client, "zammad", {"event": "corrected", "agent": "Kim", "ticket": ticket})
    assert (answer.status_code, answer.json()["code"]) == (422, "illegal-pair")


def test_what_a_helpdesk_was_not_told_stands_on_the_pages_and_in_the_answer(
    told: Any, tmp_path: Path, until: Callable[..., float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET", SECRET)
    monkeypatch.setenv("LOGIN", "Basic abc")
    (tmp_path / "desks.toml").write_text(desk("zammad", f"http://127.0.0.1:{told.port}", loopback="true"))
    told.answers = [401]
    chosen = load_settings(home=tmp_path, helpdesks=tmp_path / "desks.toml", **OPEN)
    with TestClient(create_app(chosen)) as client:
        assert "they took all that they were told" in client.get("/overview").text
        decision = send(client, "zammad", created("zammad", "7", "VPN", "the vpn drops")).json()["decision_id"]
        store = client.app.state.parts.service.store  # type: ignore[attr-defined]
        until(lambda: store.updates(DEAD), 10)
        why = "zammad was not told this route: it does not take the login of the service (HTTP 401)."
        assert client.get(f"/v1/decisions/{decision}").json()["untold"].startswith(why)
        assert why in client.get(f"/decisions/{decision}").text
        rows = client.get("/overview/untold.csv").text.splitlines()
        assert rows[1:] == ["zammad,it does not take the login of the service (HTTP 401),1"]
        store.retry_updates()
        until(lambda: store.updates(SENT), 10)
        assert client.get(f"/v1/decisions/{decision}").json()["untold"] is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({'vendor = "zammad"': 'vendor = "zamad"'}, "no such vendor; vendors: freshdesk, glpi, jira"),
        ({"https://": "ftp://"}, "zammad"),
        ({"LOGIN": "NOT_SET"}, "environment variable NOT_SET is not set"),
        ({"https://": "http://"}, "it must be https"),
    ],
)
def test_a_vendor_that_makes_no_sense_is_refused_before_the_start(
    tmp_path: Path, change: dict[str, str], message: str
) -> None:
    text = desk("zammad", "https://desk.example")
    for old, new in change.items():
        text = text.replace(old, new)
    (tmp_path / "desks.toml").write_text(text)
    with pytest.raises(InvalidRequest, match=message):
        load_helpdesks(tmp_path / "desks.toml", {"SECRET": SECRET, "LOGIN": "Basic abc"})


@pytest.mark.parametrize("with_group", ["servicenow"], indirect=True)
def test_a_group_that_is_a_reference_is_asked_for_and_told_by_its_name_and_stays(
    with_group: tuple[str, TestClient], told: Any, until: Callable[..., float]
) -> None:
    vendor, client = with_group
    store = client.app.state.parts.service.store  # type: ignore[attr-defined]
    send(client, vendor, created(vendor, "6", "VPN", "the vpn drops"))
    until(lambda: store.updates(SENT), 10)
    [(method, path, _, _)] = told.requests
    assert (method, path.partition("?")[2]) == ("PATCH", "sysparm_input_display_value=true")
    [asked] = {path.partition("?")[2] for path in told.asked if "/incident/6?" in path}
    assert asked == "sysparm_display_value=all&sysparm_exclude_reference_link=true"
    reference = {"link": "https://desk.example/api/now/table/sys_user_group/287e", "value": "287e"}
    told.current = {"result": {GROUPS[vendor]: reference}}  # whatever it was asked, something is set there
    send(client, vendor, created(vendor, "7", "VPN", "the vpn drops again"))
    until(lambda: store.updates(KEPT), 10)


@pytest.mark.parametrize("with_group", ["servicenow"], indirect=True)
def test_a_choice_is_known_by_its_value_as_well_as_by_what_people_see(
    with_group: tuple[str, TestClient], told: Any, until: Callable[..., float]
) -> None:
    vendor, client = with_group
    store = client.app.state.parts.service.store  # type: ignore[attr-defined]
    route = client.post("/v1/predict", json={"text": "the vpn drops"}).json()
    both = {"value": route["category"], "display_value": "As people see it"}
    group = {"value": "287e", "display_value": route["resolver_group"]}
    told.current = {"result": {FIELDS[vendor][1]: both, GROUPS[vendor]: group}}
    send(client, vendor, created(vendor, "6", "VPN", "the vpn drops"))
    until(lambda: store.updates(SENT), 10)
    assert not store.updates(KEPT)
    told.current = {"result": {FIELDS[vendor][1]: {"value": "other", "display_value": "Another"}}}
    send(client, vendor, created(vendor, "7", "VPN", "the vpn drops"))
    until(lambda: store.updates(KEPT), 10)


def test_a_default_of_a_field_is_stated_by_its_value_as_well_as_by_what_people_see() -> None:
    document = {"result": {"category": {"value": "inquiry", "display_value": "Inquiry / Help"}, "group": {"value": ""}}}
    for unset in ("inquiry", "Inquiry / Help"):
        assert not _names(document, "result.category", [unset])
    assert _names(document, "result.category", []) == {"inquiry", "Inquiry / Help"}
    assert not _names(document, "result.group", [])
