"""The queue: decisions found by view, filter and words, in an order that suits the work, page by page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, get_args

from sqlalchemy import Boolean, ColumnElement, Select, and_, func, literal_column, select, tuple_
from sqlalchemy.orm import Session

from api.store.decisions import decision_row, feedback_by_decision, shown_rows
from api.store.idempotency import IdempotencyKeys
from api.store.rows import DecisionRow
from api.store.tables import StoredDecision, StoredFeedback, StoredTicket
from api.store.work.tables import StoredEntry
from api.store.work.words import holding

View = Literal[
    "waiting", "mine", "suggested", "abstained", "audit", "disputed", "corrected", "unsure", "automatic", "all"
]
Sort = Literal["urgent", "newest", "oldest", "unsure"]
VIEWS: tuple[str, ...] = get_args(View)
SORTS: tuple[str, ...] = get_args(Sort)
_COUNTED = ("waiting", "suggested", "abstained", "audit")


@dataclass(frozen=True)
class Filter:
    """Which decisions are meant; None, or empty, leaves a part open.

    Attributes:
        view: A share of the work: ``waiting`` for what needs a person, ``all`` for everything.
        tier: As it stands after corrections; so are category and resolver group.
        category: Of the ticket.
        resolver_group: That takes the ticket.
        automation: ``automatic``, ``suggested`` or ``blank``.
        reason: Why the decision is what it is.
        attention: A kind of what must never wait; ``any`` for every kind.
        reviewed: Whether somebody has spoken about it.
        model_version: That decided.
        ticket_id: The helpdesk's id of the ticket.
        words: That subject, text or id hold, all of them.
        agent: Whose view ``mine`` is.
        clearance_for_words: Whether tickets of sensitive categories are searched too.
    """

    view: View = "all"
    tier: str | None = None
    category: str | None = None
    resolver_group: str | None = None
    automation: str | None = None
    reason: str | None = None
    attention: str | None = None
    reviewed: bool | None = None
    model_version: str | None = None
    ticket_id: str | None = None
    words: str = ""
    agent: str | None = None
    clearance_for_words: bool = False


@dataclass(frozen=True)
class Line:
    """A decision in the queue, and who has taken it."""

    row: DecisionRow
    verdict: str | None
    flagged: bool
    disputed: bool
    waiting: bool
    claimed_by: str | None
    claimed_at: datetime | None


@dataclass(frozen=True)
class Counts:
    """How many tickets each view holds, and how many wait by tier and by resolver group."""

    views: dict[str, int] = field(default_factory=dict)
    flagged: int = 0
    tiers: dict[str, int] = field(default_factory=dict)
    groups: dict[str, int] = field(default_factory=dict)

    @property
    def waiting(self) -> int:
        """How many tickets need a person."""
        return self.views.get("waiting", 0)


class Queue(IdempotencyKeys):
    """The part of the repository that finds work."""

    def lines(self, wanted: Filter, sort: Sort = "newest", *, limit: int = 50, after: str | None = None) -> list[Line]:
        """Return decisions as they stand, in an order.

        Args:
            wanted: Which.
            sort: ``urgent`` puts what must never wait first and then the oldest, ``unsure`` the least confident.
            limit: Most of them.
            after: Id of the decision after which the page begins; an unknown one returns none.
        """
        with self.database.reading() as session:
            query = self._found(wanted)
            if after is not None:
                place = session.scalar(select(StoredEntry).where(StoredEntry.decision_id == after))
                if place is None:
                    return []
                query = query.where(_behind(place, sort))
            entries = list(session.scalars(query.order_by(*_order(sort)).limit(limit)))
            return _lines(session, entries)

    def next_in_queue(self, wanted: Filter, sort: Sort, after: str, *, backwards: bool = False) -> str | None:
        """Return the id of the decision that stands after, or before, another one in a view; None at its end.

        The other one itself may have left the view by now.
        """
        with self.database.reading() as session:
            place = session.scalar(select(StoredEntry).where(StoredEntry.decision_id == after))
            if place is None:
                return None
            query = self._found(wanted).where(StoredEntry.decision_seq != place.decision_seq)
            order = _order(sort)
            if backwards:
                query, order = query.where(_behind(place, sort, backwards=True)), _order(sort, backwards=True)
            else:
                query = query.where(_behind(place, sort))
            entry = session.scalar(query.order_by(*order).limit(1))
            return entry.decision_id if entry is not None else None

    def counts(self, agent: str | None = None) -> Counts:
        """Count the tickets of each view.

        Args:
            agent: Whose claims are counted as ``mine``.
        """
        columns = (
            StoredEntry.tier,
            StoredEntry.resolver_group,
            StoredEntry.automation,
            StoredEntry.abstained,
            StoredEntry.audit,
            StoredEntry.calm,
        )
        tiers, groups, flagged = Counter[str](), Counter[str](), 0
        views = Counter(dict.fromkeys(_COUNTED, 0))
        with self.database.reading() as session:
            grouped = select(*columns, func.count()).where(_view("waiting", None)).group_by(*columns)
            for tier, group, automation, abstained, audit, calm, count in session.execute(grouped):
                tiers[tier or ""] += count
                groups[group or ""] += count
                views["waiting"] += count
                views["suggested"] += count * (automation == "suggested")
                views["abstained"] += count * abstained
                views["audit"] += count * audit
                flagged += count * (not calm)
            for view in ("disputed", "corrected", "unsure"):
                query = select(func.count()).select_from(StoredEntry).where(_view(view, agent))
                views[view] = session.scalar(query) or 0
            mine = select(func.count()).select_from(StoredEntry).where(_view("mine", agent))
            views["mine"] = (session.scalar(mine) or 0) if agent else 0
        return Counts(dict(views), flagged, dict(tiers), dict(groups))

    def _found(self, wanted: Filter) -> Select[StoredEntry]:
        query = select(StoredEntry).where(_view(wanted.view, wanted.agent), *_filters(wanted))
        if wanted.ticket_id is None and not wanted.words:
            return query
        query = query.join(StoredDecision, StoredDecision.seq == StoredEntry.decision_seq).join(
            StoredTicket, StoredTicket.seq == StoredDecision.ticket_seq
        )
        if wanted.ticket_id is not None:
            query = query.where(StoredTicket.ticket_id == wanted.ticket_id)
        query = query.where(*holding(self.database, wanted.words))
        if wanted.words and not wanted.clearance_for_words:
            query = query.where(
                StoredDecision.sensitive.is_(False)
            )  # a search must not tell what is kept from a reader
        return query

    def queue_state(self) -> tuple[object, ...]:
        """Return values of which one changes whenever the queue does."""
        claims = select(func.count(), func.max(StoredEntry.claimed_at)).where(StoredEntry.claimed_by.is_not(None))
        with self.database.reading() as session:
            claimed, last = session.execute(claims).one()
            newest = session.scalar(select(func.max(StoredDecision.seq))) or 0
            said = session.scalar(select(func.max(StoredFeedback.seq))) or 0
            return newest, said, claimed, last


def _lines(session: Session, entries: Sequence[StoredEntry]) -> list[Line]:
    ids = [entry.decision_id for entry in entries]
    query = select(StoredDecision).where(StoredDecision.seq.in_([entry.decision_seq for entry in entries]))
    rows = {row.seq: row for row in session.scalars(query)} if entries else {}
    said = feedback_by_decision(session, ids)
    found = shown_rows(session, [decision_row(row, said.get(row.id, ())) for row in rows.values()])
    shown = {row.id: row for row in found}
    return [
        Line(
            row=shown[entry.decision_id],
            verdict=entry.verdict,
            flagged=not entry.calm,
            disputed=entry.disputed,
            waiting=entry.waiting,
            claimed_by=entry.claimed_by,
            claimed_at=entry.claimed_at,
        )
        for entry in entries
        if entry.decision_id in shown
    ]


def _filters(wanted: Filter) -> list[ColumnElement[bool]]:
    equal = ("tier", "category", "resolver_group", "automation", "reason", "model_version")
    found = [getattr(StoredEntry, name) == value for name in equal if (value := getattr(wanted, name)) is not None]
    if wanted.attention == "any":
        found.append(StoredEntry.attention != "")
    elif wanted.attention is not None:
        found.append(StoredEntry.attention.contains(f" {wanted.attention} ", autoescape=True))
    if wanted.reviewed is not None:
        found.append(StoredEntry.verdict.is_not(None) if wanted.reviewed else StoredEntry.verdict.is_(None))
    return found


def _view(view: str, agent: str | None) -> ColumnElement[bool]:
    waits = literal_column("queue_entries.waiting", Boolean)  # as the partial indexes say it: SQLite compares words
    conditions: dict[str, ColumnElement[bool]] = {
        "waiting": waits,
        "mine": and_(waits, StoredEntry.claimed_by == (agent or "")),
        "suggested": and_(waits, StoredEntry.automation == "suggested"),
        "abstained": and_(waits, StoredEntry.abstained.is_(True)),
        "audit": and_(waits, StoredEntry.audit.is_(True)),
        "disputed": StoredEntry.disputed.is_(True),
        "corrected": StoredEntry.verdict == "corrected",
        "unsure": and_(StoredEntry.verdict == "unsure", StoredEntry.superseded.is_(False)),
        "automatic": and_(StoredEntry.automation == "automatic", StoredEntry.verdict.is_(None)),
        "all": StoredEntry.decision_seq > 0,
    }
    return conditions[view]


def _order(sort: Sort, *, backwards: bool = False) -> list[ColumnElement[Any]]:
    seq = StoredEntry.decision_seq
    columns: dict[Sort, list[tuple[Any, bool]]] = {
        "urgent": [(StoredEntry.calm, False), (seq, False)],
        "newest": [(seq, True)],
        "oldest": [(seq, False)],
        "unsure": [(func.coalesce(StoredEntry.confidence, 0.0), False), (seq, False)],
    }
    return [column.desc() if falls is not backwards else column.asc() for column, falls in columns[sort]]


def _behind(place: StoredEntry, sort: Sort, *, backwards: bool = False) -> ColumnElement[bool]:
    """Return the condition of standing behind a place in an order, or in front of it."""
    seq, own = StoredEntry.decision_seq, place.decision_seq
    if sort == "newest":
        return seq > own if backwards else seq < own
    if sort == "oldest":
        return seq < own if backwards else seq > own
    if sort == "unsure":
        key = tuple_(func.coalesce(StoredEntry.confidence, 0.0), seq)
        mine = (place.confidence or 0.0, own)
        return key < mine if backwards else key > mine
    key, calm = tuple_(StoredEntry.calm, seq), not place.attention  # its place before somebody spoke about it
    return key < (calm, own) if backwards else key > (calm, own)
