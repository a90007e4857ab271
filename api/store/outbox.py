"""The outbox: updates for helpdesks, queued with what caused them, sent at least once, dead when they fail."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Select, and_, delete, func, or_, select, update
from sqlalchemy.orm import Session

from api.http.exceptions import NotFound
from api.store.decisions import words_on
from api.store.idempotency import IdempotencyKeys
from api.store.rows import FeedbackRow, dump
from api.store.tables import StoredDelivery, StoredPosition, StoredUpdate
from triage.prediction import ROUTE as TARGETS_OF_ROUTE

PENDING, SENT, DEAD, KEPT, SAID = "pending", "sent", "dead", "kept", "said"
"""States of an update; one is kept back where a person has set another route at the helpdesk, and one that the helpdesk
has said itself is as good as sent."""
UPDATE_AGE = timedelta(days=30)
"""How long it is remembered what a helpdesk was told, or could not be."""
NO_SUCH_HELPDESK = "no such helpdesk in the file of helpdesks"
"""Why an update is dead for whose helpdesk there is no table any more."""
TARGET_PLACE = "target_"
"""What the name of a target beside tier, category and group begins with in a payload, such as ``target_priority``."""
ROUTE, NOTE = "route", "note"
UNDATED = "body:"
"""What the id of a delivery begins with whose signature states no moment."""
MAIL, ANSWERED_MAIL = f"{UNDATED}mail:", f"{UNDATED}mail-answered:"
"""What the note begins with that a mail was taken, and that one had its answer before a backup was restored: it is
decided, and neither copied nor forwarded again."""
BEGUN = "begun "
"""What the name of a position begins with that says where the reading of a folder began."""
ASKED = (ISSUE, JOURNAL) = ("issue:", "journal:")
"""What the ids of deliveries begin with that a helpdesk was asked for, and has not sent."""
CHANGES = "updated_on"
"""The name of a position that says up to which moment the changes of a helpdesk that is asked were taken."""


def ticket_id_of(mark: str) -> str:
    """Return the id of the ticket that a mail becomes.

    Args:
        mark: The note that it was taken, or the digest that this ends with.
    """
    return mark[-32:]


@dataclass(frozen=True)
class PendingUpdate:
    """An update that is to be sent.

    Attributes:
        target: The helpdesk.
        ticket_id: The ticket, in the helpdesk's words.
        decision_id: The decision that it comes from.
        payload: What it says.
        kind: ``route``, of which the newest takes the place of older ones, or ``note``, of which a decision has one.
    """

    target: str
    ticket_id: str
    decision_id: str
    payload: Mapping[str, Any]
    kind: str = ROUTE


@dataclass(frozen=True)
class UpdateRow:
    """An update as it stands in the store."""

    seq: int
    target: str
    ticket_id: str
    decision_id: str
    kind: str
    payload: dict[str, Any]
    state: str
    attempts: int
    last_error: str | None
    due_at: datetime
    created_at: datetime

    def document(self) -> dict[str, Any]:
        """Return it as a JSON document."""
        return {**asdict(self), "due_at": self.due_at.isoformat(), "created_at": self.created_at.isoformat()}


@dataclass(frozen=True)
class Targets:
    """Some of the helpdesks that updates are for.

    Attributes:
        names: Their names, or those of all others.
        others: Whether all but the named ones are meant, such as helpdesks that no file names any more.
    """

    names: frozenset[str]
    others: bool = False


class Outbox(IdempotencyKeys):
    """The part of the repository that keeps deliveries from helpdesks and updates to them."""

    def take_delivery(
        self, source: str, ids: Sequence[str], pending: Sequence[PendingUpdate] = (), answer: str | None = None
    ) -> bool:
        """Note under all its ids that a delivery was taken, together with the updates that it caused.

        A route that a person set on the ticket meanwhile stands: another one is not queued.

        Args:
            source: Who sent it.
            ids: What it is known by.
            pending: The updates.
            answer: What it is answered.

        Returns:
            False where the delivery was taken before; nothing is queued then.
        """
        with self.database.writing() as session:
            self.database.serialise(session, *(f"delivery {source} {one}" for one in ids))
            if any(session.get(StoredDelivery, (source, one)) is not None for one in ids):
                return False
            now = datetime.now(UTC)
            session.add_all(StoredDelivery(source=source, id=one, answer=answer, received_at=now) for one in ids)
            self.database.serialise(session, *(f"ticket {one.target} {one.ticket_id}" for one in pending))
            queue_updates(session, [one for one in pending if not is_overruled(session, one)])
            return True

    def has_delivery(self, source: str, delivery_id: str) -> bool:
        """Say whether a delivery was taken before."""
        with self.database.reading() as session:
            return session.get(StoredDelivery, (source, delivery_id)) is not None

    def delivered_at(self, source: str, delivery_id: str) -> datetime | None:
        """Return when a delivery was taken, or None where it never was."""
        with self.database.reading() as session:
            row = session.get(StoredDelivery, (source, delivery_id))
            return row.received_at if row is not None else None

    def forget_delivery(self, source: str, delivery_id: str) -> None:
        """Take back the note that a delivery was taken."""
        with self.database.writing() as session:
            mine = (StoredDelivery.source == source, StoredDelivery.id == delivery_id)
            session.execute(delete(StoredDelivery).where(*mine))

    def answered(self, source: str, ids: Sequence[str]) -> str | None:
        """Return what a delivery was answered when it was taken, or None where it is new.

        Args:
            source: Who sent it.
            ids: What it is known by; one of them is enough.

        Raises:
            StoreUnavailable: The store does not answer.
        """
        with self.database.reading() as session:
            found = (session.get(StoredDelivery, (source, one)) for one in ids)
            return next((row.answer or "{}" for row in found if row is not None), None)

    def position(self, source: str, name: str) -> str | None:
        """Return how far a channel was read, or None where it never was."""
        with self.database.reading() as session:
            row = session.get(StoredPosition, (source, name))
            return row.value if row is not None else None

    def move_position(self, source: str, name: str, value: str) -> None:
        """Note how far a channel was read."""
        with self.database.writing() as session:
            session.merge(StoredPosition(source=source, name=name, value=value, updated_at=datetime.now(UTC)))

    def positions(self, source: str, prefix: str) -> dict[str, str]:
        """Return what is noted of a channel under the names that begin in one way, by name."""
        with self.database.reading() as session:
            mine = (StoredPosition.source == source, StoredPosition.name.startswith(prefix, autoescape=True))
            return {row.name: row.value for row in session.scalars(select(StoredPosition).where(*mine))}

    def forget_position(self, source: str, name: str) -> None:
        """Take back what is noted of a channel under a name."""
        with self.database.writing() as session:
            mine = (StoredPosition.source == source, StoredPosition.name == name)
            session.execute(delete(StoredPosition).where(*mine))

    def claim_updates(
        self, limit: int, hold: timedelta, *, targets: Targets | None = None, due_by: datetime | None = None
    ) -> list[UpdateRow]:
        """Take updates that are due, so that no other worker takes them for a while.

        Args:
            limit: Most updates to take.
            hold: How long they are this worker's: one that dies leaves them to the others after that.
            targets: Whom they are for; None takes those for anybody.
            due_by: Until when they had to be due; now where not given.
        """
        now = datetime.now(UTC)
        with self.database.writing() as session:
            due = _waiting(targets).where(StoredUpdate.due_at <= (due_by or now))
            rows = list(
                session.scalars(
                    due.order_by(StoredUpdate.due_at, StoredUpdate.seq).limit(limit).with_for_update(skip_locked=True)
                )
            )
            for row in rows:
                row.due_at = now + hold
            session.flush()
            return [_update_row(row) for row in rows]

    def next_due(self, targets: Targets | None = None) -> datetime | None:
        """Return when the next update for these helpdesks, or for any, is due; None where nothing is pending."""
        with self.database.reading() as session:
            query = _waiting(targets).with_only_columns(StoredUpdate.due_at).order_by(StoredUpdate.due_at).limit(1)
            return session.scalar(query)

    def hold_update(self, row: UpdateRow, hold: timedelta) -> bool:
        """Hold an update that was claimed for a while longer, now that its turn has come.

        Args:
            row: The update as it was claimed.
            hold: How long it is this worker's from now on.

        Returns:
            False where it is this worker's no more: what a person said has taken its place, or another worker has
            claimed it after its time was up.
        """
        with self.database.writing() as session:
            mine = update(StoredUpdate).where(
                StoredUpdate.seq == row.seq, StoredUpdate.state == PENDING, StoredUpdate.due_at == row.due_at
            )
            held = session.execute(mine.values(due_at=datetime.now(UTC) + hold).returning(StoredUpdate.seq)).first()
            return held is not None

    def known_labels(self, target: str, ticket_id: str, names: Iterable[str]) -> dict[str, set[str]]:
        """Return the labels of a ticket that are no news here: which its helpdesk was told last, or people said.

        Args:
            target: The helpdesk.
            ticket_id: Its id of the ticket.
            names: The targets that are asked for, as the policy names them.
        """
        with self.database.reading() as session:
            told = _last_told(session, target, ticket_id) or {}
            spoken = words_on(session, [(target, ticket_id)]).get((target, ticket_id))
            said = spoken.ever if spoken else ()
        known = {name: {told.get(name_in_payload(name)), *(_said(row, name) for row in said)} for name in names}
        return {name: {label for label in labels if label} for name, labels in known.items()}

    def is_known(self, target: str, ticket_id: str, labels: Mapping[str, str]) -> bool:
        """Say whether a helpdesk has these labels of a ticket as it was told, or has said them itself.

        Args:
            target: The helpdesk.
            ticket_id: Its id of the ticket.
            labels: By target, as the policy names them.

        Raises:
            StoreUnavailable: The store does not answer.
        """
        with self.database.reading() as session:
            known = _labels_there(session, target, ticket_id)
        return all(known.get(name_in_payload(name)) == label for name, label in labels.items())

    def keep_back(self, seq: int, note: PendingUpdate | None) -> None:
        """Note that an update is not sent, as a person has set another route there, and queue a note instead."""
        with self.database.writing() as session:
            mine = update(StoredUpdate).where(StoredUpdate.seq == seq, StoredUpdate.state == PENDING)
            session.execute(mine.values(state=KEPT, attempts=StoredUpdate.attempts + 1, last_error="set-by-person"))
            queue_updates(session, [note] if note else [])

    def acknowledge_update(self, seq: int, *, error: str | None = None, retry_at: datetime | None = None) -> bool:
        """Note how an update went: sent, to be tried again at a time, or dead.

        Returns:
            False where the update was withdrawn while it was under way.
        """
        values: dict[str, Any] = {"attempts": StoredUpdate.attempts + 1, "last_error": error}
        if error is None:
            values |= {"state": SENT, "sent_at": datetime.now(UTC)}
        elif retry_at is None:
            values |= {"state": DEAD}
        else:
            values |= {"due_at": retry_at}
        with self.database.writing() as session:
            mine = update(StoredUpdate).where(StoredUpdate.seq == seq, StoredUpdate.state == PENDING)
            found = session.execute(mine.values(**values).returning(StoredUpdate.seq)).first()
            return found is not None

    def updates(self, state: str | None = None, limit: int = 1000) -> list[UpdateRow]:
        """Return updates, oldest first; those in one state, or all that are not sent yet."""
        wanted = StoredUpdate.state == state if state else StoredUpdate.state.in_((PENDING, DEAD))
        with self.database.reading() as session:
            return [
                _update_row(row)
                for row in session.scalars(select(StoredUpdate).where(wanted).order_by(StoredUpdate.seq).limit(limit))
            ]

    def count_updates(self) -> int:
        """Return how many updates are not sent yet, dead ones among them."""
        with self.database.reading() as session:
            query = select(func.count()).select_from(StoredUpdate).where(StoredUpdate.state.in_((PENDING, DEAD)))
            return session.scalar(query) or 0

    def untold(self, target: str, ticket_id: str) -> UpdateRow | None:
        """Return the last update of a ticket that its helpdesk has not taken, given up or not; None where it has all.

        Raises:
            StoreUnavailable: The store does not answer.
        """
        failed = or_(
            StoredUpdate.state == DEAD, and_(StoredUpdate.state == PENDING, StoredUpdate.last_error.is_not(None))
        )
        mine = (StoredUpdate.target == target, StoredUpdate.ticket_id == ticket_id, failed)
        with self.database.reading() as session:
            query = select(StoredUpdate).where(*mine).order_by(StoredUpdate.kind.desc(), StoredUpdate.seq.desc())
            row = session.scalar(query.limit(1))  # a route before a note
            return None if row is None else _update_row(row)

    def given_up(self) -> list[tuple[str, str | None, int]]:
        """Count the updates that were given up, by helpdesk and error."""
        columns = (StoredUpdate.target, StoredUpdate.last_error)
        query = select(*columns, func.count()).where(StoredUpdate.state == DEAD).group_by(*columns).order_by(*columns)
        with self.database.reading() as session:
            return [(target, error, count) for target, error, count in session.execute(query)]

    def retry_updates(self, seqs: Sequence[int] | None = None) -> int:
        """Give dead updates another round of tries, and return their number; all of them where none is named.

        Raises:
            NotFound: One that is named is not dead.
        """
        with self.database.writing() as session:
            rows = _dead(session, seqs)
            for row in rows:
                row.state, row.attempts, row.due_at = PENDING, 0, datetime.now(UTC)
            return len(rows)

    def clear_updates(self, seqs: Sequence[int] | None = None) -> int:
        """Remove dead updates, and return their number; all of them where none is named.

        Raises:
            NotFound: One that is named is not dead.
        """
        with self.database.writing() as session:
            rows = _dead(session, seqs)
            for row in rows:
                session.delete(row)
            return len(rows)


def _dead(session: Session, seqs: Sequence[int] | None) -> list[StoredUpdate]:
    """Return dead updates: those that are named, or all.

    Raises:
        NotFound: One that is named is not dead.
    """
    query = select(StoredUpdate).where(StoredUpdate.state == DEAD)
    rows = list(session.scalars(query.where(StoredUpdate.seq.in_(seqs)) if seqs is not None else query))
    missing = sorted(set(seqs or ()) - {row.seq for row in rows})
    if missing:
        raise NotFound(
            "no-such-update", f"no dead update {', '.join(map(str, missing))}: see triage store outbound list"
        )
    return rows


def queue_updates(session: Session, pending: Sequence[PendingUpdate]) -> None:
    """Queue updates in a transaction that is open.

    A newer route replaces one of the same ticket that is not sent yet; of one decision only one note is queued,
    and another one where something must not wait that came up later.
    """
    now = datetime.now(UTC)
    for one in pending:
        if one.kind == ROUTE:
            withdraw_updates(session, one.target, one.ticket_id)  # what is newer says it all; an old one must not win
        elif _has_note(session, one):
            continue
        row = StoredUpdate(
            target=one.target,
            ticket_id=one.ticket_id,
            decision_id=one.decision_id,
            kind=one.kind,
            payload=dump(dict(one.payload)),
            state=PENDING,
            attempts=0,
            due_at=now,
            created_at=now,
        )
        session.add(row)
    session.flush()


def withdraw_updates(session: Session, target: str, ticket_id: str) -> bool:
    """Take back the routes of a ticket that a helpdesk was not told yet, and say whether there was one."""
    waiting = (
        StoredUpdate.target == target,
        StoredUpdate.ticket_id == ticket_id,
        StoredUpdate.kind == ROUTE,
        StoredUpdate.state.in_((PENDING, DEAD)),
    )
    return session.execute(delete(StoredUpdate).where(*waiting).returning(StoredUpdate.seq)).first() is not None


def was_told(session: Session, target: str, ticket_id: str, route: Mapping[str, Any]) -> bool:
    """Say whether this route is the last one of a ticket that a helpdesk was told."""
    told = _last_told(session, target, ticket_id)
    return told is not None and all(told.get(name) == route.get(name) for name in TARGETS_OF_ROUTE)


def note_said(session: Session, said: PendingUpdate) -> None:
    """Note in a transaction that is open which labels a helpdesk has said itself: it need not be told them."""
    now = datetime.now(UTC)
    payload = {name_in_payload(name): label for name, label in said.payload.items()}
    session.add(
        StoredUpdate(
            target=said.target,
            ticket_id=said.ticket_id,
            decision_id=said.decision_id,
            kind=ROUTE,
            payload=dump(_labels_there(session, said.target, said.ticket_id) | payload),
            state=SAID,
            attempts=0,
            due_at=now,
            created_at=now,
            sent_at=now,
        )
    )
    session.flush()


def _said(row: FeedbackRow, target: str) -> str | None:
    return getattr(row, target) if target in TARGETS_OF_ROUTE else row.label_of(target)


def _waiting(targets: Targets | None) -> Select[StoredUpdate]:
    """Return the query of the updates that wait for some helpdesks, or for any."""
    query = select(StoredUpdate).where(StoredUpdate.state == PENDING)
    if targets is None:
        return query
    named = StoredUpdate.target.in_(targets.names)
    return query.where(~named if targets.others else named)


def name_in_payload(target: str) -> str:
    """Return what the label of a target is called in what helpdesks are told.

    Example:
        >>> name_in_payload("tier"), name_in_payload("priority")
        ('tier', 'target_priority')
    """
    return target if target in TARGETS_OF_ROUTE else f"{TARGET_PLACE}{target}"


def _labels_there(session: Session, target: str, ticket_id: str) -> dict[str, Any]:
    """Return the labels that a ticket has at its helpdesk, as far as is known: what is not told leaves one as it is."""
    found: dict[str, Any] = {}
    for payload in session.scalars(_told(target, ticket_id).order_by(StoredUpdate.sent_at, StoredUpdate.seq)):
        found |= {name: label for name, label in json.loads(payload).items() if label is not None}
    return {name: label for name, label in found.items() if name in TARGETS_OF_ROUTE or name.startswith(TARGET_PLACE)}


def _last_told(session: Session, target: str, ticket_id: str) -> dict[str, Any] | None:
    payload = session.scalar(_told(target, ticket_id).order_by(StoredUpdate.sent_at.desc()).limit(1))
    return None if payload is None else dict(json.loads(payload))


def _told(target: str, ticket_id: str) -> Select[str]:
    """Return the query of what a helpdesk knows of a ticket's route, told or said."""
    mine = (StoredUpdate.target == target, StoredUpdate.ticket_id == ticket_id, StoredUpdate.kind == ROUTE)
    return select(StoredUpdate.payload).where(*mine, StoredUpdate.state.in_((SENT, SAID)))


def _has_note(session: Session, one: PendingUpdate) -> bool:
    same = (
        StoredUpdate.target == one.target, StoredUpdate.decision_id == one.decision_id, StoredUpdate.kind == NOTE
    )  # fmt: skip
    news = one.payload.get("attention")
    kept = [json.loads(payload) for payload in session.scalars(select(StoredUpdate.payload).where(*same))]
    return any(news is None or note.get("attention") == news for note in kept)


def is_overruled(session: Session, one: PendingUpdate) -> bool:
    """Say whether a person has set another route on the ticket than the update tells."""
    place = (one.target, one.ticket_id)
    spoken = words_on(session, [place]).get(place) if one.kind == ROUTE else None
    route = spoken.route if spoken else None
    return route is not None and any(one.payload.get(name) != label for name, label in dict(route).items())


def _update_row(row: StoredUpdate) -> UpdateRow:
    names = (
        *("seq", "target", "ticket_id", "decision_id", "kind"),
        *("state", "attempts", "last_error", "due_at", "created_at"),
    )
    return UpdateRow(payload=json.loads(row.payload), **{name: getattr(row, name) for name in names})
