"""A mail as a ticket: what its headers say, that no person wrote it among other things, and its text."""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime
from email.errors import HeaderParseError
from email.header import decode_header
from email.message import Message
from email.parser import BytesParser
from email.policy import Compat32
from email.utils import parsedate_to_datetime
from itertools import islice

from api.http.reception import Ignored, Received, readable
from api.http.schemas import MAX_ATTRIBUTE_CHARS, MAX_NAME_CHARS
from api.mail.text import body_of, decoded, storable
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
_MOST_HEADER_CHARS = 10_000
"""Characters of a header that are read: subjects have some hundred; to decode half a million takes half a minute."""
_MESSAGE_ID = re.compile(r"<[^<>@\s]+@[^<>@\s]+>")
_MOST_LINE_CHARS = 200
_CONTAINER = re.compile(rb"(?im)^content-type:\s*(?:multipart|message)/")
_MOST_CONTAINERS = 50
"""Parts that hold parts, of which a mail is read up to so many: the library goes into each by recursion."""


class _Lenient(Compat32):
    """Takes headers as they stand, up to a length: the newer policies of the library fail on many odd ones."""

    def header_source_parse(self, sourcelines: list[str]) -> tuple[str, str]:
        """Read a header from its lines."""
        name, value = super().header_source_parse(sourcelines)
        return name, value[:_MOST_HEADER_CHARS]

    def header_fetch_parse(self, name: str, value: str) -> str:
        """Return a header as it stands; what is no ASCII in it is decoded by whom it concerns."""
        return value


def parse(raw: bytes) -> Message:
    """Read a mail; one that is cut off or broken is read as far as that goes."""
    parser = BytesParser(policy=_Lenient())
    beyond = next(islice(_CONTAINER.finditer(raw), _MOST_CONTAINERS, None), None)
    try:
        return parser.parsebytes(raw[: beyond.start()] if beyond else raw)
    except RecursionError:
        return parser.parsebytes(raw, headersonly=True)


def identity(message: Message, raw: bytes) -> str:
    """Return what a mail is known by: its Message-ID, date and first line, else the digest of what was read of it.

    Some programs give the same Message-ID to each of their mails, or an empty one: by it alone all but the first would
    be lost. What lists put below a text and around a subject makes no other mail of it.
    """
    stated, sent = stated_id(message), _header(message, "Date")
    if not (sent and _MESSAGE_ID.fullmatch(stated)):
        return hashlib.sha256(raw).hexdigest()
    first = next((line for line in map(str.strip, body_of(message).splitlines()) if line), "")
    return digest_of("\n".join((stated, sent, first[:_MOST_LINE_CHARS])))


def stated_id(message: Message) -> str:
    """Return the Message-ID of a mail as it states it; empty where it has none."""
    return _header(message, "Message-ID")


def digest_of(text: str) -> str:
    """Return the SHA-256 digest of a text, in 64 characters."""
    return hashlib.sha256(text.encode()).hexdigest()


def decisions_in(message: Message) -> list[str]:
    """Return the ids of decisions that a mail says it was sent on with; anybody can write such a header."""
    return [str(one).strip() for one in message.get_all(DECISION_HEADER, [])]


def has_circled(message: Message) -> bool:
    """Say whether a mail has gone through too many servers."""
    return len(message.get_all("Received", [])) > _MOST_HOPS


def ticket_of(message: Message, ticket_id: str, max_text_chars: int) -> Received:
    """Turn a mail into a ticket; what cannot be read is left out and said."""
    subject, of_subject = readable(_header(message, "Subject"), max_text_chars)
    body, of_body = readable(body_of(message), max_text_chars)
    opened_at, ignored = _moment(message)
    if message.get_content_maintype() == "multipart" and not message.is_multipart():
        ignored = (*ignored, Ignored("body", "mime-unreadable"))
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


def _moment(message: Message) -> tuple[datetime | None, tuple[Ignored, ...]]:
    stated = _header(message, "Date")
    if not stated:
        return None, ()
    try:
        moment = parsedate_to_datetime(stated)
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        check_moment("opened_at", moment)
        return moment, ()
    except (ValueError, TypeError, IndexError, OverflowError, InvalidTicket):
        return None, (Ignored("opened_at", "datetime-parsing"),)


def _header(message: Message, name: str) -> str:
    stated = "".join(str(message.get(name, "")).splitlines()).strip()
    stated = decoded(stated.encode("utf-8", "surrogateescape"), "")
    try:
        parts = decode_header(stated)
    except (HeaderParseError, ValueError):  # an encoded word that is none
        return storable(stated)
    return storable("".join(_part_of_header(part, charset) for part, charset in parts))


def _part_of_header(part: bytes | str, charset: str | None) -> str:
    if isinstance(part, str):
        return part
    if charset is None:
        try:
            return part.decode("raw-unicode-escape")  # what `decode_header` makes of what is not encoded
        except UnicodeDecodeError:
            return decoded(part, "")
    return decoded(part, charset.partition("*")[0])
