"""Webhooks of helpdesks: is it theirs, is it fresh, and what does it say."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from api.helpdesks.config import HelpdeskConfig
from api.http.exceptions import NotAcceptable, NotSignedIn
from api.http.schemas import MAX_ATTRIBUTE_CHARS, MAX_NAME_CHARS, TicketIn, to_ticket
from triage.ticket import MAX_CHANNEL_CHARS, Ticket


@dataclass(frozen=True)
class Delivery:
    """A webhook that is authentic and fresh.

    Attributes:
        helpdesk: Who sent it.
        ids: What it is known by: the digest of what was signed, and the sender's own id where it states one.
        document: What it says.
    """

    helpdesk: HelpdeskConfig
    ids: tuple[str, ...]
    document: dict[str, Any]


@dataclass(frozen=True)
class Correction:
    """What somebody at the helpdesk says about a ticket's route: the labels that the ticket has there now."""

    ticket_id: str
    agent: str
    tier: str | None
    category: str | None
    comment: str | None


def sign(secret: bytes, timestamp: str, body: bytes, encoding: str = "hex") -> str:
    """Return the HMAC-SHA256 over a timestamp and a body, directly after one another.

    Example:
        >>> sign(b"0123456789abcdef", "1700000000", b"{}")[:16]
        '8c3d1970ebe94083'
    """
    digest = hmac.new(secret, timestamp.encode() + body, hashlib.sha256)
    return base64.b64encode(digest.digest()).decode() if encoding == "base64" else digest.hexdigest()


def accept(
    helpdesk: HelpdeskConfig | None, headers: Mapping[str, str], body: bytes, now: float | None = None
) -> Delivery:
    """Check where a webhook comes from and read it.

    What was signed is one of its ids: the sender's own id is not signed, and a replay could change it.

    Args:
        helpdesk: The helpdesk that the address names; None for an unknown one, which is told nothing else.
        headers: The request's headers, by names in lower case.
        body: The request's body as it came.
        now: Seconds since 1970; the clock's where not given.

    Raises:
        NotSignedIn: It is not signed by this helpdesk, or too old or too new.
        NotAcceptable: It is no JSON object.
    """
    names = helpdesk.headers if helpdesk else None
    signature = headers.get(names.signature.lower(), "") if names else ""
    timestamp = headers.get(names.timestamp.lower(), "") if names else ""
    if helpdesk is None or names is None or not helpdesk.secrets or not signature or not timestamp:
        raise NotSignedIn(
            "no-signature",
            "the webhook carries no signature of a known helpdesk: sign timestamp and body, see docs/integration.md",
        )
    expected = [names.prefix + sign(secret, timestamp, body, names.encoding) for secret in helpdesk.secrets]
    if not any(hmac.compare_digest(signature.encode(), one.encode()) for one in expected):
        raise NotSignedIn(
            "bad-signature",
            "the webhook's signature is not that of this helpdesk: see that both sides have the same secret",
        )
    moment = _moment(timestamp)
    if moment is None or abs((time.time() if now is None else now) - moment) > helpdesk.tolerance_s:
        raise NotSignedIn(
            "stale-timestamp",
            f"the webhook's timestamp is more than {helpdesk.tolerance_s:g} s off: set the clocks, see the Date header",
        )
    own = headers.get(names.delivery.lower(), "")[:200]
    signed = "sig:" + hashlib.sha256(timestamp.encode() + body).hexdigest()
    return Delivery(helpdesk, (signed, *([f"id:{own}"] if own else [])), _document(body))


def ticket_of(helpdesk: HelpdeskConfig, document: Mapping[str, Any], max_text_chars: int) -> Ticket | None:
    """Read a ticket out of a webhook, or None where it is about something else.

    What a helpdesk cannot mend is mended here: NUL characters and broken Unicode go, and what is too long is cut.

    Raises:
        NotAcceptable: The ticket has no id or no text.
    """
    mapping = helpdesk.ticket
    if mapping is None or not _applies(mapping.when, document):
        return None
    limits = {
        "id": MAX_NAME_CHARS,
        "requester": MAX_NAME_CHARS,
        "channel": MAX_CHANNEL_CHARS,
        "subject": max_text_chars,
        "body": max_text_chars,
    }
    fields: dict[str, Any] = {}
    for name in ("id", "subject", "body", "channel", "requester", "opened_at", "language"):
        path = getattr(mapping, name)
        value = _text(document, path)[: limits.get(name, 100)] if path else ""
        if value.strip():
            fields[name] = value
    fields["attributes"] = {
        name: _text(document, path)[:MAX_ATTRIBUTE_CHARS] for name, path in mapping.attributes.items()
    }
    if "id" not in fields:
        raise NotAcceptable(
            "no-ticket-id",
            "the webhook's ticket has no id: see [helpdesks.NAME.ticket] for where it is looked for",
            "id",
        )
    try:
        return to_ticket(TicketIn.model_validate(fields), max_text_chars)
    except ValidationError as error:
        place = str(error.errors(include_input=False)[0]["loc"][:1] or "body")
        raise NotAcceptable(
            "invalid-ticket",
            "the webhook's ticket cannot be read: a field is not what it should be, or there is no text",
            place,
        ) from None


def correction_of(helpdesk: HelpdeskConfig, document: Mapping[str, Any]) -> Correction | None:
    """Read a correction out of a webhook, or None where it is about something else.

    Raises:
        NotAcceptable: It names no ticket or nobody.
    """
    mapping = helpdesk.feedback
    if mapping is None or not _applies(mapping.when, document):
        return None
    ticket_id, agent = _text(document, mapping.id)[:MAX_NAME_CHARS], _text(document, mapping.agent)[:MAX_NAME_CHARS]
    if not ticket_id.strip() or not agent.strip():
        raise NotAcceptable(
            "no-agent",
            "the webhook's correction names no ticket or nobody: see [helpdesks.NAME.feedback] for where they stand",
        )
    if agent in mapping.not_people:
        return None
    said = [
        (_text(document, path)[:4000].strip() or None) if path else None
        for path in (mapping.tier, mapping.category, mapping.comment)
    ]
    return Correction(ticket_id, agent, *said)


def _document(body: bytes) -> dict[str, Any]:
    try:
        document = json.loads(body, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise NotAcceptable(
            "malformed-json", "the webhook's body is not JSON that can be read: send a JSON object"
        ) from error
    if not isinstance(document, dict):
        raise NotAcceptable("malformed-json", "the webhook's body is not a JSON object: send one")
    return document


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def _moment(timestamp: str) -> float | None:
    """Read seconds since 1970, or an ISO 8601 date and time."""
    try:
        return (
            float(int(timestamp))
            if timestamp.isascii() and timestamp.isdigit() and len(timestamp) < 13
            else datetime.fromisoformat(timestamp).timestamp()
        )
    except (ValueError, OverflowError):  # the latter at the edge of the calendar
        return None


def _applies(when: Mapping[str, str], document: Mapping[str, Any]) -> bool:
    return all(_text(document, path) == value for path, value in when.items())


def _text(document: Any, path: str) -> str:
    """Look up a dotted path; what is not there, or is no plain value, is empty."""
    if path.startswith("="):
        return path[1:]
    found = document
    for step in path.split("."):
        if isinstance(found, dict):
            found = found.get(step)
        elif isinstance(found, list) and step.isdigit() and len(step) < 6 and int(step) < len(found):
            found = found[int(step)]
        else:
            return ""
    if isinstance(found, bool):
        return str(found).lower()
    text = str(found) if isinstance(found, (str, int, float)) else ""
    return text.replace("\x00", "").encode("utf-8", "replace").decode()
