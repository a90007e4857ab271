"""Forgetting: one ticket on request, and everything past its retention; what is gone is gone from the files too."""

from __future__ import annotations

import json
import re
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, CursorResult, Delete, and_, delete, false, func, or_, select, text, update
from sqlalchemy.orm import Session

from api.http.exceptions import NotFound
from api.store.idempotency import IdempotencyKeys
from api.store.outbox import ASKED, CHANGES, DEAD, KEPT, SAID, SENT, UNDATED, UPDATE_AGE
from api.store.rows import STORE, dump
from api.store.tables import (
    StoredDecision,
    StoredDelivery,
    StoredEvent,
    StoredFeedback,
    StoredForgotten,
    StoredIdempotencyKey,
    StoredPosition,
    StoredSession,
    StoredTicket,
    StoredUpdate,
)
from api.store.threads.events import route_without_words, without_words
from api.store.work.words import merge
from models.wire import DecisionDocument
from triage.errors import StoreUnavailable
from triage.ticket import Ticket

IDEMPOTENCY_AGE = timedelta(hours=24)
"""How long an `Idempotency-Key` is remembered: as long as Stripe promises, and longer than clients try again."""
RESTORED = (STORE, "restored")
"""Under this place and name the store keeps which backup was put in its place last, by an id of its own."""
_DELIVERY_AGE = timedelta(days=2)
_UNDATED_DELIVERY_AGE = timedelta(days=400)
"""A webhook whose signature states no moment could be sent again at any time, and an old correction undo a newer one:
more than a year's are remembered."""
_SCRUBS = 20
_PAGE = 500
"""How many rows are read or removed at once, so that whoever else writes gets in between."""
_TICKET_ID = re.compile(r'"ticket_id":("(?:[^"\\]|\\.)*")')


@dataclass(frozen=True)
class Forgotten:
    """What `forget` removed: texts of a ticket, words in decisions, remarks in feedback, mentions in other decisions.

    Attributes:
        revisions: Revisions of the ticket whose text is gone.
        decisions: Decisions whose explanation is gone.
        remarks: Feedback whose reason and comment are gone.
        mentions: Decisions about other tickets that listed this one as similar.
        embeddings: Vectors of the texts that are gone.
        scrubbed: Whether what was removed has left the files too.
    """

    revisions: int
    decisions: int
    remarks: int
    mentions: int
    embeddings: int = 0
    scrubbed: bool = True


@dataclass(frozen=True)
class Expired:
    """How many rows `expire` removed, what went with them elsewhere, and whether their words have left the files too.

    Mentions, embeddings and proposals are as in `Forgotten` and `Outside`.
    """

    tickets: int = 0
    decisions: int = 0
    idempotency_keys: int = 0
    deliveries: int = 0
    updates: int = 0
    sessions: int = 0
    mentions: int = 0
    embeddings: int = 0
    proposals: int = 0
    scrubbed: bool = True

    def document(self) -> dict[str, int]:
        """Return the numbers as a JSON document."""
        return {name: count for name, count in asdict(self).items() if name != "scrubbed"}


ForgetTexts = Callable[[Sequence[str]], int]
"""Removes what is kept of texts outside the store, such as their vectors, and returns how many it removed."""


@dataclass(frozen=True)
class Outside:
    """What removes what is kept outside the store of tickets that are past their time.

    Attributes:
        texts: Given texts as the model read them, removes their vectors.
        tickets: Given ids of tickets, removes proposals of knowledge made of them, and returns how many.
    """

    texts: ForgetTexts
    tickets: Callable[[Sequence[str]], int]


class Erasure(IdempotencyKeys):
    """The part of the repository that removes things."""

    _owes_scrub = False

    def forget(self, ticket_id: str, source: str | None = None, outside: ForgetTexts | None = None) -> Forgotten:
        """Remove a ticket's texts and everything made of them; its labels and what people decided stay, without words.

        One that is only in the history loses its title where decisions about others list it as similar, whatever
        helpdesk is named: the history does not say whose its tickets are. The id is kept, so that no backup that is
        restored brings the words back.

        Args:
            ticket_id: The helpdesk's id of the ticket.
            source: The helpdesk; every one where not given.
            outside: Given the texts as the model read them, before they are gone for good: what it fails to remove
                could never be removed later. An error of its own leaves the ticket as it was.

        Raises:
            NotFound: There is no such ticket, and no decision names it.
            StoreUnavailable: Nothing was removed from the store.
        """
        with self.database.writing() as session:
            self.database.unhurried(session)
            query = select(StoredTicket).where(StoredTicket.ticket_id == ticket_id)
            query = query.where(StoredTicket.source == source) if source else query
            desks = session.scalars(query.with_only_columns(StoredTicket.source).distinct())
            # What is on its way to the ticket waits, and then finds it gone.
            places = [f"ticket {desk} {ticket_id}" for desk in desks]
            self.database.serialise(session, f"forget {ticket_id}", *places)
            tickets = list(session.scalars(query))
            mentions = _strip_mentions(session, ticket_id)
            if not tickets and not mentions:
                raise NotFound(
                    "no-such-ticket",
                    "no such ticket in the store: see GET /v1/decisions for the ids that it has; one that is only in "
                    "the history is forgotten by training without it",
                )
            texts = [text for row in tickets for text in Ticket(subject=row.subject, body=row.body).readings]
            decisions = _strip_decisions(session, [ticket.seq for ticket in tickets])
            remarks = _strip_remarks(session, decisions)
            session.execute(delete(StoredUpdate).where(_updates_about(ticket_id, source)))
            _strip_events(session, [ticket.seq for ticket in tickets])
            for ticket in tickets:
                _blank(ticket)
            session.merge(StoredForgotten(source=source or "", ticket_id=ticket_id, forgotten_at=datetime.now(UTC)))
            session.flush()
            vectors = outside(texts) if outside is not None else 0
            done = Forgotten(len(tickets), len(decisions), remarks, mentions, embeddings=vectors)
        return replace(done, scrubbed=self.scrub())

    def restored(self) -> str | None:
        """Return what changes whenever a backup is put in place of what the store had; None where none ever was.

        Raises:
            StoreUnavailable: The store does not answer.
        """
        with self.database.reading() as session:
            return restored_in(session)

    def erasures(self) -> tuple[datetime | None, tuple[int, datetime] | None, str | None]:
        """Return what changes where texts are forgotten, past their time or gone with a restored backup.

        That is when the last ticket was forgotten, the oldest one, and which backup was restored last. A number alone
        is no mark: where none is left, SQLite begins anew.

        Raises:
            StoreUnavailable: The store does not answer.
        """
        with self.database.reading() as session:
            last = session.scalar(
                select(func.max(StoredTicket.forgotten_at)).where(StoredTicket.forgotten_at.is_not(None))
            )
            oldest = select(StoredTicket.seq, StoredTicket.received_at).order_by(StoredTicket.seq).limit(1)
            row = session.execute(oldest).first()
            return last, None if row is None else (row.seq, row.received_at), restored_in(session)

    def expire(
        self,
        older_than: timedelta | None,
        keys_older_than: timedelta = IDEMPOTENCY_AGE,
        outside: Outside | None = None,
    ) -> Expired:
        """Remove what is past its time, tickets with all that `forget` would remove of them.

        Proposals and titles elsewhere go before the tickets themselves, whose ids and texts alone tell which they are:
        where this is cut short, the next round finds what is left.

        Args:
            older_than: Age from which tickets go, with their decisions and feedback; None keeps them all.
            keys_older_than: Age from which idempotency keys go.
            outside: Removes what is kept of the tickets outside the store; nothing is looked for where not given.

        Raises:
            StoreUnavailable: Not all of it was removed.
        """
        now = datetime.now(UTC)
        done = self._expire_notes(now, keys_older_than)
        if older_than is not None:
            until = now - older_than
            gone = self._going(until)
            done = replace(
                done,
                proposals=outside.tickets(gone) if outside is not None and gone else 0,
                mentions=self._strip_all_mentions(frozenset(gone), until) if gone else 0,
            )
            done = self._expire_tickets(until, done, outside.texts if outside is not None else None)
        return replace(done, scrubbed=self.scrub()) if done.tickets or self._owes_scrub else done

    def _expire_notes(self, now: datetime, keys_older_than: timedelta) -> Expired:
        """Remove what is past its time but for tickets."""
        with self.database.writing() as session:
            self.database.unhurried(session)
            return Expired(
                idempotency_keys=_removed(
                    session,
                    delete(StoredIdempotencyKey).where(StoredIdempotencyKey.created_at < now - keys_older_than),
                ),
                deliveries=_removed(session, _old_deliveries(session, now)),
                updates=_removed(session, _old_updates(now)),
                sessions=_removed(session, delete(StoredSession).where(StoredSession.expires_at <= now)),
            )

    def _going(self, until: datetime) -> list[str]:
        """Return the ids of the tickets all of whose texts came before a moment."""
        ids = select(StoredTicket.ticket_id).where(StoredTicket.ticket_id.is_not(None))
        with self.database.reading() as session:
            self.database.unhurried(session)
            old, young = ids.where(StoredTicket.received_at < until), ids.where(StoredTicket.received_at >= until)
            return [one for one in session.scalars(old.except_(young)) if one is not None]

    def _strip_all_mentions(self, ticket_ids: frozenset[str], since: datetime) -> int:
        """Take tickets out of the similar ones of decisions about texts since then, and return how many listed one.

        The decisions are read through once, a page at a time; nobody waits for it.
        """
        count, last = 0, 0
        listing = StoredDecision.document.contains('"similar":[{', autoescape=True)
        pages = select(StoredDecision.seq, StoredDecision.document).join(StoredTicket)
        pages = pages.where(StoredTicket.received_at >= since, listing).order_by(StoredDecision.seq).limit(_PAGE)
        while True:
            with self.database.reading() as session:
                self.database.unhurried(session)
                page = session.execute(pages.where(StoredDecision.seq > last)).all()
            if not page:
                return count
            last = page[-1].seq
            if named := [row.seq for row in page if not ticket_ids.isdisjoint(_ids_in(row.document))]:
                with self.database.writing() as session:
                    rows = session.scalars(select(StoredDecision).where(StoredDecision.seq.in_(named)))
                    count += sum(_without(row, ticket_ids) for row in rows)

    def _expire_tickets(self, until: datetime, done: Expired, forget_texts: ForgetTexts | None) -> Expired:
        """Remove the tickets that came before a moment, a page at a time, and what is kept of their texts first."""
        old = select(StoredTicket).where(StoredTicket.received_at < until).order_by(StoredTicket.seq).limit(_PAGE)
        while True:
            with self.database.writing() as session:
                self.database.unhurried(session)
                page = list(session.scalars(old))
                if not page:
                    return done
                seqs = [row.seq for row in page]
                texts = [one for row in page for one in Ticket(subject=row.subject, body=row.body).readings]
                decided = select(func.count()).where(StoredDecision.ticket_seq.in_(seqs))
                done = replace(
                    done,
                    decisions=done.decisions + (session.scalar(decided) or 0),
                    tickets=done.tickets + _removed(session, delete(StoredTicket).where(StoredTicket.seq.in_(seqs))),
                    embeddings=done.embeddings + (forget_texts(texts) if forget_texts is not None else 0),
                )

    def scrub(self) -> bool:
        """Take what was deleted out of the files: SQLite merges its index and empties its log, PostgreSQL vacuums.

        What was deleted stays so where that cannot be done now, as long as somebody else holds the store: it is said,
        and the next `expire` tries again.
        """
        try:
            done = self._scrubbed()
        except StoreUnavailable:
            done = False
        self._owes_scrub = not done
        return done

    def _scrubbed(self) -> bool:
        merge(self.database)
        with self.database.outside_transactions() as connection:
            if self.database.dialect == "postgresql":
                for table in ("tickets", "decisions", "feedback", "updates", "ticket_events"):
                    connection.execute(text(f"VACUUM {table}"))
                return True
            driver: Any = connection.connection.dbapi_connection
            for _ in range(_SCRUBS):
                if driver.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0:
                    return True
                time.sleep(0.1)  # somebody still reads an older state
            return False


def restored_in(session: Session) -> str | None:
    """Return which backup was put last in place of what the store had, by an id that is made anew each time."""
    row = session.get(StoredPosition, RESTORED)
    return row.value if row is not None else None


def forget_again(session: Session, gone: StoredForgotten) -> None:
    """Remove from rows that a backup has brought back what was forgotten since it was taken.

    What came after the ticket was forgotten stays: the helpdesk has sent it anew.

    Args:
        session: Of the transaction that restores.
        gone: What was forgotten, and when; it is noted anew.
    """
    mine = (
        StoredTicket.ticket_id == gone.ticket_id,
        StoredTicket.received_at <= gone.forgotten_at,
        StoredTicket.forgotten_at.is_(None),
    )
    theirs = (StoredTicket.source == gone.source,) if gone.source else ()
    session.execute(delete(StoredTicket).where(*mine, *theirs))
    queued = StoredUpdate.created_at <= gone.forgotten_at
    session.execute(delete(StoredUpdate).where(_updates_about(gone.ticket_id, gone.source), queued))
    _strip_mentions(session, gone.ticket_id, until=gone.forgotten_at)
    session.merge(gone)
    session.flush()


def _updates_about(ticket_id: str, source: str | None) -> ColumnElement[bool]:
    """Return the condition of updates about a ticket: of one helpdesk where it is named, else of all."""
    mine = StoredUpdate.ticket_id == ticket_id
    return mine & (StoredUpdate.target == source) if source else mine


def _blank(ticket: StoredTicket) -> None:
    ticket.subject = ticket.body = ""
    ticket.attributes, ticket.requester, ticket.channel, ticket.language = "{}", None, None, None
    ticket.digest = secrets.token_hex(32)  # the digest of a short text would give the text away
    ticket.forgotten_at = datetime.now(UTC)


def _strip_decisions(session: Session, tickets: list[int]) -> list[str]:
    decisions = list(session.scalars(select(StoredDecision).where(StoredDecision.ticket_seq.in_(tickets))))
    for row in decisions:
        row.document = DecisionDocument.model_validate_json(row.document).without_explanation().model_dump_json()
    return [row.id for row in decisions]


def _strip_events(session: Session, tickets: list[int]) -> None:
    for row in session.scalars(select(StoredEvent).where(StoredEvent.ticket_seq.in_(tickets))):
        row.event, row.route = without_words(row.event), route_without_words(row.route)


def _strip_remarks(session: Session, decisions: list[str]) -> int:
    said = StoredFeedback.decision_id.in_(decisions) & (
        StoredFeedback.reason.is_not(None) | StoredFeedback.comment.is_not(None)
    )
    return _removed(session, update(StoredFeedback).where(said).values(reason=None, comment=None))


def _ids_in(document: str) -> set[str]:
    """Return the ids of tickets that stand in a decision, without reading all of it."""
    return {json.loads(found) for found in _TICKET_ID.findall(document)}


def _without(row: StoredDecision, ticket_ids: frozenset[str]) -> bool:
    """Take tickets out of the similar ones of a decision, and say whether one was there."""
    document = left = DecisionDocument.model_validate_json(row.document)
    for ticket_id in ticket_ids & _ids_in(row.document):
        left = left.without_similar_ticket(ticket_id)
    if left == document:
        return False
    row.document = left.model_dump_json()
    return True


def _strip_mentions(session: Session, ticket_id: str, until: datetime | None = None) -> int:
    """Take the ticket out of the similar tickets of decisions about others, made until then: its title stands there."""
    mentioned = StoredDecision.document.contains(dump({"ticket_id": ticket_id})[1:-1], autoescape=True)
    query = select(StoredDecision).where(mentioned)
    rows = list(session.scalars(query.where(StoredDecision.created_at <= until) if until else query))
    return sum(_without(row, frozenset({ticket_id})) for row in rows)


def _old_deliveries(session: Session, now: datetime) -> Delete:
    stays = or_(StoredDelivery.id.startswith(UNDATED), _is_listed_again(session))
    gone = or_(
        and_(~stays, StoredDelivery.received_at < now - _DELIVERY_AGE),
        StoredDelivery.received_at < now - _UNDATED_DELIVERY_AGE,
    )
    return delete(StoredDelivery).where(gone)


def _is_listed_again(session: Session) -> ColumnElement[bool]:
    """Return the condition of what a helpdesk that is asked may list again: its changes since it was last read on."""
    query = select(StoredPosition.source, StoredPosition.updated_at).where(StoredPosition.name == CHANGES)
    asked = or_(*(StoredDelivery.id.startswith(prefix) for prefix in ASKED))
    return or_(
        false(),
        *(
            and_(asked, StoredDelivery.source == source, StoredDelivery.received_at >= moved_at - _DELIVERY_AGE)
            for source, moved_at in session.execute(query)
        ),
    )


def _old_updates(now: datetime) -> Delete:
    done = or_(
        and_(StoredUpdate.state.in_((SENT, SAID)), StoredUpdate.sent_at < now - UPDATE_AGE),
        and_(StoredUpdate.state == KEPT, StoredUpdate.created_at < now - UPDATE_AGE),
        and_(StoredUpdate.state == DEAD, StoredUpdate.due_at < now - UPDATE_AGE),
    )
    return delete(StoredUpdate).where(done)


def _removed(session: Session, statement: object) -> int:
    result = session.execute(statement)  # type: ignore[call-overload]
    return int(result.rowcount) if isinstance(result, CursorResult) else 0
