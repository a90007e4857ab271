"""What becomes of a decided mail: a copy with the headers of its decision, and a forward to the resolver group."""

from __future__ import annotations

import re
import smtplib
import ssl
from base64 import b64encode
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from email.header import Header
from email.parser import BytesHeaderParser
from email.utils import formatdate
from urllib.parse import unquote

from api.mail.config import Mailbox
from api.mail.message import DECISION_HEADER
from api.settings import is_loopback
from api.store.rows import made_at
from models.wire import DecisionDocument
from triage.decision import Source

REPEAT_HEADER = "X-Triage-Repeat"
_TIMEOUT_S = 30.0
_LOGGED_IN = 235
_PERMANENT = range(500, 600)
_OF_THE_ACCOUNT = range(530, 540)
"""Codes by which a server refuses an account rather than a mail (RFC 4954, section 6): 530, 535, 538 and the like."""
_TOO_LARGE, _TOO_LARGE_ENHANCED = 552, ("5.2.3", "5.3.4")
"""By which a server refuses a mail for its size, which it hears beside the sender (RFC 1870, RFC 3463)."""
_ENHANCED = re.compile(r"\s*([245]\.\d{1,3}\.\d{1,3})\b")
_OF_RIGHTS = ("5.1.8", "5.7.57", "5.7.60", "5.7.708")
"""By which Exchange refuses whatever an account sends: it has not logged in, may not use this address, or is shut."""
_OF_QUOTA = ("5.4.5", "5.7.705")
"""By which Gmail and Exchange refuse what they would take tomorrow: the account or its organisation sent too much."""
_END_OF_HEAD = re.compile(rb"(?:\A|\r?\n)(\r?\n)")
_OURS = re.compile(
    rb"(?i)(?:\A|(?<=[\r\n]))x-triage-[^:\r\n]*:[^\r\n]*(?:\r?\n|\r|\Z)(?:[ \t][^\r\n]*(?:\r?\n|\r|\Z))*"
)
"""Headers that only the service may write, with their continuation lines."""


class NotTaken(OSError):
    """A mail server has certainly not taken a mail.

    Attributes:
        code: Code of its reply; 0 where it gave none.
        is_final: Whether it would say the same again about this mail (RFC 5321, section 4.2.1).
        is_about_all: Whether it takes no mail at all now: it does not answer, or refuses the account or the sender.
        of_sender: Whether it is the sender that is refused for good, whatever the mail.
    """

    def __init__(self, code: int, reply: str, *, before_mail: bool = False) -> None:
        """Judge a reply.

        Args:
            code: Its code.
            reply: Its text.
            before_mail: Whether it came before the server had heard of more than the sender and the size of the mail.
        """
        super().__init__(f"{code} {reply}" if code else reply)
        self.code = code
        found = _ENHANCED.match(reply)
        enhanced = found[1] if found else ""
        is_permanent = code in _PERMANENT and code not in _OF_THE_ACCOUNT and enhanced not in _OF_QUOTA
        of_size = code == _TOO_LARGE or enhanced in _TOO_LARGE_ENHANCED
        self.of_sender = is_permanent and (enhanced in _OF_RIGHTS or (before_mail and not of_size))
        self.is_final = is_permanent and not self.of_sender
        self.is_about_all = code == 0 or code in _OF_THE_ACCOUNT or self.of_sender


def headers_of(document: DecisionDocument) -> dict[str, str]:
    """Return the headers that say what was decided about a mail."""
    stated = {
        DECISION_HEADER: document.decision_id,
        "X-Triage-Tier": document.tier,
        "X-Triage-Category": document.category,
        "X-Triage-Group": document.resolver_group,
        "X-Triage-Automation": document.automation,
        "X-Triage-Reason": document.reason,
        "X-Triage-Kind": document.kind,
        "X-Triage-Attention": ", ".join(one.kind for one in document.attention),
    }
    return {name: _one_line(value) for name, value in stated.items() if value}


def with_headers(raw: bytes, headers: dict[str, str]) -> bytes:
    """Return a mail with headers put before its own, in place of those of their kind that a sender made up.

    Nothing else in it is changed, so that signatures hold.
    """
    added = "".join(f"{name}: {_encoded(name, value)}\r\n" for name, value in headers.items())
    end = _END_OF_HEAD.search(raw)
    body_at = end.start(1) if end else len(raw)
    return added.encode("ascii") + _OURS.sub(b"", raw[:body_at]) + raw[body_at:]


def is_forwarded(mailbox: Mailbox, document: DecisionDocument) -> bool:
    """Say whether a mail goes on to its group: never one that is no ticket, which could go round in circles.

    A route that a person has set meanwhile is as good as an automatic one, though nothing may act on it by itself.
    """
    is_meant = document.automation in mailbox.forward or document.source == Source.PERSON.value
    return (
        document.kind is None
        and bool(mailbox.forward)
        and is_meant
        and (document.resolver_group or "") in mailbox.groups
    )


@dataclass(frozen=True)
class Forward:
    """A mail on its way to a group.

    Attributes:
        raw: The mail.
        document: What was decided about it.
        again: Whether an earlier try began, and nobody knows how it ended: the header ``X-Triage-Repeat`` says so.
    """

    raw: bytes
    document: DecisionDocument
    again: bool = False


def forward(mailbox: Mailbox, mail: Forward, password: str, *, on_taken: Callable[[], object]) -> None:
    """Send a mail on to the address of its group (RFC 5322, section 3.6.6).

    ``Message-ID``, ``Resent-Message-ID`` and ``Resent-Date`` are the same at every try, so that whoever gets it can
    tell a second one.

    Args:
        mailbox: Whose mail it is.
        mail: The mail, and what was decided about it.
        password: Of the mailbox, for a server that wants a login without stating a password.
        on_taken: Called at once when the server has taken it, before anything else that could fail or be killed.

    Raises:
        NotTaken: The server has not taken it.
        OSError: Nobody knows whether the server has taken it.
    """
    assert mailbox.sender is not None
    address = mailbox.groups[mail.document.resolver_group or ""]
    decision_id = mail.document.decision_id or ""
    known_by = f"<{decision_id}@triage>"
    resent = {
        "Resent-Date": formatdate(made_at(decision_id)),
        "Resent-From": mailbox.sender,
        "Resent-To": address,
        "Resent-Message-ID": known_by,
    }
    if not BytesHeaderParser().parsebytes(mail.raw)["Message-ID"]:
        resent["Message-ID"] = known_by
    if mail.again:
        resent[REPEAT_HEADER] = "possible"
    content = with_headers(mail.raw, headers_of(mail.document) | resent)
    try:
        server = _connection(mailbox, password)
    except smtplib.SMTPResponseException as error:
        raise NotTaken(0, f"{error.smtp_code} {_said(error.smtp_error)}") from error
    except OSError as error:
        raise NotTaken(0, str(error)) from error
    with server:
        try:
            server.sendmail(mailbox.sender, [address], content)
        except smtplib.SMTPRecipientsRefused as error:
            [(code, reply)] = error.recipients.values()
            raise NotTaken(code, _said(reply)) from error
        except smtplib.SMTPResponseException as error:
            before_mail = _is_before_mail(server, error, len(content))
            raise NotTaken(error.smtp_code, _said(error.smtp_error), before_mail=before_mail) from error
        on_taken()


def _is_before_mail(server: smtplib.SMTP, error: smtplib.SMTPResponseException, size: int) -> bool:
    """Say whether a server has refused before it heard of more than sender and size, and not because of the size."""
    if not isinstance(error, smtplib.SMTPSenderRefused):
        return isinstance(error, smtplib.SMTPHeloError)
    return error.smtp_code not in _PERMANENT or not _refuses_size(server, error.sender, size)


def _refuses_size(server: smtplib.SMTP, sender: str, size: int) -> bool:
    """Say whether a server that has refused a sender takes it without the size of the mail, and again not with it.

    By the reply alone nobody can tell: many say ``554 message too large`` without a code for that.
    """
    if not server.has_extn("size"):
        return False
    codes = []
    try:
        for options in ((), (f"size={size}",)):
            codes.append(server.mail(sender, options)[0])
            server.rset()
    except OSError:
        return False
    return codes[0] not in range(400, 600) and codes[1] in _PERMANENT


def _said(reply: bytes | str) -> str:
    return reply.decode("utf-8", "replace") if isinstance(reply, bytes) else reply


def _connection(mailbox: Mailbox, password: str) -> smtplib.SMTP:
    parts = mailbox.smtp_server
    assert parts is not None
    host = parts.hostname or ""
    if parts.scheme == "smtps":
        server: smtplib.SMTP = smtplib.SMTP_SSL(
            host, parts.port or 465, timeout=_TIMEOUT_S, context=ssl.create_default_context()
        )
    else:
        server = smtplib.SMTP(host, parts.port or 587, timeout=_TIMEOUT_S)
    with ExitStack() as until_it_is_ready:
        until_it_is_ready.callback(server.close)
        if parts.scheme == "smtp" and not is_loopback(host):
            server.starttls(context=ssl.create_default_context())
        if parts.username:
            _log_in(server, unquote(parts.username), unquote(parts.password) if parts.password else password)
        until_it_is_ready.pop_all()
    return server


def _log_in(server: smtplib.SMTP, user: str, password: str) -> None:
    """Log in; what is not ASCII is sent as UTF-8 (RFC 4616), which the library does not do."""
    if f"{user}{password}".isascii():
        server.login(user, password)
        return
    server.ehlo()
    response = b64encode(f"\0{user}\0{password}".encode()).decode()
    code, reply = server.docmd("AUTH", f"PLAIN {response}")
    if code != _LOGGED_IN:
        raise smtplib.SMTPAuthenticationError(code, reply)


def _encoded(name: str, value: str) -> str:
    """Return a value of a header as every server takes it (RFC 2047)."""
    return value if value.isascii() else Header(value, "utf-8", header_name=name).encode(linesep="\r\n")


def _one_line(value: str) -> str:
    return " ".join(value.split())[:200]
