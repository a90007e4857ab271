"""Mail through a real Dovecot and a mail server: decided once, answered with headers and forwards, never in circles."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from email import message_from_bytes
from email.message import EmailMessage, Message
from email.utils import format_datetime
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from api.app import create_app
from api.mail.answers import Forward, forward
from api.mail.config import Mailbox, load_mailboxes
from api.mail.message import parse, ticket_of
from api.settings import load_settings
from api.store.rows import new_id
from models.triager import Triager
from models.wire import DecisionDocument
from tests.service.desk.dovecot import CAN_RUN, PASSWORD, Sink, dovecot, mail_server, mailbox_of
from triage.defaults import default_policy
from triage.errors import InvalidRequest
from triage.ticket import Ticket

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
        load_mailboxes(tmp_path / "mail.toml", {"MAIL_PASSWORD": "x"})


def test_a_forward_that_may_be_a_second_one_says_so_and_is_known_by_the_same_ids() -> None:
    document = DecisionDocument.from_decision(Triager().decide([Ticket(body="the printer jams")])[0], decision_id="d-1")
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
        assert first[name] == second[name] == "<d-1@triage>"
