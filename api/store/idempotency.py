"""Idempotency: what a request with an `Idempotency-Key` was answered with, so that a retry gets the same."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import delete
from sqlalchemy.orm import Session

from api.http.exceptions import KeyReused
from api.privacy.redact import Redactor
from api.store.database import Database
from api.store.rows import Attempt, dump
from api.store.tables import StoredAttempt
from triage.ticket import Ticket


class IdempotencyKeys:
    """The ground of the repository: the database, idempotency, and the form in which texts are kept.

    Args:
        database: Where everything is kept.
        redactor: Takes personal data and secrets out of a text before it is stored; None stores it as it came.
    """

    def __init__(self, database: Database, redactor: Redactor | None = None) -> None:
        self.database = database
        self.redactor = redactor

    def refs_of(self, session: Session, attempt: Attempt) -> list[str] | None:
        """Return the ids of the rows that an attempt was answered with, or None where it is new.

        Raises:
            KeyReused: The key was used for another request.
        """
        earlier = session.get(StoredAttempt, (attempt.owner, attempt.key))
        if earlier is None:
            return None
        if earlier.digest != attempt.digest:
            raise KeyReused(
                "idempotency-key-reused",
                "this Idempotency-Key was used for another request: its body or path differs; send a fresh key",
            )
        return list(json.loads(earlier.refs))

    def drop(self, session: Session, attempt: Attempt) -> None:
        """Forget in the same transaction what an attempt was answered with: it is past its retention."""
        session.execute(
            delete(StoredAttempt).where(StoredAttempt.owner == attempt.owner, StoredAttempt.key == attempt.key)
        )

    def remember(self, session: Session, attempt: Attempt, kind: str, refs: Sequence[str]) -> None:
        """Note in the same transaction what an attempt was answered with."""
        row = StoredAttempt(
            owner=attempt.owner,
            key=attempt.key,
            digest=attempt.digest,
            kind=kind,
            refs=dump(list(refs)),
            created_at=datetime.now(UTC),
        )
        session.add(row)

    def stored_form(self, ticket: Ticket) -> Ticket:
        """Return a ticket as it is kept: redacted where the store is told to."""
        if self.redactor is None:
            return ticket
        redact = self.redactor.redact
        attributes = {name: redact(value) for name, value in ticket.attributes.items()}
        requester = redact(ticket.requester) if ticket.requester else ticket.requester
        return replace(
            ticket, subject=redact(ticket.subject), body=redact(ticket.body), requester=requester, attributes=attributes
        )

    def stored_answer(self, answer: Mapping[str, Any], ticket: Ticket) -> dict[str, Any]:
        """Return an answer as it is kept: with redaction, its explanation has no word that the kept ticket lacks."""
        if self.redactor is None or "explanation" not in answer:
            return dict(answer)
        left = ticket.folded
        explanation = dict(answer["explanation"])
        for name in ("terms", "against"):
            if name in explanation:
                explanation[name] = [item for item in explanation[name] if str(item.get("term", "")).lower() in left]
        if "similar" in explanation:
            redact = self.redactor.redact
            explanation["similar"] = [
                {**near, "title": redact(near.get("title", ""))} for near in explanation["similar"]
            ]
        return {**answer, "explanation": explanation}
