"""What becomes of a decided mail: a copy with the headers of its decision, and a forward to the resolver group."""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from email.parser import BytesHeaderParser
from urllib.parse import unquote

from api.mail.config import Mailbox, is_here
from api.mail.message import DECISION_HEADER
from models.wire import DecisionDocument

REPEAT_HEADER = "X-Triage-Repeat"
_TIMEOUT_S = 30.0


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
    """Return a mail with headers put before its own; nothing else in it is changed, so that signatures hold."""
    added = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return added.encode("utf-8") + raw


def is_forwarded(mailbox: Mailbox, document: DecisionDocument) -> bool:
    """Say whether a mail goes on to its group: never one that is no ticket, which could go round in circles."""
    return (
        document.kind is None
        and document.automation in mailbox.forward
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

    ``Message-ID`` and ``Resent-Message-ID`` are the same at every try, so that whoever gets it can tell a second one.

    Args:
        mailbox: Whose mail it is.
        mail: The mail, and what was decided about it.
        password: Of the mailbox, for a server that wants a login without stating a password.
        on_taken: Called at once when the server has taken it, before anything else that could fail or be killed.

    Raises:
        OSError: The server does not take it.
    """
    assert mailbox.sender is not None
    address = mailbox.groups[mail.document.resolver_group or ""]
    known_by = f"<{mail.document.decision_id}@triage>"
    resent = {"Resent-From": mailbox.sender, "Resent-To": address, "Resent-Message-ID": known_by}
    if not BytesHeaderParser().parsebytes(mail.raw)["Message-ID"]:
        resent["Message-ID"] = known_by
    if mail.again:
        resent[REPEAT_HEADER] = "possible"
    with _connection(mailbox, password) as server:
        server.sendmail(mailbox.sender, [address], with_headers(mail.raw, headers_of(mail.document) | resent))
        on_taken()


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
        if not is_here(host):
            server.starttls(context=ssl.create_default_context())
    if parts.username:
        server.login(unquote(parts.username), unquote(parts.password or password))
    return server


def _one_line(value: str) -> str:
    return " ".join(value.split())[:200]
