"""Webhooks of helpdesks: is it theirs, and what does it say."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from api.helpdesks.config import HelpdeskConfig
from api.helpdesks.paths import text_at, value_at
from api.helpdesks.signatures import unsigned
from api.http.exceptions import NotAcceptable
from api.http.problems import problem_of_faults
from api.http.reception import Received, to_ticket
from api.http.schemas import MAX_ATTRIBUTE_CHARS, MAX_NAME_CHARS, TicketIn
from triage.ticket import MAX_CHANNEL_CHARS

_LIMITS = {
    "id": MAX_NAME_CHARS,
    "requester": MAX_NAME_CHARS,
    "channel": MAX_CHANNEL_CHARS,
    "opened_at": 100,
    "language": 100,
}
_TEXTS = ("subject", "body")


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
    """What somebody at the helpdesk says about a ticket's route: the labels that the ticket has there now.

    Attributes:
        ticket_id: The helpdesk's id of the ticket.
        agent: Who has changed something.
        labels: The labels by target, at least one.
        comment: What that person wrote.
        changed: Whether the helpdesk says that a label was changed, and not only which labels there are.
    """

    ticket_id: str
    agent: str
    labels: Mapping[str, str]
    comment: str | None
    changed: bool


def check_head(helpdesk: HelpdeskConfig | None, headers: Mapping[str, str]) -> None:
    """Refuse a webhook that its helpdesk cannot have signed, whatever its body turns out to be.

    Args:
        helpdesk: The helpdesk that the address names; None for an unknown one, which is told nothing else.
        headers: The request's headers, by names in lower case.

    Raises:
        NotSignedIn: There is no such helpdesk, or a header is missing that its signature needs.
    """
    if helpdesk is None:
        raise unsigned()
    helpdesk.signature.check_head(helpdesk.secrets, headers)


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
    if helpdesk is None:
        raise unsigned()
    ids = helpdesk.signature.verify(helpdesk.secrets, headers, body, now)
    return Delivery(helpdesk, tuple(ids), _document(body))


def ticket_of(helpdesk: HelpdeskConfig, document: Mapping[str, Any], max_text_chars: int) -> Received | None:
    """Read a ticket out of a webhook, or None where it is about something else.

    What a helpdesk cannot mend is mended here: NUL characters and broken Unicode go, what is too long is cut, and a
    date or a language that cannot be read is left out. A ticket whose text is there and empty is one that says nothing.

    Raises:
        NotAcceptable: The ticket has no id, or nothing stands where its text is looked for.
    """
    mapping = helpdesk.ticket
    if mapping is None or not _applies(mapping.when, document):
        return None
    paths = {name: getattr(mapping, name) for name in (*_LIMITS, *_TEXTS)}
    fields: dict[str, Any] = {}
    for name, path in paths.items():
        value = text_at(document, path)[: _LIMITS.get(name)] if path else ""
        if value.strip() or (name in _TEXTS and path and value_at(document, path) is not None):
            fields[name] = value
    fields["attributes"] = {
        name: text_at(document, path)[:MAX_ATTRIBUTE_CHARS] for name, path in mapping.attributes.items()
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
        faults = problem_of_faults(error.errors(include_input=False), model=TicketIn).detail
        raise NotAcceptable(
            "invalid-ticket", f"the webhook's ticket cannot be read: {faults}; see [helpdesks.NAME.ticket]", "body"
        ) from None


def correction_of(helpdesk: HelpdeskConfig, document: Mapping[str, Any]) -> Correction | None:
    """Read a correction out of a webhook, or None where it is about something else or names no label.

    Raises:
        NotAcceptable: It names no ticket or nobody.
    """
    mapping = helpdesk.feedback
    if mapping is None or not _applies(mapping.when, document):
        return None
    if mapping.changed and all(value_at(document, path) is None for path in mapping.changed):
        return None
    paths = {"tier": mapping.tier, "category": mapping.category, **mapping.targets}
    labels = {name: label for name, path in paths.items() if path and (label := text_at(document, path)[:4000].strip())}
    if not labels:
        return None
    ticket_id, agent = text_at(document, mapping.id)[:MAX_NAME_CHARS], text_at(document, mapping.agent)[:MAX_NAME_CHARS]
    if not ticket_id.strip() or not agent.strip():
        raise NotAcceptable(
            "no-agent",
            "the webhook's correction names no ticket or nobody: see [helpdesks.NAME.feedback] for where they stand",
        )
    if agent in mapping.not_people:
        return None
    comment = (text_at(document, mapping.comment)[:4000].strip() or None) if mapping.comment else None
    return Correction(ticket_id, agent, labels, comment, changed=bool(mapping.changed))


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


def _applies(when: Mapping[str, str], document: Mapping[str, Any]) -> bool:
    return all(text_at(document, path) == value for path, value in when.items())
