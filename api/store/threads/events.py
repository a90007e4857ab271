"""Events of tickets in the store: each taken once and in order, with the route that it led to."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from api.http.exceptions import Contradiction, NotAcceptable, NotFound
from api.store.decisions import Decisions, decision_row, feedback_by_decision, words_of
from api.store.outbox import PendingUpdate, is_overruled, queue_updates
from api.store.rows import KEYS, DecisionRow, dump
from api.store.tables import StoredDecision, StoredEvent, StoredFeedback, StoredTicket
from api.store.threads.happened import alarms_in, step_of
from api.store.threads.sensitivity import withhold
from api.store.work.entries import move
from triage.escalation.standing import Step
from triage.escalation.thread import Event, EventKind, Mover, Route
from triage.normalise import without_images
from triage.ticket import Ticket


class Progress(NamedTuple):
    """What changes whenever a ticket does: the last running numbers of its decisions, feedback and events."""

    decided: int | None
    said: int | None
    happened: int | None


@dataclass(frozen=True)
class StoredThread:
    """A ticket as the store has it.

    Attributes:
        ticket: Its newest text.
        opened_at: When it was opened, as its helpdesk said; None if it did not.
        decisions: Everything decided about it, oldest first, with all feedback.
        events: What happened, oldest first, each with where it led; None where the ticket stayed.
        erased_at: When a text of it was last forgotten.
        progress: What changes whenever something is decided or said about it, or happens to it.
    """

    ticket: Ticket
    opened_at: datetime | None
    decisions: tuple[DecisionRow, ...]
    events: tuple[tuple[Event, Step | None], ...]
    erased_at: datetime | None = None
    progress: Progress | None = None

    @property
    def latest(self) -> DecisionRow:
        """The newest decision."""
        return self.decisions[-1]

    @property
    def opened(self) -> datetime | None:
        """When it was opened, as far as that can be: a helpdesk's clock may be ahead of the first decision."""
        return min(self.opened_at, self.decisions[0].created_at) if self.opened_at else None

    @property
    def last_at(self) -> datetime | None:
        """When the last event happened, else when it was opened; None where neither is known."""
        return self.events[-1][0].at if self.events else self.opened


_WRITTEN = ("status", "priority")
"""What of an event, beside its text, a helpdesk may write as it likes: all else is looked up in the policy."""


AHEAD = timedelta(days=366)
"""How far after now an event may be dated: clocks run ahead, local times come without an offset, and histories are
played through in advance; a date that lies further ahead is a slip, and nothing could follow it for years."""


@dataclass(frozen=True)
class Seen:
    """What is known of a ticket that comes in.

    Attributes:
        decision: What was decided about the same text, with the route that a person set; None for a new text.
        events: What happened to the ticket, oldest first.
        erasure: What changes whenever a text of the ticket is forgotten, and its events with it.
    """

    decision: DecisionRow | None = None
    events: tuple[Event, ...] = ()
    erasure: object = None


@dataclass(frozen=True)
class Outcome:
    """What an event led to.

    Attributes:
        route: Where the ticket went because of it; None where it stayed.
        sensitive: Whether the whole thread is for few eyes.
        updates: What its helpdesk is to be told.
        erased_at: When a text of the ticket was last forgotten, as the thread said that was read.
        progress: As the thread said that was read; None commits whatever came meanwhile.
    """

    route: Route | None = None
    sensitive: bool = False
    updates: tuple[PendingUpdate, ...] = ()
    erased_at: datetime | None = None
    progress: Progress | None = None


class Overtaken(Exception):
    """The ticket has changed since the thread was read: what an event leads to has to be judged anew."""


class Threads(Decisions):
    """The part of the repository that keeps what happens to tickets."""

    def thread(self, ticket_id: str, source: str = KEYS) -> StoredThread:
        """Return a ticket with everything that happened to it.

        Raises:
            NotFound: Nothing was decided about it.
            StoreUnavailable: The store does not answer.
        """
        with self.database.reading() as session:
            progress = _progress(session, source, ticket_id)  # first: what comes while the rest is read makes it stale
            query = (
                select(StoredDecision)
                .join(StoredTicket)
                .where(StoredTicket.source == source, StoredTicket.ticket_id == ticket_id)
                .order_by(StoredDecision.seq)
            )
            rows = list(session.scalars(query))
            if not rows:
                raise _unknown()
            said = feedback_by_decision(session, [row.id for row in rows])
            newest, about = rows[-1].ticket, {row.ticket_seq: row.id for row in rows}
            events = _events(session, source, ticket_id)
            return StoredThread(
                _ticket(newest),
                newest.opened_at,
                tuple(decision_row(row, said.get(row.id, ())) for row in rows),
                tuple((_event(row), step_of(row, about[row.ticket_seq])) for row in events),
                erased_at=max((row.ticket.forgotten_at for row in rows if row.ticket.forgotten_at), default=None),
                progress=progress,
            )

    def seen(self, ticket: Ticket, source: str = KEYS) -> Seen:
        """Return what is known of a ticket that comes in: what was decided about its text, and what happened to it.

        Raises:
            StoreUnavailable: The store does not answer.
        """
        return self.seen_all([ticket], source)[0]

    def seen_all(self, tickets: Sequence[Ticket], source: str = KEYS) -> list[Seen]:
        """Return what is known of each of some tickets that come in together, looked up at once.

        Raises:
            StoreUnavailable: The store does not answer.
        """
        if not any(ticket.id for ticket in tickets):
            return [Seen()] * len(tickets)
        with self.database.reading() as session:
            decided = self.decided_as(session, tickets, source)
            known = {ticket.id for ticket, (is_known, _, _) in zip(tickets, decided, strict=True) if is_known}
            events: dict[str, list[Event]] = {}
            for row in _events(session, source, *known) if known else ():
                events.setdefault(row.ticket_id, []).append(_event(row))
        return [
            Seen(row, tuple(events.get(ticket.id, ())), erasure)
            for ticket, (_, row, erasure) in zip(tickets, decided, strict=True)
        ]

    def earlier_event(self, ticket_id: str, event: Event, source: str = KEYS) -> bool:
        """Say whether an event was taken before, with the same content.

        Raises:
            Contradiction: The id came before with another content.
            StoreUnavailable: The store does not answer.
        """
        with self.database.reading() as session:
            return _is_repeated(_events(session, source, ticket_id), self._kept_event(event))

    def add_event(
        self,
        ticket_id: str,
        event: Event,
        led: Outcome = Outcome(),
        *,
        source: str = KEYS,
        key_id: str | None = None,
    ) -> bool:
        """Commit an event with what it led to, and say whether it is new; the same one adds nothing.

        Where a person has set the ticket's route, no other one of the machine is kept.

        Args:
            ticket_id: The ticket.
            event: What happened.
            led: What it led to.
            source: The helpdesk that the ticket id belongs to.
            key_id: Who sent it.

        Raises:
            NotFound: Nothing was decided about the ticket.
            Contradiction: The id came before with another content, the event is older than the last one, or the ticket
                was forgotten, be it while the event was read.
            NotAcceptable: It is dated in the future.
            Overtaken: Something else was kept about the ticket since its thread was read.
            StoreUnavailable: Nothing was recorded.
        """
        event, route = self._kept_event(event), led.route
        with self.database.writing() as session:
            self.database.serialise(session, f"ticket {source} {ticket_id}")
            decision = _latest(session, source, ticket_id)
            if decision.ticket.forgotten_at is not None or _erased_at(session, source, ticket_id) != led.erased_at:
                raise forgotten()
            events = _events(session, source, ticket_id)
            if _is_repeated(events, event):
                return False
            check_order(events[-1].at if events else None, event)
            if led.progress is not None and led.progress != _progress(session, source, ticket_id):
                raise Overtaken
            if route is not None and route.by is Mover.MACHINE and words_of(session, decision).set:
                route = None
            session.add(
                StoredEvent(
                    ticket_seq=decision.ticket_seq,
                    source=source,
                    ticket_id=ticket_id,
                    event_id=event.id,
                    event=event_document(event),
                    route=None if route is None else dump(_plain(asdict(self._kept_route(route)))),
                    key_id=key_id,
                    sensitive=led.sensitive,
                    at=event.at,
                    created_at=datetime.now(UTC),
                )
            )
            if led.sensitive:
                withhold(session, decision)
            move(session, decision.seq, route, [kind for kind, _ in event.attention])
            queue_updates(session, [one for one in led.updates if not is_overruled(session, one)])
            return True

    def _kept_event(self, event: Event) -> Event:
        """Return an event as it is kept: in UTC, redacted where the store is told to."""
        event = replace(event, at=event.at.astimezone(UTC))
        if self.redactor is None:
            return event
        redact, status, priority = self.redactor.redact, event.status, event.priority
        return replace(
            event,
            text=redact(event.text),
            status=status and redact(status),
            priority=priority and redact(priority),
            attention=tuple((kind, redact(evidence)) for kind, evidence in event.attention),
        )

    def _kept_route(self, route: Route) -> Route:
        """Return a route as it is kept: why a person set it is what the event's status says."""
        if self.redactor is None or route.by is not Mover.PERSON:
            return route
        return replace(route, because=self.redactor.redact(route.because))


def forgotten() -> Contradiction:
    """Return the refusal of an event whose ticket was forgotten."""
    return Contradiction("forgotten", "the text of this ticket was forgotten: no more is kept about it")


def check_order(last: datetime | None, event: Event, *, is_first: bool = False) -> None:
    """Refuse an event that is older than the last one, or dated so far ahead that it must be a slip.

    Args:
        last: When the last event happened, else when the ticket was opened; None where neither is known.
        event: What comes now.
        is_first: Whether there is no event yet, so that `last` is when the ticket was opened.

    Raises:
        Contradiction: It is older.
        NotAcceptable: It is dated more than `AHEAD` after now, and after the last one.
    """
    now = datetime.now(UTC)
    if event.at > now + AHEAD and (last is None or event.at > last):
        raise NotAcceptable(
            "in-the-future",
            f"the event is dated {(event.at - now).days} days ahead, as it is {now.isoformat(timespec='seconds')}: "
            "send its time in UTC, or with its offset such as +01:00, and check the sender's clock",
            "at",
        )
    if last is not None and event.at < last:
        before = "the ticket, which was opened at" if is_first else "the last one of this ticket, of"
        raise Contradiction(
            "out-of-order",
            f"the event is older than {before} {last.isoformat()}: events are taken in order; nothing was changed",
        )


def event_document(event: Event) -> str:
    """Write an event down as JSON text."""
    values = _plain(asdict(event))
    if not event.chosen:  # as it was written before answers could be chosen: the same event sent again is the same
        del values["chosen"]
    if not event.attention:
        del values["attention"]
    return dump(values)


def without_words(document: str) -> str:
    """Return the document of an event without what was written in it."""
    values = {**json.loads(document), "text": "", **dict.fromkeys(_WRITTEN)}
    if "attention" in values:
        values["attention"] = [(kind, "") for kind, _ in values["attention"]]
    return dump(values)


def route_without_words(document: str | None) -> str | None:
    """Return the document of the route that an event led to without the words of the person who set it."""
    if document is None:
        return None
    values = json.loads(document)
    return dump({**values, "because": ""}) if values["by"] == Mover.PERSON else document


def _is_repeated(events: list[StoredEvent], event: Event) -> bool:
    same = next((row for row in events if row.event_id == event.id), None)
    if same is None:
        return False
    if _stated(same.event) != _stated(event_document(event)):
        raise Contradiction(
            "event-changed", "an event with this id came before with another content; nothing was changed"
        )
    return True


def _stated(document: str) -> dict[str, object]:
    """Return what the sender of an event said, as it is kept now: what must not wait was found here.

    Earlier versions kept the images in a text as well.
    """
    said = {name: value for name, value in json.loads(document).items() if name != "attention"}
    return {**said, "text": without_images(said["text"])}


def _events(session: Session, source: str, *ticket_ids: str) -> list[StoredEvent]:
    query = select(StoredEvent).where(StoredEvent.source == source, StoredEvent.ticket_id.in_(ticket_ids))
    return list(session.scalars(query.order_by(StoredEvent.seq)))


def _latest(session: Session, source: str, ticket_id: str) -> StoredDecision:
    query = (
        select(StoredDecision)
        .join(StoredTicket)
        .where(StoredTicket.source == source, StoredTicket.ticket_id == ticket_id)
        .order_by(StoredDecision.seq.desc())
        .limit(1)
    )
    row = session.scalar(query)
    if row is None:
        raise _unknown()
    return row


def _erased_at(session: Session, source: str, ticket_id: str) -> datetime | None:
    same = (StoredTicket.source == source, StoredTicket.ticket_id == ticket_id)
    return session.scalar(select(func.max(StoredTicket.forgotten_at)).where(*same))


def _progress(session: Session, source: str, ticket_id: str) -> Progress:
    same = (StoredTicket.source == source, StoredTicket.ticket_id == ticket_id)
    decisions = select(StoredDecision.id).join(StoredTicket).where(*same)
    event = (StoredEvent.source == source, StoredEvent.ticket_id == ticket_id)
    return Progress(
        session.scalar(select(func.max(StoredDecision.seq)).join(StoredTicket).where(*same)),
        session.scalar(select(func.max(StoredFeedback.seq)).where(StoredFeedback.decision_id.in_(decisions))),
        session.scalar(select(func.max(StoredEvent.seq)).where(*event)),
    )


def _unknown() -> NotFound:
    return NotFound(
        "no-such-ticket",
        "nothing was decided about that ticket: send it to POST /v1/predict first, or name with ?desk= the helpdesk "
        "that it came from",
    )


def _plain(values: Mapping[str, object]) -> dict[str, object]:
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in values.items()}


def _event(row: StoredEvent) -> Event:
    values = json.loads(row.event)
    chosen = tuple((target, label) for target, label in values.get("chosen", ()))
    told = {"kind": EventKind(values["kind"]), "at": row.at, "needs": tuple(values["needs"]), "chosen": chosen}
    return Event(**{**values, **told, "attention": alarms_in(row.event)})


def _ticket(stored: StoredTicket) -> Ticket:
    return Ticket(
        id=stored.ticket_id or "",
        subject=stored.subject,
        body=stored.body,
        channel=stored.channel,
        opened_at=stored.opened_at,
        language=stored.language,
        requester=stored.requester,
        attributes=json.loads(stored.attributes),
    )
