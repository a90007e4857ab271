"""Mail through a real Dovecot and a mail server: decided once, answered with headers and forwards, never in circles."""

from __future__ import annotations

import base64
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, nullcontext
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.message import EmailMessage, Message
from email.policy import SMTP
from email.utils import format_datetime, parsedate_to_datetime
from hashlib import sha256
from imaplib import IMAP4
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.smtp import AuthResult
from imapclient import IMAPClient
from imapclient.exceptions import IMAPClientError, ProtocolError
from structlog.testing import capture_logs

from api.app import create_app
from api.http.reception import Received
from api.mail.answers import Forward, NotTaken, forward
from api.mail.config import Mailbox, load_mailboxes
from api.mail.faults import fault_of
from api.mail.message import parse, ticket_of
from api.mail.reader import unknown_groups
from api.maintenance.backup import back_up, restore
from api.settings import load_settings
from api.store.repository import open_repository
from api.store.rows import made_at, new_id
from models.triager import Triager
from models.wire import DecisionDocument
from tests.service.desk.dovecot import (
    CAN_RUN,
    PASSWORD,
    SMALL,
    Sink,
    cut_off,
    dovecot,
    free_port,
    mail_server,
    mailbox_of,
)
from triage.defaults import default_policy
from triage.errors import InvalidRequest
from triage.policy import Policy
from triage.ticket import Ticket

from ..local_client import TestClient

real = pytest.mark.skipif(not CAN_RUN, reason="Dovecot is not installed (dovecot-imapd), or this is not root")
GROUPS = [group.name for group in default_policy().groups]
FILE = """
[mailboxes.support]
imap = "imap://127.0.0.1:{imap}"
user = "support"
password = "MAIL_PASSWORD"
since = 2026-01-01
done_folder = "Triaged"
smtp = "smtp://127.0.0.1:{smtp}"
sender = "triage@example.org"
forward = ["automatic", "suggested"]

[mailboxes.support.groups]
"""


def mail(subject: str, text: str | None, sender: str = "kim@example.org", **headers: str) -> EmailMessage:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = sender, "support@example.org", subject
    message["Message-ID"] = f"<{time.time_ns()}@example.org>"
    for name, value in headers.items():
        message[name.replace("_", "-")] = value
    if text is not None:
        message.set_content(text)
    return message


Line = dict[str, Any]


@pytest.fixture
def logged() -> Iterator[Callable[[], list[Line]]]:
    """What the service has logged."""
    with capture_logs() as lines:
        yield lambda: [dict(line) for line in lines]


def not_read(lines: list[Line]) -> list[Line]:
    """Return what was logged of readings that failed, but for those for which this machine was too busy."""
    return [line for line in lines if line["event"] == "mailbox_not_read" and line["problem"] != "too-busy"]


def counted(client: TestClient, outcome: str) -> float:
    """How many mails came to an outcome, as the metrics say."""
    name = f'triage_webhooks_total{{desk="support",outcome="{outcome}"}} '
    found = [line for line in client.get("/metrics").text.splitlines() if line.startswith(name)]
    return float(found[0].removeprefix(name)) if found else 0.0


@contextmanager
def service(room: Path, imap: int, smtp: int) -> Iterator[TestClient]:
    addresses = "".join(f'{group} = "{group}@example.org"\n' for group in GROUPS)
    (room / "mail.toml").write_text(FILE.format(imap=imap, smtp=smtp) + addresses)
    settings = load_settings(home=room / "home", rules_only=True, open_loopback=True, mailboxes=room / "mail.toml")
    with TestClient(create_app(settings)) as client:
        yield client


@pytest.fixture
def servers(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[int, Sink, int]]:
    monkeypatch.setenv("MAIL_PASSWORD", PASSWORD.replace(" ", "_"))
    with dovecot() as imap, mail_server() as (sink, smtp):
        yield imap, sink, smtp


def deliver(port: int, *messages: EmailMessage | bytes) -> None:
    with mailbox_of(port) as client:
        for one in messages:
            client.append("INBOX", one if isinstance(one, bytes) else one.as_bytes())


def done(port: int) -> list[Message]:
    """The copies with headers, in the order in which they were made."""
    with mailbox_of(port) as client:
        if not client.folder_exists("Triaged"):
            return []
        client.select_folder("Triaged", readonly=True)
        uids = client.search()
        found = client.fetch(uids, ["BODY.PEEK[]"]) if uids else {}
        return [parse(found[uid][b"BODY[]"]) for uid in sorted(found)]


@real
def test_a_mail_is_decided_answered_with_headers_and_forwarded(
    servers: tuple[int, Sink, int], tmp_path: Path, until: Callable[..., float]
) -> None:
    imap, sink, smtp = servers
    before = mail("Drucker", "The printer on the third floor is jammed, ärgerlich")
    deliver(imap, before)
    with service(tmp_path, imap, smtp) as client:
        until(lambda: done(imap), 30)
        during = mail("Password", "I forgot my password and cannot sign in")
        deliver(imap, during)  # told by IDLE, not by the next question in five minutes
        until(lambda: len(done(imap)) == 2, 10)
        decisions = client.get("/v1/decisions").json()["decisions"][::-1]
        assert [one["ticket"]["subject"] for one in decisions] == ["Drucker", "Password"]
        assert "ärgerlich" in decisions[0]["ticket"]["body"] and decisions[0]["desk"] == "support"
    for copy, decision, sent in zip(done(imap), decisions, (before, during), strict=True):
        assert copy["X-Triage-Decision"] == decision["decision_id"] and copy["X-Triage-Tier"] == decision["tier"]
        assert (copy["Message-ID"], copy["X-Triage-Group"]) == (sent["Message-ID"], decision["resolver_group"])
    assert [to for to, _, _ in sink.taken] == [[f"{one['resolver_group']}@example.org"] for one in decisions]
    for (_, forwarded, _), decision in zip(sink.taken, decisions, strict=True):
        assert forwarded["From"] == "kim@example.org" and forwarded["Resent-From"] == "triage@example.org"
        assert forwarded["Resent-Message-ID"] == f"<{decision['decision_id']}@triage>"
        assert forwarded["X-Triage-Repeat"] is None
        made = datetime.fromtimestamp(int(made_at(decision["decision_id"]) or 0), UTC)
        assert parsedate_to_datetime(forwarded["Resent-Date"]).replace(tzinfo=UTC) == made
    with mailbox_of(imap) as box:
        box.select_folder("INBOX")
        assert len(box.search(["UNSEEN"])) == 2  # the mailbox itself is left as it was


@real
def test_a_restart_goes_on_where_it_stopped_and_doubles_nothing(
    servers: tuple[int, Sink, int], tmp_path: Path, until: Callable[..., float]
) -> None:
    imap, sink, smtp = servers
    mails = [mail(f"Ticket {number}", f"the printer number {number} jams") for number in range(12)]
    deliver(imap, *mails[:6])
    with service(tmp_path, imap, smtp):
        until(lambda: len(done(imap)) >= 3, 30)
    deliver(imap, *mails[6:], mails[0])
    with service(tmp_path, imap, smtp) as client:
        until(lambda: len(done(imap)) == 12, 30)
        time.sleep(1.5)
        assert len(client.get("/v1/decisions").json()["decisions"]) == 12
    assert [copy["Subject"] for copy in done(imap)] == [f"Ticket {number}" for number in range(12)]
    assert len({message["Resent-Message-ID"] for _, message, _ in sink.taken}) == len(sink.taken) == 12


@real
def test_loops_bounces_and_automatic_replies_go_nowhere(
    servers: tuple[int, Sink, int], tmp_path: Path, until: Callable[..., float]
) -> None:
    imap, sink, smtp = servers
    bounce = EmailMessage()
    bounce["From"], bounce["Subject"] = "MAILER-DAEMON@example.org", "Undelivered Mail Returned to Sender"
    bounce["Return-Path"] = "<>"
    bounce.set_content("I could not deliver your message about the printer.")
    reply = mail(
        "Re: Printer", "I am out of office until Monday, the printer is with Lee.", Auto_Submitted="auto-replied"
    )
    claimed = [
        mail("Printer", f"the printer jams with {claim}", X_Triage_Decision=claim) for claim in ("0", new_id(), "ü")
    ]
    circling = mail("Printer", "the printer jams again")
    for hop in range(60):
        circling["Received"] = f"from a by b id {hop}"
    deliver(imap, bounce, reply, *claimed, circling)
    with service(tmp_path, imap, smtp) as client:
        until(lambda: len(done(imap)) == 5 and len(sink.taken) == 3, 30)
        looped = message_from_bytes(sink.taken[0][2])
        looped.replace_header("Message-ID", "<another@example.org>")  # as a list gives one that it sends on
        deliver(imap, looped.as_bytes(), mail("Printer", "the printer jams at last"))
        until(lambda: len(sink.taken) == 4, 30)
        kinds = [one["kind"] for one in client.get("/v1/decisions").json()["decisions"]][::-1]
    expected = ["bounce", "auto_reply", None, None, None, None]
    assert kinds == expected
    assert [copy["X-Triage-Kind"] for copy in done(imap)] == expected
    assert [forwarded["Message-ID"] for _, forwarded, _ in sink.taken[:3]] == [one["Message-ID"] for one in claimed]
    assert all(len(copy.get_all("X-Triage-Decision", [])) == 1 for copy in done(imap))
    assert "at last" in str(sink.taken[3][1].get_payload())


@real
def test_a_mail_of_thirty_megabytes_is_decided_and_goes_on_whole(
    servers: tuple[int, Sink, int], tmp_path: Path, until: Callable[..., float]
) -> None:
    imap, sink, smtp = servers
    large = mail("Screenshots", "the vpn drops, see the attached captures")
    large.add_attachment(bytes(22 * 1024 * 1024), maintype="application", subtype="zip", filename="captures.zip")
    raw = large.as_bytes()
    assert len(raw) > 30 * 1000 * 1000
    deliver(imap, raw)
    with service(tmp_path, imap, smtp) as client:
        until(lambda: sink.taken, 60)
        [decision] = client.get("/v1/decisions").json()["decisions"]
    assert decision["ticket"]["body"].strip() == "the vpn drops, see the attached captures"
    assert sink.taken[0][2].replace(b"\r\n", b"\n").endswith(raw[-5000:].replace(b"\r\n", b"\n"))


def test_what_mail_programs_write_is_read() -> None:
    html = mail("VPN", None)
    html.set_content("<p>The vpn <b>drops</b></p>", subtype="html")
    both = mail("VPN", "the plain one")
    both.add_alternative("<p>the other one</p>", subtype="html")
    empty = mail("", "")
    odd = (
        b"Subject: =?nonsense?q?x?=\r\nDate: never\r\nContent-Type: text/plain; charset=klingon\r\n\r\nthe vpn dr\xfcps"
    )
    attached = mail("VPN", None)
    attached.make_mixed()
    attached.add_attachment(b"secret words of a file", maintype="text", subtype="plain", filename="notes.txt")
    read = {
        name: ticket_of(parse(raw), "T-1", 20_000)
        for name, raw in {
            "html": html.as_bytes(),
            "both": both.as_bytes(),
            "empty": empty.as_bytes(),
            "odd": odd,
            "attached": attached.as_bytes(),
        }.items()
    }
    assert read["html"].text == "VPN\nThe vpn drops"
    assert read["both"].body.strip() == "the plain one"
    assert (read["empty"].subject, read["empty"].body.strip()) == ("", "")
    assert read["odd"].body.startswith("the vpn dr") and [one.field for one in read["odd"].ignored] == ["opened_at"]
    assert "secret words" not in read["attached"].body
    assert read["html"].channel == "email" and read["html"].requester == "kim@example.org"


def test_a_date_of_a_mail_is_when_it_was_opened() -> None:
    moment = datetime(2026, 11, 28, 9, 0, tzinfo=UTC)
    dated = mail("VPN", "drops", Date=format_datetime(moment))
    assert ticket_of(parse(dated.as_bytes()), "T-1", 20_000).opened_at == moment


def test_what_outlook_packs_is_unpacked() -> None:
    """A TNEF stream with one attribute, the body (MS-OXTNEF, section 2.1)."""
    text = b"the vpn drops, says Outlook\x00"
    attribute = b"\x01" + (0x0002800C).to_bytes(4, "little") + len(text).to_bytes(4, "little") + text
    stream = (0x223E9F78).to_bytes(4, "little") + b"\x01\x00" + attribute + (sum(text) % 65536).to_bytes(2, "little")
    packed = mail("VPN", None)
    packed.make_mixed()
    packed.add_attachment(stream, maintype="application", subtype="ms-tnef", filename="winmail.dat")
    assert "says Outlook" in ticket_of(parse(packed.as_bytes()), "T-1", 20_000).body
    broken = mail("VPN", None)
    broken.make_mixed()
    broken.add_attachment(base64.b64decode("eJ8+"), maintype="application", subtype="ms-tnef", filename="winmail.dat")
    assert ticket_of(parse(broken.as_bytes()), "T-1", 20_000).subject == "VPN"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"imap://127.0.0.1:1": "imap://127.0.0.1:99999"}, "support.imap: port out of range"),
        ({"imap://127.0.0.1:1": "imap://127.0.0.1:abc"}, "support.imap: port could not be cast"),
        ({"imap://127.0.0.1:1": "imap://[::1:8440"}, "support.imap: invalid ipv6 url"),
        ({"imap://127.0.0.1:1": "imap://:143"}, "support.imap: it names no server"),
        ({"smtp://127.0.0.1:1": "smtp://127.0.0.1:abc"}, "support.smtp: port could not be cast"),
        ({"sd@example.org": "büro@example.org"}, "support.groups.service-desk: a mail address with other letters"),
        ({"sd@example.org": "a@example.org, b@example.org"}, "support.groups.service-desk: it is not one mail address"),
        ({"triage@example.org": "triage"}, "support.sender: it is not one mail address"),
        ({"[mailboxes.support": '[mailboxes."a/b"'}, "'a/b' is no name of a mailbox"),
        ({"[mailboxes.support": "[mailboxes.api"}, "'api' is no name of a mailbox: the service itself uses api"),
        ({"[mailboxes.support": "[mailboxes.reload"}, "'reload' is no name of a mailbox"),
        ({"[mailboxes.support": "[mailboxes.store"}, "'store' is no name of a mailbox"),
        ({'"MAIL_PASSWORD"': '"TWO_LINES"'}, "there is a line break in the environment variable TWO_LINES"),
        ({'"Triaged"': '"inbox"'}, "must not be the folder that is read"),
        ({"2026-01-01": '"yesterday"'}, "support.since: input should be a valid date"),
        ({"[mailboxes.support]": "mailboxes = 3", "[mailboxes.support.groups]": ""}, "no \\[mailboxes.NAME\\]"),
        ({"imap://127.0.0.1:1": "imap://mail.example.org"}, "use imaps://"),
        ({'"MAIL_PASSWORD"': '"NOT_SET"'}, "environment variable NOT_SET is not set"),
        ({'smtp = "smtp://127.0.0.1:1"': ""}, "forwards need smtp and sender"),
        ({"Triaged": "INBOX"}, "must not be the folder that is read"),
        ({"user": "usr"}, "support.usr"),
        ({"mailboxes": "boxes"}, "no \\[mailboxes.NAME\\]"),
    ],
)
def test_a_file_of_mailboxes_that_makes_no_sense_is_refused(
    tmp_path: Path, change: dict[str, str], message: str
) -> None:
    text = FILE.format(imap=1, smtp=1) + 'service-desk = "sd@example.org"\n'
    for old, new in change.items():
        text = text.replace(old, new)
    (tmp_path / "mail.toml").write_text(text)
    with pytest.raises(InvalidRequest, match=message):
        load_mailboxes(tmp_path / "mail.toml", {"MAIL_PASSWORD": "x", "TWO_LINES": "a\nb"})


def test_a_mailbox_that_is_named_as_a_helpdesk_is_refused_at_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAIL_PASSWORD", "x")
    monkeypatch.setenv("DESK_SECRET", "a secret of the helpdesk")
    (tmp_path / "mail.toml").write_text(FILE.format(imap=1, smtp=1))
    (tmp_path / "desks.toml").write_text(
        '[helpdesks.support]\nsecrets = ["DESK_SECRET"]\n[helpdesks.support.ticket]\nid = "id"\nbody = "text"\n'
    )
    files = {"mailboxes": tmp_path / "mail.toml", "helpdesks": tmp_path / "desks.toml"}
    with pytest.raises(InvalidRequest, match=r"a mailbox and a helpdesk have one name \(support\)"):
        create_app(load_settings(home=tmp_path / "home", rules_only=True, open_loopback=True, **files))


def test_a_mail_server_takes_a_password_of_any_letters() -> None:
    document = DecisionDocument.from_decision(Triager().decide([Ticket(body="the printer jams")])[0], decision_id="d-1")
    seen: list[tuple[bytes, bytes]] = []

    def is_right(server: Any, session: Any, envelope: Any, mechanism: str, login: Any) -> AuthResult:
        seen.append((login.login, login.password))
        return AuthResult(success=login.password == "für".encode(), handled=False)

    with mail_server(authenticator=is_right, auth_require_tls=False) as (sink, port):
        for password, is_taken in (("für", True), ("größe", False)):
            mailbox = Mailbox(
                imap="imap://127.0.0.1", user="support", password="P", smtp=f"smtp://b%C3%BCro@127.0.0.1:{port}",
                sender="triage@example.org", groups={document.resolver_group or "": "group@example.org"},
            )  # fmt: skip
            with nullcontext() if is_taken else pytest.raises(NotTaken, match="535 ") as refused:
                forward(mailbox, Forward(b"Subject: printer\r\n\r\njams\r\n", document), password, on_taken=int)
            assert refused is None or fault_of(refused.value).problem == "login-refused"
    assert seen == [("büro".encode(), "für".encode()), ("büro".encode(), "größe".encode())] and len(sink.taken) == 1


def test_groups_that_a_bundle_learned_are_known() -> None:
    mailbox = Mailbox(imap="imap://127.0.0.1", user="desk", password="MAIL_PASSWORD",
                      groups={"network": "n@desk.example", "service-desk": "s@desk.example", "moon": "m@desk.example"},
                      smtp="smtp://127.0.0.1", sender="desk@example.org")  # fmt: skip
    learned = Policy("1").with_labels({"resolver_group": ["service-desk", "network"]})
    assert learned.groups == () and unknown_groups(mailbox, learned) == ["moon"]


def test_a_forward_that_may_be_a_second_one_says_so_and_is_known_by_the_same_ids() -> None:
    id = "01890a5d-ac96-774b-bcce-b302099a8057"
    document = DecisionDocument.from_decision(Triager().decide([Ticket(body="the printer jams")])[0], decision_id=id)
    raw = b"From: kim@example.org\r\nSubject: printer\r\n\r\nthe printer jams\r\n"
    with mail_server() as (sink, port):
        mailbox = Mailbox(
            imap="imap://127.0.0.1", user="support", password="P", smtp=f"smtp://127.0.0.1:{port}",
            sender="triage@example.org", groups={document.resolver_group or "": "group@example.org"},
        )  # fmt: skip
        for again in (False, True):
            forward(mailbox, Forward(raw, document, again=again), "", on_taken=lambda: None)
        first, second = (message for _, message, _ in sink.taken)
    assert (first["X-Triage-Repeat"], second["X-Triage-Repeat"]) == (None, "possible")
    for name in ("Message-ID", "Resent-Message-ID"):
        assert first[name] == second[name] == f"<{id}@triage>"
    assert first["Resent-Date"] == second["Resent-Date"] == "Fri, 30 Jun 2023 03:34:18 -0000"  # when it was decided


@real
def test_what_is_behind_a_mail_that_cannot_be_delivered_is_decided(
    servers: tuple[int, Sink, int], tmp_path: Path, until: Callable[..., float], logged: Callable[[], list[Line]]
) -> None:
    imap, sink, smtp = servers
    sink.refusals = {f"{group}@example.org": "550 5.1.1 no such user" for group in GROUPS}
    deliver(imap, mail("One", "the printer jams"), mail("Two", "the vpn drops"))
    with service(tmp_path, imap, smtp) as client:
        until(lambda: len(done(imap)) == 2, 10)  # no pause in between
        until(lambda: counted(client, "mail-decided") == 2, 10)
        assert counted(client, "mail-forward-refused") == 2
        decisions = client.get("/v1/decisions").json()["decisions"][::-1]
        assert client.get("/readyz").json()["status"] != "degraded"
    refused = [line for line in logged() if line["event"] == "mail_not_forwarded"]
    assert [(one["uid"], one["group"]) for one in refused] == [
        (uid, one["resolver_group"]) for uid, one in zip((1, 2), decisions, strict=True)
    ]
    assert all(one["said"] == "550 5.1.1 no such user" for one in refused) and not sink.taken


@real
def test_a_mail_that_is_refused_for_now_holds_up_no_other_and_is_sent_once_also_after_a_restart(
    servers: tuple[int, Sink, int],
    tmp_path: Path,
    until: Callable[..., float],
    monkeypatch: pytest.MonkeyPatch,
    logged: Callable[[], list[Line]],
) -> None:
    imap, sink, smtp = servers
    monkeypatch.setattr("api.mail.owed._FIRST_PAUSE_S", 0.3)
    refused = {f"{group}@example.org": "451 4.7.1 greylisted" for group in GROUPS}
    sink.refusals = dict(refused)
    deliver(imap, mail("One", "the printer jams"))
    with service(tmp_path, imap, smtp) as client:
        until(lambda: counted(client, "mail-forward-owed") == 1, 20)
        sink.refusals = {}
        deliver(imap, mail("Two", "the vpn drops"))
        until(lambda: len(sink.taken) == 2, 20)
        until(lambda: counted(client, "mail-decided") == 2, 20)
        assert "because" not in client.get("/readyz").json()
        sink.refusals = dict(refused)
        deliver(imap, mail("Three", "the screen is black"))
        until(lambda: counted(client, "mail-forward-owed") == 2, 20)
    pauses = [line["again_in_s"] for line in logged() if line["event"] == "mail_not_forwarded" and line["uid"] == 1]
    assert pauses == [0.3 * 2**number for number in range(len(pauses))]
    sink.refusals = {}
    deliver(imap, mail("Four", "the mouse is gone"))
    with service(tmp_path, imap, smtp) as client:
        until(lambda: len(sink.taken) == 4, 20)
        until(lambda: counted(client, "mail-decided") == 2, 20)
        assert len(client.get("/v1/decisions").json()["decisions"]) == 4
    with service(tmp_path, imap, smtp) as client:
        deliver(imap, mail("Five", "the keyboard is wet"))
        until(lambda: len(sink.taken) == 5, 20)
    assert sorted(str(taken["Subject"]) for _, taken, _ in sink.taken) == ["Five", "Four", "One", "Three", "Two"]
    assert {taken["X-Triage-Repeat"] for _, taken, _ in sink.taken} == {None}
    assert len(done(imap)) == 5


@real
def test_a_mail_that_nobody_takes_for_a_day_is_set_aside(
    servers: tuple[int, Sink, int],
    tmp_path: Path,
    until: Callable[..., float],
    monkeypatch: pytest.MonkeyPatch,
    logged: Callable[[], list[Line]],
) -> None:
    imap, sink, smtp = servers
    monkeypatch.setattr("api.mail.owed._FIRST_PAUSE_S", 0.2)
    monkeypatch.setattr("api.mail.owed._GIVEN_UP_S", 0.5)
    sink.refusals = {f"{group}@example.org": "452 4.2.2 mailbox full" for group in GROUPS}
    deliver(imap, mail("One", "the printer jams"))
    with service(tmp_path, imap, smtp) as client:
        until(lambda: counted(client, "mail-set-aside") == 1, 20)
        sink.refusals = {}
        deliver(imap, mail("Two", "the vpn drops"))
        until(lambda: sink.taken, 20)
        assert len(client.get("/v1/decisions").json()["decisions"]) == 2
    assert [taken["Subject"] for _, taken, _ in sink.taken] == ["Two"] and len(done(imap)) == 2
    [line] = [line for line in logged() if line["event"] == "mail_set_aside"]
    assert (line["uid"], line["said"]) == (1, "452 4.2.2 mailbox full")


@real
def test_a_mail_whose_forward_is_cut_off_each_time_holds_up_no_other(
    servers: tuple[int, Sink, int], tmp_path: Path, until: Callable[..., float], monkeypatch: pytest.MonkeyPatch
) -> None:
    imap, sink, smtp = servers
    monkeypatch.setattr("api.mail.owed._FIRST_PAUSE_S", 0.2)
    sink.cut_off = "One"
    deliver(imap, mail("One", "the printer jams"), mail("Two", "the vpn drops"))
    with service(tmp_path, imap, smtp) as client:
        until(lambda: counted(client, "mail-decided") == 1, 20)
        assert [taken["Subject"] for _, taken, _ in sink.taken] == ["Two"]
        sink.cut_off = None
        until(lambda: len(sink.taken) == 2, 20)
    assert [taken["X-Triage-Repeat"] for _, taken, _ in sink.taken] == [None, "possible"]


@real
def test_a_ticket_that_is_forgotten_while_its_mail_is_owed_is_not_decided_anew(
    servers: tuple[int, Sink, int], tmp_path: Path, until: Callable[..., float], monkeypatch: pytest.MonkeyPatch
) -> None:
    imap, sink, smtp = servers
    monkeypatch.setattr("api.mail.owed._FIRST_PAUSE_S", 1.0)
    sink.refusals = {f"{group}@example.org": "451 4.7.1 greylisted" for group in GROUPS}
    deliver(imap, mail("One", "the printer jams"))
    with service(tmp_path, imap, smtp) as client:
        until(lambda: counted(client, "mail-forward-owed") == 1, 20)
        [decision] = client.get("/v1/decisions").json()["decisions"]
        client.app.state.parts.service.store.forget(decision["ticket_id"])  # type: ignore[attr-defined]
        sink.refusals = {}
        until(lambda: counted(client, "mail-forgotten") == 1, 20)
        assert len(client.get("/v1/decisions").json()["decisions"]) == 1
    assert not sink.taken


@real
def test_an_owed_mail_goes_where_a_person_has_set_it_though_only_automatic_ones_are_forwarded(
    servers: tuple[int, Sink, int], tmp_path: Path, until: Callable[..., float], monkeypatch: pytest.MonkeyPatch
) -> None:
    imap, sink, smtp = servers
    monkeypatch.setattr("api.mail.owed._FIRST_PAUSE_S", 1.0)
    sink.refusals = {f"{group}@example.org": "451 4.7.1 greylisted" for group in GROUPS}
    deliver(imap, mail("One", "the printer jams"))
    with service(tmp_path, imap, smtp) as client:
        until(lambda: counted(client, "mail-forward-owed") == 1, 20)
        [decision] = client.get("/v1/decisions").json()["decisions"]
        other = next(group for group in GROUPS if group != decision["resolver_group"])
        said = {"verdict": "corrected", "agent": "kim", "resolver_group": other}
        assert client.post(f"/v1/decisions/{decision['decision_id']}/feedback", json=said).is_success
    sink.refusals = {}
    monkeypatch.setitem(globals(), "FILE", FILE.replace('["automatic", "suggested"]', '["automatic"]'))
    with service(tmp_path, imap, smtp):
        until(lambda: sink.taken, 20)
    assert [to for to, _, _ in sink.taken] == [[f"{other}@example.org"]]


@real
def test_what_is_owed_is_not_lost_where_the_folder_is_numbered_anew(
    servers: tuple[int, Sink, int], tmp_path: Path, until: Callable[..., float]
) -> None:
    imap, sink, smtp = servers
    sink.refusals = {f"{group}@example.org": "451 4.7.1 greylisted" for group in GROUPS}
    deliver(imap, mail("One", "the printer jams"))
    with service(tmp_path, imap, smtp) as client:
        until(lambda: counted(client, "mail-forward-owed") == 1, 20)
    sink.refusals = {}
    store = sqlite3.connect(tmp_path / "home" / "store.sqlite")
    with store:
        store.execute("UPDATE positions SET value = replace(value, ':', '9:') WHERE name = 'INBOX'")
        store.execute("UPDATE positions SET name = replace(name, 'INBOX:', 'INBOX:9') WHERE name LIKE 'owed %'")
    store.close()
    with service(tmp_path, imap, smtp) as client:
        until(lambda: sink.taken, 20)
        until(lambda: counted(client, "mail-decided") == 1, 20)
        assert len(client.get("/v1/decisions").json()["decisions"]) == 1
        assert client.app.state.parts.service.store.positions("support", "owed ") == {}  # type: ignore[attr-defined]
    assert len(done(imap)) == 1


@real
def test_a_mail_server_that_is_away_keeps_the_mail_until_it_is_back(
    servers: tuple[int, Sink, int], tmp_path: Path, until: Callable[..., float], monkeypatch: pytest.MonkeyPatch
) -> None:
    imap, _, _ = servers
    monkeypatch.setattr("api.mail.faults._PAUSE_S", 0.2)
    smtp = free_port()
    deliver(imap, mail("One", "the printer jams"))
    with service(tmp_path, imap, smtp) as client:
        until(lambda: client.get("/readyz").json().get("because") == "mailbox-not-read", 10)
        assert 'triage_mailbox_ready{mailbox="support"} 0.0' in client.get("/metrics").text
        with mail_server(port=smtp) as (sink, _):
            until(lambda: sink.taken, 10)
            until(lambda: "because" not in client.get("/readyz").json(), 10)
        assert 'triage_mailbox_ready{mailbox="support"} 1.0' in client.get("/metrics").text
    assert [forwarded["X-Triage-Repeat"] for _, forwarded, _ in sink.taken] == [None]


@real
def test_a_copy_that_the_server_refuses_holds_up_nobody(
    tmp_path: Path, until: Callable[..., float], monkeypatch: pytest.MonkeyPatch, logged: Callable[[], list[Line]]
) -> None:
    monkeypatch.setenv("MAIL_PASSWORD", PASSWORD.replace(" ", "_"))
    with dovecot(SMALL) as imap, mail_server() as (sink, smtp):
        long = mail("Long", "the printer jams")
        long.add_attachment(bytes(70_000), maintype="application", subtype="zip", filename="a.zip")
        raw = long.as_bytes(policy=SMTP)
        filler = b"X-Padding: so that there is no room for more headers\r\n"
        deliver(imap, filler * ((100 * 1024 - len(raw)) // len(filler)) + raw, mail("Short", "the vpn drops"))
        with service(tmp_path, imap, smtp) as client:
            until(lambda: len(sink.taken) == 2, 20)
            until(lambda: counted(client, "mail-decided") == 2, 10)
            assert counted(client, "mail-copy-refused") == 1
        assert [copy["Subject"] for copy in done(imap)] == ["Short"]
    [line] = [line for line in logged() if line["event"] == "mail_not_copied"]
    assert line["uid"] == 1 and line["said"].startswith("append failed: ")


@real
def test_a_mail_that_this_program_fails_on_is_set_aside(
    servers: tuple[int, Sink, int],
    tmp_path: Path,
    until: Callable[..., float],
    monkeypatch: pytest.MonkeyPatch,
    logged: Callable[[], list[Line]],
) -> None:
    """There is no mail left that is known to do so: the fault is made."""
    imap, _, smtp = servers

    def fails_on_one(message: Message, ticket_id: str, max_text_chars: int) -> Received:
        if message["Subject"] == "Odd":
            raise RecursionError
        return ticket_of(message, ticket_id, max_text_chars)

    monkeypatch.setattr("api.mail.faults._PAUSE_S", 0.2)
    monkeypatch.setattr("api.mail.reader.ticket_of", fails_on_one)
    deliver(imap, mail("Odd", "the printer jams"), mail("Plain", "the vpn drops"))
    with service(tmp_path, imap, smtp) as client:
        until(lambda: done(imap), 20)
        assert [copy["Subject"] for copy in done(imap)] == ["Plain"]
        until(lambda: counted(client, "mail-set-aside") == 1, 10)
    [line] = [line for line in logged() if line["event"] == "mail_set_aside"]
    assert (line["uid"], line["kind"]) == (1, "RecursionError")


@real
@pytest.mark.parametrize("kind", [IMAPClientError, ProtocolError])
def test_a_mail_that_the_server_does_not_hand_out_is_set_aside(
    servers: tuple[int, Sink, int],
    tmp_path: Path,
    until: Callable[..., float],
    monkeypatch: pytest.MonkeyPatch,
    logged: Callable[[], list[Line]],
    kind: type[Exception],
) -> None:
    imap, _, smtp = servers
    fetch, tries = IMAPClient.fetch, list[Any]()

    def hands_out_all_but_one(self: IMAPClient, uids: list[int], data: list[str]) -> Any:
        if uids == [1] and data[0].startswith("BODY.PEEK[]<"):
            tries.append(data)
            raise kind("fetch failed: the item is corrupt")
        return fetch(self, uids, data)

    monkeypatch.setattr("api.mail.faults._PAUSE_S", 0.2)
    monkeypatch.setattr(IMAPClient, "fetch", hands_out_all_but_one)
    deliver(imap, mail("Corrupt", "the printer jams"), mail("Whole", "the vpn drops"))
    with service(tmp_path, imap, smtp) as client:
        until(lambda: done(imap), 20)
        assert [copy["Subject"] for copy in done(imap)] == ["Whole"]
        until(lambda: counted(client, "mail-set-aside") == 1, 10)
    [line] = [line for line in logged() if line["event"] == "mail_set_aside"]
    assert (line["uid"], line["said"]) == (1, "mail 1: fetch failed: the item is corrupt") and len(tries) == 3
    pauses = [line["said"] for line in not_read(logged())]
    assert pauses == [line["said"]] * 2


@real
@pytest.mark.parametrize("whole", [1, 8])
def test_mails_that_are_damaged_together_are_set_aside_where_another_one_is_whole(
    servers: tuple[int, Sink, int],
    tmp_path: Path,
    until: Callable[..., float],
    monkeypatch: pytest.MonkeyPatch,
    whole: int,
) -> None:
    imap, _, smtp = servers
    fetch = IMAPClient.fetch

    def hands_out_one(self: IMAPClient, uids: list[int], data: list[str]) -> Any:
        if uids != [whole] and data[0].startswith("BODY.PEEK[]<"):
            raise IMAPClientError("fetch failed: the item is corrupt")
        return fetch(self, uids, data)

    monkeypatch.setattr("api.mail.faults._PAUSE_S", 0.05)
    monkeypatch.setattr(IMAPClient, "fetch", hands_out_one)
    deliver(imap, *(mail(f"Ticket {number}", "the printer jams") for number in range(1, 9)))
    with service(tmp_path, imap, smtp) as client:
        until(lambda: counted(client, "mail-set-aside") == 7, 30)
        until(lambda: counted(client, "mail-decided") == 1, 30)


@real
@pytest.mark.parametrize("asked", [rb"FETCH 1 .BODY.PEEK..<0.[0-9]{4}", rb"FETCH 1 .BODY.PEEK..\)"])
def test_a_mail_at_which_the_server_cuts_the_connection_is_set_aside(
    servers: tuple[int, Sink, int],
    tmp_path: Path,
    until: Callable[..., float],
    monkeypatch: pytest.MonkeyPatch,
    logged: Callable[[], list[Line]],
    asked: bytes,
) -> None:
    imap, _, smtp = servers
    monkeypatch.setattr("api.mail.faults._PAUSE_S", 0.1)
    deliver(imap, mail("Corrupt", "the printer jams"), mail("Whole", "the vpn drops"), mail("Last", "the vpn drops"))
    with cut_off(imap, asked) as (port, cuts), service(tmp_path, port, smtp) as client:
        until(lambda: len(done(imap)) == 2, 30)
        assert [copy["Subject"] for copy in done(imap)] == ["Whole", "Last"]
        assert counted(client, "mail-set-aside") == 1 and len(cuts) == 4
        until(lambda: "mailbox-not-read" not in client.get("/readyz").text, 10)
    [line] = [line for line in logged() if line["event"] == "mail_set_aside"]
    assert line["uid"] == 1 and line["said"].startswith("mail 1: ")
    assert {line["problem"] for line in not_read(logged())} == {"connection-lost"}


@real
def test_a_mail_that_is_alone_and_cuts_the_connection_is_set_aside_after_growing_pauses(
    servers: tuple[int, Sink, int],
    tmp_path: Path,
    until: Callable[..., float],
    monkeypatch: pytest.MonkeyPatch,
    logged: Callable[[], list[Line]],
) -> None:
    imap, _, smtp = servers
    monkeypatch.setattr("api.mail.faults._PAUSE_S", 0.05)
    deliver(imap, mail("Alone", "the printer jams"))
    with cut_off(imap, rb"FETCH 1 .BODY.PEEK..<0.[0-9]{4}") as (port, cuts), service(tmp_path, port, smtp) as client:
        until(lambda: counted(client, "mail-set-aside") == 1, 30)
        assert len(cuts) == 15
        deliver(imap, mail("Next", "the vpn drops"))
        until(lambda: [copy["Subject"] for copy in done(imap)] == ["Next"], 20)
        assert counted(client, "mail-set-aside") == 1 and len(cuts) == 15
        until(lambda: "mailbox-not-read" not in client.get("/readyz").text, 10)
    [line] = [line for line in logged() if line["event"] == "mail_set_aside"]
    assert line["uid"] == 1 and line["said"].startswith("mail 1: ")
    pauses = [line["again_in_s"] / 0.05 for line in not_read(logged())]
    assert pauses == pytest.approx([1, 1, 1, 2, 4, 8, *[12] * 8, 1])


@real
def test_pauses_grow_however_a_server_cuts_off(
    servers: tuple[int, Sink, int],
    tmp_path: Path,
    until: Callable[..., float],
    monkeypatch: pytest.MonkeyPatch,
    logged: Callable[[], list[Line]],
) -> None:
    imap, _, smtp = servers
    fetch = IMAPClient.fetch
    ends = [IMAP4.abort("connection reset"), TimeoutError("timed out")] * 3

    def ends_in_turn(self: IMAPClient, uids: list[int], data: list[str]) -> Any:
        if data[0].startswith("BODY.PEEK[]<") and ends:
            raise ends.pop(0)
        return fetch(self, uids, data)

    monkeypatch.setattr("api.mail.faults._PAUSE_S", 0.05)
    monkeypatch.setattr(IMAPClient, "fetch", ends_in_turn)
    deliver(imap, mail("Late", "the printer jams"))
    with service(tmp_path, imap, smtp):
        until(lambda: len(done(imap)) == 1, 30)
    failed = not_read(logged())
    assert [line["problem"] for line in failed] == ["connection-lost", "no-answer"] * 3
    assert [line["again_in_s"] / 0.05 for line in failed] == pytest.approx([1, 1, 1, 2, 4, 8])


@real
def test_a_mail_that_is_alone_is_read_where_the_server_cuts_connections_for_a_while(
    servers: tuple[int, Sink, int], tmp_path: Path, until: Callable[..., float], monkeypatch: pytest.MonkeyPatch
) -> None:
    imap, _, smtp = servers
    monkeypatch.setattr("api.mail.faults._PAUSE_S", 0.05)
    deliver(imap, mail("Late", "the printer jams"))
    with cut_off(imap, rb"FETCH 1 .BODY.PEEK", 12) as (port, _), service(tmp_path, port, smtp) as client:
        until(lambda: len(done(imap)) == 1, 30)
        assert counted(client, "mail-set-aside") == 0


@real
@pytest.mark.parametrize("at", [rb"FETCH [0-9]+ .BODY.PEEK", rb"LOGIN", rb"FETCH 1 .BODY.PEEK..<0.[0-9]{4}"])
def test_a_server_that_cuts_connections_for_a_while_has_no_mail_set_aside(
    servers: tuple[int, Sink, int],
    tmp_path: Path,
    until: Callable[..., float],
    monkeypatch: pytest.MonkeyPatch,
    at: bytes,
) -> None:
    imap, _, smtp = servers
    monkeypatch.setattr("api.mail.faults._PAUSE_S", 0.05)
    monkeypatch.setattr("api.mail.faults._LOGIN_PAUSE_S", 0.05)
    deliver(imap, mail("Late", "the printer jams"), mail("Later", "the vpn drops"))
    with cut_off(imap, at, 3 if b"[0-9]{4}" in at else 10) as (port, _), service(tmp_path, port, smtp) as client:
        until(lambda: len(done(imap)) == 2, 30)
        assert counted(client, "mail-set-aside") == 0


@real
@pytest.mark.parametrize("said", ["[UNAVAILABLE] try again", "no mail store"])
def test_a_server_that_hands_out_nothing_for_a_while_has_no_mail_set_aside(
    servers: tuple[int, Sink, int],
    tmp_path: Path,
    until: Callable[..., float],
    monkeypatch: pytest.MonkeyPatch,
    said: str,
) -> None:
    imap, _, smtp = servers
    fetch, tries = IMAPClient.fetch, list[Any]()

    def refuses_ten_times(self: IMAPClient, uids: list[int], data: list[str]) -> Any:
        if data[0].startswith("BODY.PEEK[]<") and len(tries) < 10:
            tries.append(data)
            raise IMAPClientError(f"fetch failed: {said}")
        return fetch(self, uids, data)

    monkeypatch.setattr("api.mail.faults._PAUSE_S", 0.1)
    monkeypatch.setattr(IMAPClient, "fetch", refuses_ten_times)
    deliver(imap, mail("Late", "the printer jams"), mail("Later", "the vpn drops"))
    with service(tmp_path, imap, smtp) as client:
        until(lambda: len(done(imap)) == 2, 20)
        assert counted(client, "mail-set-aside") == 0


@real
def test_mails_that_state_one_message_id_are_all_decided(
    servers: tuple[int, Sink, int], tmp_path: Path, until: Callable[..., float], logged: Callable[[], list[Line]]
) -> None:
    imap, _, smtp = servers
    mails = [
        b"From: scan@example.org\r\nSubject: Scan %d\r\nMessage-ID: %s\r\n"
        b"Date: Fri, 20 Nov 2026 09:0%d:00 +0000\r\n\r\n"
        b"page %d of the form\r\n" % (number, stated, number, number)
        for number, stated in enumerate((b"<scan@example.org>", b"<scan@example.org>", b"<>", b"<>"))
    ]
    deliver(imap, *mails, mails[0])
    with service(tmp_path, imap, smtp) as client:
        until(lambda: counted(client, "mail-known") == 1, 20)
        assert len(client.get("/v1/decisions").json()["decisions"]) == 4
    assert [line["uid"] for line in logged() if line["event"] == "mail_id_repeated"] == [2, 4]


@real
@pytest.mark.parametrize(
    "dates",
    [
        (timedelta(days=-2), timedelta(days=2)),
        (timedelta(days=2), timedelta(days=2)),  # the clock of a sender
        (timedelta(days=-9000), timedelta(days=-9000)),  # a device whose clock was never set
        (None, None),
    ],
)
def test_what_an_earlier_version_has_taken_is_known_and_a_later_mail_of_that_id_is_not(
    servers: tuple[int, Sink, int],
    tmp_path: Path,
    until: Callable[..., float],
    dates: tuple[timedelta | None, timedelta | None],
) -> None:
    imap, _, smtp = servers
    now = datetime.now(UTC)
    taken, later = mail("Taken", "the printer jams"), mail("Later", "the vpn drops")
    later.replace_header("Message-ID", str(taken["Message-ID"]))
    for one, date in ((taken, dates[0]), (later, dates[1])):
        if date is not None:
            one["Date"] = format_datetime(now + date)
    with service(tmp_path, imap, smtp) as client:
        store = client.app.state.parts.service.store  # type: ignore[attr-defined]
        store.take_delivery("support", [f"body:mail:{sha256(str(taken['Message-ID']).encode()).hexdigest()}"])
        with mailbox_of(imap) as server:
            for one, came in ((taken, now - timedelta(days=2)), (later, now + timedelta(hours=2))):
                server.append("INBOX", one.as_bytes(), msg_time=came)
        until(lambda: done(imap), 20)
        until(lambda: counted(client, "mail-known") == 1, 10)
    assert [copy["Subject"] for copy in done(imap)] == ["Later"]


@real
def test_mails_since_a_backup_are_decided_anew_and_not_answered_again_when_it_is_restored(
    servers: tuple[int, Sink, int], tmp_path: Path, until: Callable[..., float]
) -> None:
    imap, sink, smtp = servers
    deliver(imap, mail("Monday", "the printer jams"))
    with service(tmp_path, imap, smtp) as client:
        until(lambda: counted(client, "mail-decided") == 1, 20)
        store = client.app.state.parts.service.store  # type: ignore[attr-defined]
        back_up(store.database, tmp_path / "monday.sqlite")
        deliver(imap, mail("Tuesday", "the vpn drops"), mail("Friday", "the screen is black"))
        until(lambda: counted(client, "mail-decided") == 3, 20)
        for number in (1, 2):  # the second restore finds what the first has left
            assert restore(store.database, tmp_path / "monday.sqlite", replace=True).kept.mails == 2
            until(lambda: counted(client, "mail-decided") == 3 + 2 * number, 20)  # noqa: B023
            decisions = client.get("/v1/decisions").json()["decisions"]
            assert [one["ticket"]["subject"] for one in decisions] == ["Friday", "Tuesday", "Monday"]
        deliver(imap, mail("Saturday", "the mouse is gone"))
        until(lambda: len(sink.taken) == 4, 20)
    subjects = ["Monday", "Tuesday", "Friday", "Saturday"]
    assert [taken["Subject"] for _, taken, _ in sink.taken] == subjects
    assert [copy["Subject"] for copy in done(imap)] == subjects


@real
def test_a_mail_whose_ticket_was_forgotten_since_a_backup_is_not_decided_anew_when_it_is_restored(
    servers: tuple[int, Sink, int], tmp_path: Path, until: Callable[..., float]
) -> None:
    imap, _, smtp = servers
    deliver(imap, mail("Monday", "the printer jams"))
    with service(tmp_path, imap, smtp) as client:
        until(lambda: counted(client, "mail-decided") == 1, 20)
        store = client.app.state.parts.service.store  # type: ignore[attr-defined]
        back_up(store.database, tmp_path / "monday.sqlite")
        deliver(imap, mail("Tuesday", "canary-7f3a91"), mail("Friday", "canary-7f3a92"), mail("Sunday", "it drops"))
        until(lambda: counted(client, "mail-decided") == 4, 20)
        _, friday, tuesday, _ = client.get("/v1/decisions").json()["decisions"]
        store.forget(tuesday["ticket_id"])
        store.forget(friday["ticket_id"], "support")
        for number in (1, 2):  # the second restore finds what the first has left
            assert restore(store.database, tmp_path / "monday.sqlite", replace=True).kept.mails == 1
            until(lambda: counted(client, "mail-decided") == 4 + number, 20)  # noqa: B023
            until(lambda: counted(client, "mail-known") == 2 * number, 20)  # noqa: B023
            decisions = client.get("/v1/decisions").json()["decisions"]
            assert [one["ticket"]["subject"] for one in decisions] == ["Sunday", "Monday"]


@real
@pytest.mark.parametrize("since", ["since = 2026-01-01\n", ""])
def test_a_mailbox_that_a_restored_backup_does_not_know_is_read_from_where_it_began(
    servers: tuple[int, Sink, int],
    tmp_path: Path,
    until: Callable[..., float],
    monkeypatch: pytest.MonkeyPatch,
    since: str,
) -> None:
    imap, sink, smtp = servers
    monkeypatch.setitem(globals(), "FILE", FILE.replace("since = 2026-01-01\n", since))
    with closing(open_repository(tmp_path)) as empty:
        back_up(empty.database, tmp_path / "before.sqlite")
    deliver(imap, mail("Before", "the printer jams"))
    expected = ["Before", "Tuesday", "Friday"][0 if since else 1 :]
    with service(tmp_path, imap, smtp) as client:
        until(lambda: "triage_mailbox_ready{" in client.get("/metrics").text, 10)
        deliver(imap, mail("Tuesday", "the vpn drops"), mail("Friday", "the screen is black"))
        until(lambda: counted(client, "mail-decided") == len(expected), 20)
        store = client.app.state.parts.service.store  # type: ignore[attr-defined]
        for number in (2, 3):
            restore(store.database, tmp_path / "before.sqlite", replace=True)
            until(lambda: counted(client, "mail-decided") == number * len(expected), 20)  # noqa: B023
            decisions = client.get("/v1/decisions").json()["decisions"][::-1]
            assert [one["ticket"]["subject"] for one in decisions] == expected
    assert [taken["Subject"] for _, taken, _ in sink.taken] == expected


@real
def test_a_sender_that_is_refused_keeps_the_mail_until_it_is_taken(
    servers: tuple[int, Sink, int],
    tmp_path: Path,
    until: Callable[..., float],
    monkeypatch: pytest.MonkeyPatch,
    logged: Callable[[], list[Line]],
) -> None:
    imap, sink, smtp = servers
    monkeypatch.setattr("api.mail.faults._LOGIN_PAUSE_S", 0.3)
    sink.sender_refusal = "550 5.1.0 sender rejected"
    deliver(imap, mail("One", "the printer jams"))
    with service(tmp_path, imap, smtp) as client:
        until(lambda: client.get("/readyz").json().get("because") == "mailbox-not-read", 20)
        sink.sender_refusal = None
        until(lambda: sink.taken, 20)
        until(lambda: counted(client, "mail-decided") == 1, 10)
    assert [taken["X-Triage-Repeat"] for _, taken, _ in sink.taken] == [None]
    [first, *_] = not_read(logged())
    assert (first["problem"], first["said"]) == ("sender-refused", "550 5.1.0 sender rejected")


@pytest.mark.parametrize(
    ("refusal", "is_final", "is_about_all"),
    [
        ("553 5.7.1 not yours", False, True),
        ("550 5.4.5 Daily user sending limit exceeded", False, False),
        ("530 5.7.0 authenticate first", False, True),
        ("552 message size exceeds fixed maximum", True, False),
        ("554 5.3.4 message too big", True, False),
        ("451 4.7.1 come back later", False, False),
    ],
)
def test_a_refusal_beside_the_sender_is_about_the_mail_only_where_it_is_about_its_size(
    refusal: str, is_final: bool, is_about_all: bool
) -> None:
    document = DecisionDocument.from_decision(Triager().decide([Ticket(body="the printer jams")])[0], decision_id="d-1")
    with mail_server() as (sink, port):
        sink.sender_refusal = refusal
        mailbox = Mailbox(
            imap="imap://127.0.0.1", user="support", password="P", smtp=f"smtp://127.0.0.1:{port}",
            sender="triage@example.org", groups={document.resolver_group or "": "group@example.org"},
        )  # fmt: skip
        with pytest.raises(NotTaken) as refused:
            forward(mailbox, Forward(b"Subject: printer\r\n\r\njams\r\n", document), "", on_taken=int)
    assert (refused.value.is_final, refused.value.is_about_all) == (is_final, is_about_all)


@pytest.mark.parametrize("is_about_all", [False, True])
def test_a_size_that_is_refused_without_a_code_for_it_is_about_that_mail(is_about_all: bool) -> None:
    document = DecisionDocument.from_decision(Triager().decide([Ticket(body="the printer jams")])[0], decision_id="d-1")
    with mail_server() as (sink, port):
        sink.sender_refusal, sink.most_bytes = "554 message too large", None if is_about_all else 1000
        mailbox = Mailbox(
            imap="imap://127.0.0.1", user="support", password="P", smtp=f"smtp://127.0.0.1:{port}",
            sender="triage@example.org", groups={document.resolver_group or "": "group@example.org"},
        )  # fmt: skip
        with pytest.raises(NotTaken, match="554 message too large") as refused:
            forward(mailbox, Forward(b"Subject: printer\r\n\r\n" + b"jams\r\n" * 500, document), "", on_taken=int)
    assert (refused.value.is_final, refused.value.is_about_all) == (not is_about_all, is_about_all)


@pytest.mark.parametrize(
    ("reply", "is_final", "is_about_all"),
    [
        ("5.7.60 Client does not have permissions to send as this sender", False, True),
        ("5.7.57 Client not authenticated to send mail", False, True),
        ("5.1.8 Access denied, bad outbound sender", False, True),
        ("5.7.708 Access denied, traffic not accepted from this IP", False, True),
        ("5.4.5 Daily sending quota exceeded", False, False),
        ("5.7.705 Access denied, tenant has exceeded threshold", False, False),
        ("5.7.1 looks like spam", True, False),
        ("no such user", True, False),
    ],
)
def test_a_quota_or_a_missing_right_is_no_word_about_the_mail(reply: str, is_final: bool, is_about_all: bool) -> None:
    refused = NotTaken(550, reply)
    assert (refused.is_final, refused.is_about_all) == (is_final, is_about_all)
    assert (fault_of(refused).problem == "sender-refused") == is_about_all


@real
def test_a_first_start_leaves_the_mail_alone_that_is_there(
    servers: tuple[int, Sink, int], tmp_path: Path, until: Callable[..., float], monkeypatch: pytest.MonkeyPatch
) -> None:
    imap, sink, smtp = servers
    deliver(imap, mail("Old", "the printer jams"))
    monkeypatch.setitem(globals(), "FILE", FILE.replace("since = 2026-01-01\n", ""))
    with service(tmp_path, imap, smtp) as client:
        until(lambda: "triage_mailbox_ready{" in client.get("/metrics").text, 10)
        deliver(imap, mail("New", "the vpn drops"))
        until(lambda: sink.taken, 20)
    deliver(imap, mail("While it was down", "the vpn drops again"))
    with service(tmp_path, imap, smtp):
        until(lambda: len(sink.taken) == 2, 20)
    assert [copy["Subject"] for copy in done(imap)] == ["New", "While it was down"]


@real
def test_since_a_day_and_after_the_folder_was_numbered_anew(
    servers: tuple[int, Sink, int], tmp_path: Path, until: Callable[..., float]
) -> None:
    imap, sink, smtp = servers
    with mailbox_of(imap) as box:
        for day, subject in ((datetime(2025, 12, 30), "Old"), (datetime(2026, 11, 1), "Later")):
            box.append("INBOX", mail(subject, f"the printer jams, {subject}").as_bytes(), msg_time=day)
    with service(tmp_path, imap, smtp):
        until(lambda: sink.taken, 20)
    with mailbox_of(imap) as box:  # the same mails in a folder of other numbers
        box.select_folder("INBOX")
        box.create_folder("Away")
        box.move(box.search(), "Away")
    store = sqlite3.connect(tmp_path / "home" / "store.sqlite")
    with store:
        store.execute("UPDATE positions SET value = replace(value, ':', '9:') WHERE name = 'INBOX'")
    store.close()
    with mailbox_of(imap) as box:
        box.select_folder("Away")
        box.move(box.search(), "INBOX")
    deliver(imap, mail("Last", "the vpn drops"))
    with service(tmp_path, imap, smtp):
        until(lambda: len(sink.taken) == 2, 20)
    assert [copy["Subject"] for copy in done(imap)] == ["Later", "Last"]


@real
def test_a_login_that_is_refused_is_not_tried_all_the_time_and_says_so(
    servers: tuple[int, Sink, int],
    tmp_path: Path,
    until: Callable[..., float],
    monkeypatch: pytest.MonkeyPatch,
    logged: Callable[[], list[Line]],
) -> None:
    imap, _, smtp = servers
    monkeypatch.setenv("MAIL_PASSWORD", "another")
    with service(tmp_path, imap, smtp) as client:
        until(lambda: client.get("/readyz").json().get("because") == "mailbox-not-read", 20)
    [line] = not_read(logged())
    assert (line["problem"], line["again_in_s"]) == ("login-refused", 60.0) and "AUTHENTICATIONFAILED" in line["said"]


@real
def test_a_folder_that_is_missing_and_a_group_that_is_none_are_named(
    servers: tuple[int, Sink, int],
    tmp_path: Path,
    until: Callable[..., float],
    monkeypatch: pytest.MonkeyPatch,
    logged: Callable[[], list[Line]],
) -> None:
    imap, _, smtp = servers
    more = FILE.replace("since", 'folder = "Nowhere"\nsince') + 'moon-desk = "moon@example.org"\n'
    monkeypatch.setitem(globals(), "FILE", more)
    with service(tmp_path, imap, smtp) as client:
        until(lambda: client.get("/readyz").json().get("because") == "mailbox-not-read", 20)
    lines = {line["event"]: line for line in logged()}
    assert lines["mailbox_not_read"]["problem"] == "refused-by-server"
    assert "doesn't exist: Nowhere" in lines["mailbox_not_read"]["said"]
    assert lines["mailbox_groups_unknown"]["groups"] == ["moon-desk"]


@real
def test_a_password_may_have_any_letters(
    tmp_path: Path, until: Callable[..., float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAIL_PASSWORD", "geheim-für-ß")
    with dovecot(password="geheim-für-ß") as imap, mail_server() as (sink, smtp):
        with service(tmp_path, imap, smtp) as client:
            until(lambda: 'triage_mailbox_ready{mailbox="support"} 1.0' in client.get("/metrics").text, 20)
        assert not sink.taken


@real
def test_text_behind_a_large_image_is_read(
    servers: tuple[int, Sink, int], tmp_path: Path, until: Callable[..., float]
) -> None:
    imap, _, smtp = servers
    large = mail("Capture", "Hi all,")
    large.add_attachment(bytes(2_000_000), maintype="image", subtype="png", filename="s.png", disposition="inline")
    below = EmailMessage()
    below.set_content("as you see, the vpn drops")
    large.attach(below)
    deliver(imap, large)
    with service(tmp_path, imap, smtp) as client:
        until(lambda: done(imap), 20)
        [decision] = client.get("/v1/decisions").json()["decisions"]
    assert decision["ticket"]["body"].split() == ["Hi", "all,", "as", "you", "see,", "the", "vpn", "drops"]
