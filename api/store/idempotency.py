"""Idempotency: what a request with an `Idempotency-Key` was answered with, so that a retry gets the same."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

from sqlalchemy import delete
from sqlalchemy.orm import Session

from api.privacy.redact import Redactor
from api.store.database import Database
from api.store.rows import IdempotencyKey, dump
from api.store.tables import StoredIdempotencyKey
from models.wire import DecisionDocument
from triage.ticket import Ticket


class IdempotencyKeys:
    """The ground of the repository: the database, idempotency, and the form in which texts are kept.

    Args:
        database: Where everything is kept.
        redactor: Takes personal data and secrets out of a text before it is stored; None stores it as it came.

    Attributes:
        at_work: Ids of the jobs that run in this process, which are alive though the store may not hear of them.
    """

    def __init__(self, database: Database, redactor: Redactor | None = None) -> None:
        self.database = database
        self.redactor = redactor
        self.at_work: set[str] = set()

    def refs_of(self, session: Session, key: IdempotencyKey) -> list[str] | None:
        """Return the ids of the rows that a request was answered with, or None where it is new.

        Raises:
            KeyReused: The key was used for another request.
        """
        earlier = session.get(StoredIdempotencyKey, (key.owner, key.key))
        if earlier is None:
            return None
        key.check(earlier.digest)
        return list(json.loads(earlier.refs))

    def drop(self, session: Session, key: IdempotencyKey) -> None:
        """Forget in the same transaction what a request was answered with: it is past its retention."""
        session.execute(
            delete(StoredIdempotencyKey).where(
                StoredIdempotencyKey.owner == key.owner, StoredIdempotencyKey.key == key.key
            )
        )

    def remember(self, session: Session, key: IdempotencyKey, kind: str, refs: Sequence[str]) -> None:
        """Note in the same transaction what a request was answered with."""
        row = StoredIdempotencyKey(
            owner=key.owner,
            key=key.key,
            digest=key.digest,
            kind=kind,
            refs=dump(list(refs)),
            created_at=datetime.now(UTC),
        )
        session.add(row)

    def kept_ticket(self, ticket: Ticket) -> Ticket:
        """Return a ticket as it is kept: redacted where the store is told to."""
        if self.redactor is None:
            return ticket
        redact = self.redactor.redact
        attributes = {name: redact(value) for name, value in ticket.attributes.items()}
        requester = redact(ticket.requester) if ticket.requester else ticket.requester
        return replace(
            ticket, subject=redact(ticket.subject), body=redact(ticket.body), requester=requester, attributes=attributes
        )

    def kept_document(self, document: DecisionDocument, ticket: Ticket) -> DecisionDocument:
        """Return a document as it is kept: with redaction, its explanation has no word that the kept ticket lacks."""
        if self.redactor is None:
            return document
        words, redact = ticket.folded, self.redactor.redact
        explanation = document.explanation
        left = {
            "terms": tuple(one for one in explanation.terms if one.term.lower() in words),
            "against": tuple(one for one in explanation.against if one.term.lower() in words),
            "similar": tuple(
                one.model_copy(update={"title": redact(one.title), "ending": redact(one.ending)})
                for one in explanation.similar
            ),
        }
        attention = tuple(one.model_copy(update={"evidence": redact(one.evidence)}) for one in document.attention)
        return document.model_copy(update={"explanation": explanation.model_copy(update=left), "attention": attention})
