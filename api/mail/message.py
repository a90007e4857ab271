"""A mail as a ticket: its text out of whatever MIME it has, and the headers that say that no person wrote it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser
from email.utils import parsedate_to_datetime

from tnefparse import TNEF

from api.http.reception import Ignored, Received, readable
from api.http.schemas import MAX_ATTRIBUTE_CHARS, MAX_NAME_CHARS
from triage.errors import InvalidTicket
from triage.ticket import check_moment

DECISION_HEADER = "X-Triage-Decision"
"""Header of what was sent on from here: a mail that has it has come round in a loop."""
_SAID_BY_HEADERS = (
    *("Auto-Submitted", "Precedence", "Return-Path", "X-Failed-Recipients", "X-Autoreply", "X-Autorespond"),
    *("List-Unsubscribe", "List-Id"),
)
"""Headers that tell bounces, automatic replies and newsletters (RFC 3834, RFC 2369, RFC 6522)."""
_MOST_HOPS = 50
"""Received headers above which a mail goes in circles; servers refuse between 30 and 100."""
_TNEF = ("application/ms-tnef", "application/vnd.ms-tnef")


def parse(raw: bytes) -> EmailMessage:
    """Read a mail; one that is cut off or broken is read as far as that goes."""
    return BytesParser(policy=policy.default.clone(raise_on_defect=False)).parsebytes(raw)


def identity(message: EmailMessage, raw: bytes) -> str:
    """Return what a mail is known by: its Message-ID, else the digest of what was read of it."""
    stated = _header(message, "Message-ID")
    return hashlib.sha256(stated.encode() if stated else raw).hexdigest()


def is_looping(message: EmailMessage) -> bool:
    """Say whether a mail was sent on from here before, or has gone through too many servers."""
    return message[DECISION_HEADER] is not None or len(message.get_all("Received", [])) > _MOST_HOPS


def has_text(message: EmailMessage) -> bool:
    """Say whether there is a text in what was read of a mail."""
    return any(True for _ in _texts(message))


def ticket_of(message: EmailMessage, ticket_id: str, max_text_chars: int) -> Received:
    """Turn a mail into a ticket; what cannot be read is left out and said."""
    subject, of_subject = readable(_header(message, "Subject"), max_text_chars)
    body, of_body = readable(next(_texts(message), ""), max_text_chars)
    opened_at, ignored = _moment(message)
    attributes = {name: value[:MAX_ATTRIBUTE_CHARS] for name in _SAID_BY_HEADERS if (value := _header(message, name))}
    if message.get_content_type() == "multipart/report":
        attributes["Content-Type"] = "multipart/report"
    return Received(
        id=ticket_id,
        subject=subject,
        body=body,
        channel="email",
        opened_at=opened_at,
        requester=_header(message, "From")[:MAX_NAME_CHARS] or None,
        attributes=attributes,
        ignored=ignored,
        cut=(*of_subject, *of_body),
    )


def _moment(message: EmailMessage) -> tuple[datetime | None, tuple[Ignored, ...]]:
    stated = _header(message, "Date")
    if not stated:
        return None, ()
    try:
        moment = parsedate_to_datetime(stated)
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        check_moment("opened_at", moment)
        return moment, ()
    except (ValueError, TypeError, OverflowError, InvalidTicket):
        return None, (Ignored("opened_at", "datetime-parsing"),)


def _header(message: EmailMessage, name: str) -> str:
    try:
        return _storable(str(message.get(name, "")))
    except (ValueError, TypeError, IndexError, AttributeError):  # headers that the library cannot read
        return ""


def _texts(message: EmailMessage) -> Iterator[str]:
    """Yield the texts of a mail, the best one first: plain before HTML, then what Outlook packs into winmail.dat."""
    parts = [part for part in message.walk() if not part.is_multipart() and not part.is_attachment()]
    for kind in ("text/plain", "text/html"):
        for part in parts:
            if part.get_content_type() == kind and (text := _storable(_text(part))).strip():
                yield text
    for part in message.walk():
        if part.get_content_type() in _TNEF or str(part.get_filename() or "").lower() == "winmail.dat":
            yield from _packed(part.get_payload(decode=True))


def _text(part: EmailMessage) -> str:
    content = part.get_payload(decode=True)
    if not isinstance(content, bytes):
        return ""
    try:
        return content.decode(part.get_content_charset("utf-8"), "replace")
    except LookupError:  # a charset that nobody knows
        return content.decode("utf-8", "replace")


def _packed(content: object) -> Iterator[str]:
    if not isinstance(content, bytes):
        return
    try:
        found = TNEF(content)
        bodies = [found.body, found.htmlbody]
    except Exception:  # whatever is wrong with a packed mail, the mail itself is decided
        return
    for body in bodies:
        text = body.decode("utf-8", "replace") if isinstance(body, bytes) else str(body or "")
        if text.strip():
            yield _storable(text)


def _storable(text: str) -> str:
    return text.replace("\x00", "").encode("utf-8", "replace").decode()
