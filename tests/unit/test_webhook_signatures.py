"""A webhook is taken when the desk signed it just now, and never otherwise."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from dataclasses import replace

import pytest

from api.helpdesks.config import FeedbackMap, HelpdeskConfig, TicketMap
from api.helpdesks.inbound import accept, correction_of, ticket_of
from api.helpdesks.signatures import PRESETS, Signature
from api.http.exceptions import NotAcceptable, NotSignedIn
from api.store.outbox import UNDATED

SECRET, OLD = b"a secret of sixteen or more", b"the secret before that one"
NOW = 1_800_000_000.0
BODY = b'{"event": "created", "ticket": {"id": 7, "subject": "VPN", "text": "it drops"}}'
DESK = HelpdeskConfig(
    "rt",
    (SECRET, OLD),
    ticket=TicketMap(
        when={"event": "created"}, id="ticket.id", subject="ticket.subject", body="ticket.text", channel="=email"
    ),
    feedback=FeedbackMap(
        when={"event": "corrected"}, id="ticket.id", agent="agent", tier="ticket.tier", not_people=("triage",)
    ),
)


def headers(
    body: bytes = BODY, timestamp: str = "1800000000", secret: bytes = SECRET, **changes: str
) -> dict[str, str]:
    signature = "sha256=" + hmac.new(secret, timestamp.encode() + body, hashlib.sha256).hexdigest()
    named = {"x-triage-signature": signature, "x-triage-timestamp": timestamp, "x-triage-delivery": "d-1"}
    return named | {name.replace("_", "-"): value for name, value in changes.items()}


def test_what_the_desk_signed_now_is_taken() -> None:
    delivery = accept(DESK, headers(), BODY, NOW)
    assert delivery.document == json.loads(BODY) and len(delivery.ids) == 2 and delivery.ids[1] == "id:d-1"


def test_the_secret_before_is_taken_while_it_lives() -> None:
    accept(DESK, headers(secret=OLD), BODY, NOW)


REFUSED = {
    "no signature": (headers(x_triage_signature=""), BODY, "no-signature"),
    "no timestamp": (headers(x_triage_timestamp=""), BODY, "no-signature"),
    "another secret": (headers(secret=b"not the secret of the desk"), BODY, "bad-signature"),
    "one byte more": (headers(), BODY + b" ", "bad-signature"),
    "another timestamp": (headers(x_triage_timestamp="1800000001"), BODY, "bad-signature"),
    "capital hex": (headers(x_triage_signature=headers()["x-triage-signature"].upper()), BODY, "bad-signature"),
    "no prefix": (headers(x_triage_signature=headers()["x-triage-signature"][7:]), BODY, "bad-signature"),
    "not ascii": (headers(x_triage_signature="sha256=ü"), BODY, "bad-signature"),
    "too old": (headers(timestamp="1799999699"), BODY, "stale-timestamp"),
    "too new": (headers(timestamp="1800000301"), BODY, "stale-timestamp"),
    "no time at all": (headers(timestamp="yesterday"), BODY, "stale-timestamp"),
    "endless": (headers(timestamp="9" * 400), BODY, "stale-timestamp"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_anything_else_is_refused(case: str) -> None:
    sent, body, code = REFUSED[case]
    with pytest.raises(NotSignedIn) as refusal:
        accept(DESK, sent, body, NOW)
    assert refusal.value.code == code


def test_the_edges_of_the_tolerance_are_taken() -> None:
    for timestamp in ("1799999700", "1800000300", "2027-01-15T08:00:00Z", "2027-01-15T09:00:00+01:00"):
        accept(DESK, headers(timestamp=timestamp), BODY, NOW)


def test_an_unknown_desk_and_one_without_secret_are_told_nothing_else() -> None:
    for desk in (None, HelpdeskConfig("mute")):
        with pytest.raises(NotSignedIn) as refusal:
            accept(desk, headers(), BODY, NOW)
        assert refusal.value.code == "no-signature"


def test_a_replay_under_another_delivery_id_is_known_by_what_was_signed() -> None:
    first, replay = (accept(DESK, headers(x_triage_delivery=name), BODY, NOW) for name in ("d-1", "d-2"))
    assert first.ids[0] == replay.ids[0] and first.ids[1] != replay.ids[1]


def test_a_desk_may_sign_in_base64_under_other_names() -> None:
    names = Signature(
        signature="X-Desk-Signature", timestamp="X-Desk-Time", encoding="base64", prefix="", delivery="X-Desk-Delivery"
    )
    moment = "2027-01-15T08:00:00Z"
    digest = base64.b64encode(hmac.new(SECRET, moment.encode() + BODY, hashlib.sha256).digest()).decode()
    sent = {"x-desk-signature": digest, "x-desk-time": moment}
    assert accept(HelpdeskConfig("z", (SECRET,), signature=names), sent, BODY, NOW).document["ticket"]["id"] == 7


@pytest.mark.parametrize("body", [b"", b"[]", b"7", b"{", b'{"a": NaN}', b"\xff{}", b"[" * 5000, b'{"a":' * 5000])
def test_what_is_no_json_object_is_refused(body: bytes) -> None:
    with pytest.raises(NotAcceptable) as refusal:
        accept(DESK, headers(body), body, NOW)
    assert refusal.value.code == "malformed-json"


def test_a_ticket_is_read_by_the_map() -> None:
    ticket = ticket_of(DESK, json.loads(BODY), 20_000)
    assert ticket is not None
    assert (ticket.id, ticket.subject, ticket.body, ticket.channel) == ("7", "VPN", "it drops", "email")
    assert ticket_of(DESK, {"event": "closed"}, 20_000) is None


def test_what_a_desk_cannot_mend_is_mended() -> None:
    document = {"event": "created", "ticket": {"id": "7", "subject": "a\x00b\ud800", "text": "x" * 30_000}}
    ticket = ticket_of(DESK, document, 20_000)
    assert ticket is not None and ticket.subject == "ab?" and len(ticket.body) == 20_000


@pytest.mark.parametrize("ticket", [{}, {"id": ""}, {"id": "7"}, {"id": {}, "text": "x"}, []])
def test_a_ticket_without_id_or_text_is_refused(ticket: object) -> None:
    with pytest.raises(NotAcceptable):
        ticket_of(DESK, {"event": "created", "ticket": ticket}, 20_000)


def test_a_ticket_that_says_nothing_is_a_ticket_and_a_date_that_cannot_be_read_is_left_out() -> None:
    mapped = replace(DESK, ticket=TicketMap(id="id", body="text", opened_at="at", language="lang"))
    ticket = ticket_of(mapped, {"id": 7, "text": "", "at": "06/11/26", "lang": "English"}, 20_000)
    assert ticket is not None and (ticket.body, ticket.opened_at, ticket.language) == ("", None, "en")
    assert [one.field for one in ticket.ignored] == ["opened_at"]


def test_a_correction_is_read_by_the_map_but_not_the_machines_own() -> None:
    document = {"event": "corrected", "agent": "kim", "ticket": {"id": 7, "tier": "L2"}}
    correction = correction_of(DESK, document)
    assert correction is not None
    assert (correction.ticket_id, correction.agent, correction.labels) == ("7", "kim", {"tier": "L2"})
    assert correction_of(DESK, document | {"agent": "triage"}) is None
    assert correction_of(DESK, document | {"event": "created"}) is None
    with pytest.raises(NotAcceptable):
        correction_of(DESK, document | {"agent": ""})


def test_the_signature_is_the_hmac_that_others_compute() -> None:
    published = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    assert PRESETS["github"].of(b"It's a Secret to Everybody", b"Hello, World!") == f"sha256={published}"


def test_a_body_is_remembered_for_long_only_where_a_replay_could_be_none_of_the_desk() -> None:
    for preset, long in (("zammad", True), ("github", True), ("freshdesk", False), ("triage", False)):
        signature = PRESETS[preset]
        sent = {
            signature.signature.lower(): signature.of(SECRET, BODY, "1800000000"),
            "x-triage-timestamp": "1800000000",
        }
        [known, *_] = signature.verify((SECRET,), sent, BODY, NOW)
        assert known.startswith(UNDATED) is long, preset
