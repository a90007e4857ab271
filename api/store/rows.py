"""What crosses the seam of the store: plain values in, plain values out, never a live row."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from triage.ticket import Ticket

SCOPES = ("predict", "feedback", "read", "admin")
"""What a key may be good for; none of them includes another."""

VERDICTS = ("accepted", "corrected", "unsure")
"""What a person may say about a decision."""

UNDONE = "undone"
"""Verdict of the row that takes an earlier one back."""


MOST_CLEARANCE = 1_000_000
"""Clearance of somebody who may see everything."""


@dataclass(frozen=True)
class Entry:
    """A ticket and the answer to it, to be recorded.

    Attributes:
        ticket: As it came in.
        answer: The document that is sent, without its `decision_id`.
        sensitive: Whether only people with the policy's sensitive clearance may see the text.
        clearance: Clearance of who asked: people with less do not get to see the similar tickets that it brought up.
    """

    ticket: Ticket
    answer: Mapping[str, Any]
    sensitive: bool = False
    clearance: int = MOST_CLEARANCE


@dataclass(frozen=True)
class StoredResult:
    """A decision as it stands in the store.

    Attributes:
        answer: The document to send, with `decision_id` first.
        created: False where the same ticket with the same text was decided before.
        revision: 1 for the first text of a ticket id, 2 for the second, and so on.
    """

    answer: dict[str, Any]
    created: bool = True
    revision: int = 1
    clearance: int = MOST_CLEARANCE

    def answer_for(self, clearance: int) -> dict[str, Any]:
        """Return the document as somebody with that clearance may see it."""
        return without_similar(self.answer) if clearance < self.clearance else self.answer

    @property
    def by_model(self) -> bool:
        """Whether a model took part; a decision of the rules alone gives way once there is a model."""
        return self.answer.get("model_version") is not None


@dataclass(frozen=True)
class Attempt:
    """A request that carries an `Idempotency-Key`.

    Attributes:
        owner: Id of the API key that sent it; empty where requests need no key.
        key: The header's value, 1 to 255 characters.
        digest: SHA-256 of what was asked: method, path and body.
    """

    owner: str
    key: str
    digest: str

    @classmethod
    def of(cls, owner: str | None, key: str, method: str, path: str, body: bytes) -> Attempt:
        """Make an attempt out of a request."""
        asked = hashlib.sha256(f"{method} {path}\n".encode() + body)
        return cls(owner or "", key, asked.hexdigest())


@dataclass(frozen=True)
class FeedbackRow:
    """One thing that a person said about a decision; see `StoredFeedback`."""

    id: str
    decision_id: str
    verdict: str
    tier: str | None
    category: str | None
    agent: str
    key_id: str | None
    reason: str | None
    comment: str | None
    undoes: str | None
    created_at: datetime

    def document(self) -> dict[str, Any]:
        """Return it as a JSON document."""
        shown = {
            name: getattr(self, name)
            for name in ("decision_id", "verdict", "tier", "category", "agent", "reason", "comment", "undoes")
        }
        return {"feedback_id": self.id, **shown, "created_at": self.created_at.isoformat()}


@dataclass(frozen=True)
class DecisionRow:
    """A decision with its ticket and everything said about it, oldest first."""

    id: str
    answer: dict[str, Any]
    ticket_id: str | None
    source: str
    revision: int
    subject: str
    body: str
    channel: str | None
    sensitive: bool
    clearance: int
    forgotten: bool
    created_at: datetime
    feedback: tuple[FeedbackRow, ...] = ()
    revisions: tuple[str, ...] = field(default=())

    @property
    def standing(self) -> FeedbackRow | None:
        """The feedback that counts: the last one that was not taken back."""
        undone = {row.undoes for row in self.feedback if row.undoes}
        return next((row for row in reversed(self.feedback) if row.verdict != UNDONE and row.id not in undone), None)


@dataclass(frozen=True)
class KeyRow:
    """An API key as it may be shown: never the key itself."""

    id: str
    name: str
    prefix: str
    scopes: frozenset[str]
    clearance: int
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None


def digest_of(ticket: Ticket) -> str:
    """Return the SHA-256 of everything in a ticket that may decide its route; two equal ones are the same text."""
    parts = [ticket.subject, ticket.body, ticket.channel, ticket.language, sorted(ticket.attributes.items())]
    return hashlib.sha256(dump(parts).encode()).hexdigest()


def without_similar(answer: dict[str, Any]) -> dict[str, Any]:
    """Return an answer without the similar tickets in its explanation."""
    explanation = answer.get("explanation")
    return {**answer, "explanation": {**explanation, "similar": []}} if explanation else answer


def dump(document: object) -> str:
    """Write a document as compact, strict JSON text."""
    return json.dumps(document, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
