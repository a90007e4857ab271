"""Decisions in the store: recorded once for each text of a ticket, found again, listed."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, NamedTuple
from uuid import uuid4

from sqlalchemy import Connection, bindparam, func, insert, select, tuple_
from sqlalchemy.orm import Session, joinedload

from api.store.database import Prepared
from api.store.idempotency import IdempotencyKeys
from api.store.rows import (
    KEYS,
    DecisionRow,
    FeedbackRow,
    IdempotencyKey,
    NewDecision,
    Words,
    digest_of,
    dump,
    is_aside,
    step_decided,
)
from api.store.tables import Base, StoredDecision, StoredFeedback, StoredForestalled, StoredTicket
from api.store.threads.happened import happened_to, places_with_events
from api.store.threads.sensitivity import inherited
from api.store.work.entries import enter
from api.store.work.tables import StoredEntry
from models.wire import DecisionDocument, RouteDocument
from triage.escalation.standing import Place, Step
from triage.ticket import Ticket, marks_sensitive

# What every new ticket takes is stated once, and without objects that follow their rows: building a statement takes
# longer than the database takes to answer it.
_TICKETS = Base.metadata.tables[StoredTicket.__tablename__]
_DECISIONS = Base.metadata.tables[StoredDecision.__tablename__]
_NEW_TICKET = Prepared(
    insert(_TICKETS),
    [column.name for column in _TICKETS.c if column.name not in ("seq", "forgotten_at")],
    _TICKETS.c.seq,
)
_NEW_DECISION = Prepared(
    insert(_DECISIONS), [column.name for column in _DECISIONS.c if column.name != "seq"], _DECISIONS.c.seq
)
_TEXTS = Prepared(
    select(_TICKETS.c.seq, _TICKETS.c.digest, _TICKETS.c.revision, _TICKETS.c.forgotten_at).where(
        _TICKETS.c.source == bindparam("source"), _TICKETS.c.ticket_id == bindparam("ticket_id")
    ),
    ["source", "ticket_id"],
)


class Decisions(IdempotencyKeys):
    """The part of the repository that keeps decisions."""

    def decided_as(
        self, session: Session, tickets: Sequence[Ticket], source: str
    ) -> list[tuple[bool, DecisionRow | None, object]]:
        """Say of each ticket whether the store has any text of it, and return the decision about the same one, or None.

        The route that a person set on the ticket stands in it. Last comes what changes whenever a text of the ticket is
        forgotten.
        """
        texts = _texts_of_all(session.connection(), source, {ticket.id for ticket in tickets if ticket.id})
        same = [self._same_text(ticket, texts.get(ticket.id, ())) for ticket in tickets]
        stored = _latest_of(session, {text.seq for text in same if text is not None})
        rows = zip(stored, _answers(session, [decision_row(one) for one in stored]), strict=True)
        decided = {one.ticket_seq: row for one, row in rows}
        return [
            (
                ticket.id in texts,
                decided.get(text.seq) if text is not None else None,
                _erasure(texts.get(ticket.id, ())),
            )
            for ticket, text in zip(tickets, same, strict=True)
        ]

    def _same_text(self, ticket: Ticket, texts: Sequence[_Text]) -> _Text | None:
        """Return the one of a ticket's texts that is the same as it came in now, or None."""
        digest = digest_of(self.kept_ticket(ticket)) if texts else ""
        return next((one for one in texts if one.digest == digest), None)

    def record(
        self,
        decisions: Sequence[NewDecision],
        *,
        source: str = KEYS,
        key_id: str | None = None,
        idempotency_key: IdempotencyKey | None = None,
        patience_s: float | None = None,
    ) -> list[DecisionRow]:
        """Commit decisions in one transaction, and return them in the same order as they stand in the store.

        The same ticket id with the same text keeps its first decision, whatever the new one says; with another text it
        becomes a new revision. A decision that was made without a model gives way to one that a model took part in.
        The route that a person set on a ticket stands in whatever is returned about it.

        Args:
            decisions: Tickets and what was decided about them.
            source: The helpdesk that the ticket ids belong to.
            key_id: Who asked.
            idempotency_key: The request's; where it was answered before, those decisions are returned.
            patience_s: How long to wait for the turn to write.

        Raises:
            KeyReused: The idempotency key was used for another request.
            StoreUnavailable: Nothing was recorded.
        """
        kept = [self.kept_ticket(new.ticket) for new in decisions]
        names = [f"ticket {source} {ticket.id}" for ticket in kept if ticket.id]
        with self.database.writing(patience_s) as session:
            self.database.serialise(session, *names, *([idempotency_key.lock] if idempotency_key else []))
            earlier = self._answered(session, idempotency_key) if idempotency_key else None
            if earlier is not None:
                return earlier
            rows = [
                self._keep(session, new, ticket, source=source, key_id=key_id)
                for new, ticket in zip(decisions, kept, strict=True)
            ]
            if idempotency_key:
                self.drop(session, idempotency_key)
                self.remember(session, idempotency_key, "decisions", [row.id for row in rows])
            return _answers(session, rows)

    def note_forestalled(self, stands: Mapping[str, str]) -> None:
        """Note that ids which were answered lead to the decisions that stood before; see `decision`.

        Args:
            stands: By each such id, that of the decision which stands.

        Raises:
            StoreUnavailable: Nothing was noted.
        """
        with self.database.writing() as session:
            for answered, decision_id in stands.items():
                session.merge(StoredForestalled(id=answered, decision_id=decision_id))

    def replay(self, idempotency_key: IdempotencyKey) -> list[DecisionRow] | None:
        """Return the decisions that a request with this idempotency key was answered with before, or None.

        Raises:
            KeyReused: The key was used for another request.
            StoreUnavailable: The store does not answer.
        """
        with self.database.reading() as session:
            return self._answered(session, idempotency_key)

    def decision(self, decision_id: str) -> DecisionRow | None:
        """Return one decision with its ticket, all feedback and the ids of the ticket's decisions, oldest first.

        An id that was answered before it was known that an earlier decision stands leads to that one.
        """
        with self.database.reading() as session:
            row = session.scalar(select(StoredDecision).where(StoredDecision.id == decision_id)) or session.scalar(
                select(StoredDecision)
                .join(StoredForestalled, StoredForestalled.decision_id == StoredDecision.id)
                .where(StoredForestalled.id == decision_id)
            )
            if row is None:
                return None
            ids, marked = [row.id], _is_marked(row.ticket.attributes)
            if row.ticket.ticket_id is not None:
                same = (StoredTicket.source == row.ticket.source, StoredTicket.ticket_id == row.ticket.ticket_id)
                query = select(StoredDecision.id, StoredTicket.attributes).join(StoredTicket).where(*same)
                texts = list(session.execute(query.order_by(StoredDecision.seq)))
                ids, marked = [one for one, _ in texts], any(_is_marked(attributes) for _, attributes in texts)
            said = feedback_by_decision(session, [row.id]).get(row.id, ())
            found = replace(decision_row(row, said, tuple(ids)), marked=marked)
            return _placed(session, shown_rows(session, [found]))[0]

    def decisions_about(self, ticket_ids: Collection[str]) -> dict[str, str]:
        """Return the id of the newest decision about each of the tickets that the store has."""
        query = (
            select(StoredTicket.ticket_id, StoredDecision.id)
            .join(StoredDecision, StoredDecision.ticket_seq == StoredTicket.seq)
            .where(StoredTicket.ticket_id.in_(ticket_ids))
            .order_by(StoredDecision.seq)
        )
        with self.database.reading() as session:
            return {ticket_id: decision_id for ticket_id, decision_id in session.execute(query) if ticket_id}

    def latest(
        self,
        limit: int = 50,
        *,
        before: str | None = None,
        ticket_id: str | None = None,
        source: str | None = None,
        open_only: bool = False,
    ) -> list[DecisionRow]:
        """Return the newest decisions, newest first.

        Args:
            limit: Most rows to return.
            before: Id of a decision: only older ones are returned; an unknown id returns none.
            ticket_id: Only the decisions about this ticket.
            source: Only the decisions about tickets of this helpdesk.
            open_only: Only decisions that nobody has said anything about.
        """
        query = select(StoredDecision).order_by(StoredDecision.seq.desc()).limit(limit)
        if before is not None:
            query = query.where(
                StoredDecision.seq < select(StoredDecision.seq).where(StoredDecision.id == before).scalar_subquery()
            )
        query = query.join(StoredTicket)
        if ticket_id is not None:
            query = query.where(StoredTicket.ticket_id == ticket_id)
        if source is not None:
            query = query.where(StoredTicket.source == source)
        if open_only:
            query = query.where(
                ~select(StoredFeedback.seq).where(StoredFeedback.decision_id == StoredDecision.id).exists()
            )
        with self.database.reading() as session:
            rows = list(session.scalars(query))
            said = feedback_by_decision(session, [row.id for row in rows])
            return _placed(session, shown_rows(session, [decision_row(row, said.get(row.id, ())) for row in rows]))

    def _answered(self, session: Session, key: IdempotencyKey) -> list[DecisionRow] | None:
        """Return what a request was answered with; None where it is new, or its decisions are past their retention."""
        refs = self.refs_of(session, key)
        rows = _by_ids(session, refs) if refs is not None else []
        if refs is None or len(rows) < len(refs):
            return None
        return _answers(session, [decision_row(row) for row in rows])

    def _keep(
        self, session: Session, new: NewDecision, ticket: Ticket, *, source: str, key_id: str | None
    ) -> DecisionRow:
        digest, now = digest_of(ticket), datetime.now(UTC)
        connection = session.connection()
        texts = _texts_of(connection, source, ticket.id) if ticket.id else []
        same = next((one for one in texts if one.digest == digest), None)
        earlier = next(iter(_latest_of(session, {same.seq})), None) if same is not None else None
        if earlier is not None and (earlier.model_version is not None or new.document.model_version is None):
            return decision_row(earlier)
        if same is None:
            revision = max((one.revision for one in texts), default=0) + 1
            same = _new_ticket(connection, ticket, source=source, text=(digest, revision), now=now)
        earlier_texts = [one.seq for one in texts]
        sensitive = inherited(connection, earlier_texts, sensitive=new.sensitive) if texts else new.sensitive
        document = self.kept_document(new.document, ticket)
        if new.grown and new.erasure != _erasure(texts):
            document = document.without_explanation()
        if document.decision_id is None:
            document = document.model_copy(update={"decision_id": str(uuid4())})
        row = DecisionRow(
            id=str(document.decision_id),
            document=document,
            ticket_id=ticket.id or None,
            source=source,
            revision=same.revision,
            subject=ticket.subject,
            body=ticket.body,
            channel=ticket.channel,
            sensitive=sensitive,
            clearance=new.clearance,
            forgotten=False,
            created_at=now,
            created=True,
            marked=ticket.is_marked_sensitive,
            has_history=bool(texts),
        )
        seq = _new_decision(connection, row, same.seq, key_id)
        about = (source, ticket.id) if texts else None
        line = _line(session, row) if texts else document
        aside = is_aside(source, ticket.requester)
        enter(connection, seq, line, about=about, aside=aside)
        return row


def _line(session: Session, row: DecisionRow) -> DecisionDocument:
    """Return what the queue says of a ticket that was known before: where a person put it, and its alarms."""
    place = (row.source, row.ticket_id or "")
    spoken = words_on(session, [place]).get(place)
    if spoken is None:
        return row.document
    return spoken.since(row).model_copy(update=dict(spoken.route or row.document.route))


def feedback_by_decision(session: Session, ids: Sequence[str]) -> dict[str, tuple[FeedbackRow, ...]]:
    """Return all feedback on some decisions, oldest first."""
    said: dict[str, list[FeedbackRow]] = {}
    query = select(StoredFeedback).where(StoredFeedback.decision_id.in_(ids)).order_by(StoredFeedback.seq)
    for row in session.scalars(query) if ids else ():
        said.setdefault(row.decision_id, []).append(feedback_row(row))
    return {decision: tuple(rows) for decision, rows in said.items()}


def words_on(session: Session, tickets: Collection[tuple[str, str]]) -> dict[tuple[str, str], Words]:
    """Return what people said of some tickets, by source and ticket id; tickets without a word are left out."""
    if not tickets:
        return {}
    query = (
        select(StoredFeedback, StoredDecision)
        .join(StoredDecision, StoredFeedback.decision_id == StoredDecision.id)
        .join(StoredTicket, StoredDecision.ticket_seq == StoredTicket.seq)
        .where(tuple_(StoredTicket.source, StoredTicket.ticket_id).in_(list(tickets)))
        .order_by(StoredFeedback.seq)
    )
    said: dict[tuple[str, str], list[FeedbackRow]] = {}
    decided: dict[tuple[str, str], dict[str, Step]] = {}
    happened = happened_to(session, tickets)
    for feedback, decision in session.execute(query):
        place = (decision.ticket.source, decision.ticket.ticket_id or "")
        said.setdefault(place, []).append(feedback_row(feedback))
        about = decided.setdefault(place, {})
        if decision.id not in about:
            document = DecisionDocument.model_validate_json(decision.document)
            about[decision.id] = step_decided(decision.id, document, decision.created_at)
    return {
        place: Words.of(said.get(place, ()), decided.get(place, {}).values(), happened.get(place, ()))
        for place in {**said, **happened}
    }


def words_of(session: Session, decision: StoredDecision) -> Words:
    """Return what people said of the ticket of a decision, and what happened to it."""
    source, ticket_id = decision.ticket.source, decision.ticket.ticket_id
    if ticket_id is not None:
        return words_on(session, [(source, ticket_id)]).get((source, ticket_id), Words())
    row = decision_row(decision, feedback_by_decision(session, [decision.id]).get(decision.id, ()))
    return Words.of(row.feedback, [step_decided(row.id, row.document, row.created_at)])


def newest_about(session: Session, decision: StoredDecision) -> StoredDecision:
    """Return the newest decision about the ticket of one."""
    source, ticket_id = decision.ticket.source, decision.ticket.ticket_id
    if ticket_id is None:
        return decision
    same = (StoredTicket.source == source, StoredTicket.ticket_id == ticket_id)
    query = select(StoredDecision).join(StoredTicket).where(*same).order_by(StoredDecision.seq.desc()).limit(1)
    return session.scalars(query).one()


def _places(rows: Sequence[DecisionRow]) -> set[tuple[str, str]]:
    return {(row.source, row.ticket_id) for row in rows if row.ticket_id}


def _answers(session: Session, rows: list[DecisionRow]) -> list[DecisionRow]:
    """Return decisions as they are answered now: the route that a person set on a ticket stands in them."""
    places = _places([row for row in rows if row.has_history or not row.created])
    words, eventful = words_on(session, places), places_with_events(session, places)
    rows = [_with_history(row, has_events=(row.source, row.ticket_id) in eventful) for row in rows]
    return [_under(row, words, shown=False) for row in rows]


def _with_history(row: DecisionRow, *, has_events: bool) -> DecisionRow:
    return replace(row, has_history=row.revision > 1 or has_events, has_events=has_events)


def shown_rows(session: Session, rows: list[DecisionRow]) -> list[DecisionRow]:
    """Return decisions as they are shown: a route that a person set before, on another text of the ticket, stands.

    So does where the machine sent the ticket since, and what must not wait that came up meanwhile.
    """
    words = words_on(session, _places(rows))
    return [_under(row, words, shown=True) for row in rows]


def _under(row: DecisionRow, words: dict[tuple[str, str], Words], *, shown: bool) -> DecisionRow:
    spoken = words.get((row.source, row.ticket_id or ""))
    if spoken is None:
        return row
    row = replace(row, set_route=spoken.route)
    route, document = spoken.before(row) if shown else spoken.route, spoken.since(row)
    document = document if shown else document.answered()
    said = tuple(one for one in spoken.ever if one.decision_id == row.id)
    return replace(
        row, document=document if route is None else document.under(route), feedback=said, said_of_ticket=spoken.ever
    )


def _placed(session: Session, rows: list[DecisionRow]) -> list[DecisionRow]:
    """Return decisions with where lists find them."""
    query = select(StoredEntry).where(StoredEntry.decision_id.in_([row.id for row in rows]))
    found = {entry.decision_id: entry.route for entry in session.scalars(query)} if rows else {}
    return [replace(row, stands=found.get(row.id)) for row in rows]


def standing_routes(session: Session, decision: StoredDecision) -> dict[int, RouteDocument]:
    """Return where the ticket of a decision stands, for each line that what is said of it may move.

    These are its own and that of the newest decision about the ticket, by running number.
    """
    words, newest = words_of(session, decision), newest_about(session, decision)
    return {one.seq: words.standing(decision_row(one), newest=one.seq == newest.seq) for one in (decision, newest)}


def feedback_row(row: StoredFeedback) -> FeedbackRow:
    """Turn a live row into a plain value."""
    names = (
        "id",
        "decision_id",
        "verdict",
        "tier",
        "category",
        "agent",
        "key_id",
        "reason",
        "comment",
        "undoes",
        "created_at",
        "resolver_group",
    )
    labels = None if row.labels is None else json.loads(row.labels)
    puts, values = Place(row.tier, row.category, row.resolver_group), {name: getattr(row, name) for name in names}
    if row.verdict == "corrected" and labels is not None:
        values |= {"tier": labels.get("tier"), "category": labels.get("category")}
    return FeedbackRow(**values, labels=labels, puts=puts)


class _Text(NamedTuple):
    """A text that a ticket has had, without its words."""

    seq: int
    digest: str
    revision: int
    forgotten_at: Any = None
    """As the driver of the database tells it: only ever compared."""


def _erasure(texts: Sequence[_Text]) -> object:
    """Return what changes whenever one of these texts is forgotten."""
    return max((text.forgotten_at for text in texts if text.forgotten_at is not None), default=None)


def _texts_of(connection: Connection, source: str, ticket_id: str) -> list[_Text]:
    return [_Text._make(row) for row in _TEXTS.run(connection, {"source": source, "ticket_id": ticket_id})]


def _texts_of_all(connection: Connection, source: str, ticket_ids: Collection[str]) -> dict[str, list[_Text]]:
    """Return the texts of each of these tickets that has any; a lone ticket is asked for with the prepared query."""
    if len(ticket_ids) == 1:
        [ticket_id] = ticket_ids
        texts = _texts_of(connection, source, ticket_id)
        return {ticket_id: texts} if texts else {}
    columns = (_TICKETS.c.seq, _TICKETS.c.digest, _TICKETS.c.revision, _TICKETS.c.forgotten_at)
    query = select(_TICKETS.c.ticket_id, *columns).where(
        _TICKETS.c.source == source, _TICKETS.c.ticket_id.in_(ticket_ids)
    )
    found: dict[str, list[_Text]] = {}
    for row in connection.execute(query) if ticket_ids else ():
        found.setdefault(row[0], []).append(_Text._make(row[1:]))
    return found


def _latest_of(session: Session, ticket_seqs: Collection[int]) -> list[StoredDecision]:
    """Return the newest decision about each of these texts that has one."""
    if not ticket_seqs:
        return []
    query = select(StoredDecision).options(joinedload(StoredDecision.ticket))
    if len(ticket_seqs) == 1:
        [ticket_seq] = ticket_seqs
        mine = query.where(StoredDecision.ticket_seq == ticket_seq)
        return list(session.scalars(mine.order_by(StoredDecision.seq.desc()).limit(1)))
    newest = (
        select(func.max(StoredDecision.seq))
        .where(StoredDecision.ticket_seq.in_(ticket_seqs))
        .group_by(StoredDecision.ticket_seq)
    )
    return list(session.scalars(query.where(StoredDecision.seq.in_(newest))))


def _new_ticket(connection: Connection, ticket: Ticket, *, source: str, text: tuple[str, int], now: datetime) -> _Text:
    """Insert a ticket; `text` is the digest of what it says, and which of its texts this is."""
    digest, revision = text
    values = {
        "source": source,
        "ticket_id": ticket.id or None,
        "revision": revision,
        "digest": digest,
        "subject": ticket.subject,
        "body": ticket.body,
        "channel": ticket.channel,
        "language": ticket.language,
        "requester": ticket.requester,
        "attributes": dump(dict(ticket.attributes)),
        "opened_at": ticket.opened_at.astimezone(UTC) if ticket.opened_at else None,
        "received_at": now,
    }
    return _Text(_NEW_TICKET.number_of(connection, values), digest, revision)


def _new_decision(connection: Connection, row: DecisionRow, ticket_seq: int, key_id: str | None) -> int:
    document = row.document
    values = {
        "id": row.id,
        "ticket_seq": ticket_seq,
        "key_id": key_id,
        "tier": document.tier,
        "category": document.category,
        "automation": document.automation,
        "reason": document.reason,
        "model_version": document.model_version,
        "sensitive": row.sensitive,
        "clearance": row.clearance,
        "answer": document.model_dump_json(),
        "created_at": row.created_at,
    }
    return _NEW_DECISION.number_of(connection, values)


def _by_ids(session: Session, ids: Sequence[str]) -> list[StoredDecision]:
    rows = {row.id: row for row in session.scalars(select(StoredDecision).where(StoredDecision.id.in_(ids)))}
    return [rows[one] for one in ids if one in rows]


def decision_row(
    row: StoredDecision,
    feedback: tuple[FeedbackRow, ...] = (),
    revisions: tuple[str, ...] = (),
    created: bool = False,
    document: DecisionDocument | None = None,
) -> DecisionRow:
    """Turn a live row with its ticket into a plain value; `document` is what it holds, where that is at hand."""
    ticket = row.ticket
    return DecisionRow(
        id=row.id,
        document=document or DecisionDocument.model_validate_json(row.document),
        ticket_id=ticket.ticket_id,
        source=ticket.source,
        revision=ticket.revision,
        subject=ticket.subject,
        body=ticket.body,
        channel=ticket.channel,
        sensitive=row.sensitive,
        marked=_is_marked(ticket.attributes),
        clearance=row.clearance,
        forgotten=ticket.forgotten_at is not None,
        created_at=row.created_at,
        feedback=feedback,
        revisions=revisions,
        created=created,
    )


def _is_marked(attributes: str) -> bool:
    return marks_sensitive(json.loads(attributes))
