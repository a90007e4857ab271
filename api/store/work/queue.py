"""The queue: decisions found by view, filter and words, in an order that suits the work, page by page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple

from sqlalchemy import ColumnElement, Select, and_, func, literal_column, not_, or_, select, tuple_
from sqlalchemy.orm import Session

from api.http.exceptions import NotAcceptable
from api.store.decisions import decision_row, feedback_by_decision, shown_rows
from api.store.idempotency import IdempotencyKeys
from api.store.rows import DecisionRow
from api.store.tables import StoredDecision, StoredEvent, StoredFeedback, StoredTicket
from api.store.work.claims import is_fresh, still_claimed
from api.store.work.tables import StoredEntry
from api.store.work.words import are_common, holding

View = Literal[
    "waiting", "mine", "my_groups", "suggested", "abstained", "audit", "disputed", "corrected", "unsure",
    "automatic", "all",
]  # fmt: skip
Sort = Literal["urgent", "newest", "oldest", "unsure"]
_OF_WORK = frozenset({"waiting", "mine", "my_groups", "suggested", "abstained", "audit"})
"""Views of what waits: a ticket leaves them once somebody speaks about it."""
_SAID_BY_MODEL = ("tier", "category", "resolver_group", "automation", "reason")
_TELLING = frozenset({"my_groups", "abstained"})
"""Views that a ticket which waits is in by what the model says of it."""
_COUNTED_ALONE: tuple[View, ...] = ("disputed", "corrected", "unsure", "mine")
_OF_WAITING: dict[str, ColumnElement[bool]] = {
    "suggested": StoredEntry.automation == "suggested",
    "abstained": StoredEntry.abstained.is_(True),
    "audit": StoredEntry.audit.is_(True),
}
"""Views of what waits, and what of it they have; they are counted together, by the columns of one index."""
_READ_AT_ONCE = 50
"""So many lines that hold the words are looked at together, where some of them may be kept from who searches."""
_LOOKED_AT = 8
"""So many times the lines wanted are looked at one by one for words that most tickets hold, from the first line on."""


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
        reviewed: Whether somebody has spoken about it; nothing is found where both is asked for.
        model_version: That decided.
        ticket_id: The helpdesk's id of the ticket.
        words: That subject, text or id hold, all of them.
        agent: Whose view ``mine`` is.
        groups: Resolver groups of that agent, whose tickets the view ``my_groups`` has.
        clearance_for_words: Whether the words of sensitive tickets are searched too.
        sensitive_categories: Those of the policy in use: tickets that were decided so, or stand there, are not even
            looked at then.
        may_read: Says whether who searches may read a ticket; it is found by no word else. None leaves that to the mark
            of the store.
        blind: Whether an audit that nobody has judged is found by no label: finding it would say what the model says.
    """

    view: View = "all"
    tier: str | None = None
    category: str | None = None
    resolver_group: str | None = None
    automation: str | None = None
    reason: str | None = None
    attention: str | None = None
    reviewed: frozenset[bool] = frozenset()
    model_version: str | None = None
    ticket_id: str | None = None
    words: str = ""
    agent: str | None = None
    groups: tuple[str, ...] = ()
    clearance_for_words: bool = False
    sensitive_categories: frozenset[str] = frozenset()
    may_read: Callable[[DecisionRow], bool] | None = None
    blind: bool = False


class _Way(NamedTuple):
    """In which order a list is gone through, and in which direction."""

    sort: Sort
    backwards: bool = False


@dataclass(frozen=True)
class Line:
    """A decision in the queue with where its ticket stands, and who has taken it."""

    row: DecisionRow
    verdict: str | None
    flagged: bool
    disputed: bool
    waiting: bool
    claimed_by: str | None


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
            after: Id of the decision after which the page begins.

        Raises:
            NotAcceptable: There is no such decision.
        """
        with self.database.reading() as session:
            behind: list[ColumnElement[bool]] = []
            if after is not None:
                place = session.scalar(select(StoredEntry).where(StoredEntry.decision_id == after))
                if place is None:
                    raise NotAcceptable(
                        "no-such-place",
                        "before is the id of no decision here, or of one past its retention: begin with the first page",
                        "before",
                    )
                behind = [_behind(place, wanted.view, _Way(sort))]
            return _lines(session, self._first(session, wanted, behind, way=_Way(sort), limit=limit))

    def next_in_queue(self, wanted: Filter, sort: Sort, after: str, *, backwards: bool = False) -> str | None:
        """Return the id of the decision that stands after, or before, another one in a view; None at its end.

        The other one itself may have left the view by now.
        """
        with self.database.reading() as session:
            place = session.scalar(select(StoredEntry).where(StoredEntry.decision_id == after))
            if place is None:
                return None
            way = _Way(sort, backwards)
            beside = [StoredEntry.decision_seq != place.decision_seq, _behind(place, wanted.view, way)]
            found = self._first(session, wanted, beside, way=way, limit=1)
            return found[0].decision_id if found else None

    def counts(self, agent: str | None = None, groups: Sequence[str] = (), *, blind: bool = False) -> Counts:
        """Count the tickets of each view.

        Args:
            agent: Whose claims are counted as ``mine``.
            groups: Resolver groups of that agent, whose tickets are counted as ``my_groups``.
            blind: Whether audits are counted under no label.
        """
        with self.database.reading() as session:
            waiting = _tally(session)
            told = waiting - _tally(session, _UNTOLD) if blind else waiting
            views: dict[str, int] = {
                view: (told if view in _TELLING else waiting)[view] for view in ("waiting", *_OF_WAITING)
            }
            for view in _COUNTED_ALONE:
                query = select(func.count()).select_from(StoredEntry).where(_view(Filter(view, agent=agent)))
                views[view] = session.scalar(query) or 0
        views["my_groups"] = sum(told[f"group {group}"] for group in set(groups))
        tiers, by_group = (
            {name.partition(" ")[2]: count for name, count in told.items() if name.startswith(part)}
            for part in ("tier ", "group ")
        )
        return Counts(views, waiting["flagged"], tiers, by_group)

    def _first(
        self, session: Session, wanted: Filter, beside: list[ColumnElement[bool]], *, way: _Way, limit: int
    ) -> list[StoredEntry]:
        """Return the first lines of a list, in an order; of what is found by its words, those that may be read.

        Args:
            session: To be asked.
            wanted: Which lines.
            beside: What else must be true of them.
            way: In which they stand.
            limit: Most of them.
        """
        if not wanted.words or wanted.clearance_for_words or wanted.may_read is None:
            return self._matching(session, wanted, beside, way=way, limit=limit)
        found, at_once = list[StoredEntry](), max(limit, _READ_AT_ONCE)
        while len(found) < limit:
            entries = self._matching(session, wanted, beside, way=way, limit=at_once)
            readable = {line.row.id for line in _lines(session, entries) if wanted.may_read(line.row)}
            found += [entry for entry in entries if entry.decision_id in readable]
            if len(entries) < at_once:
                break
            beside = [_behind(entries[-1], wanted.view, way)]
        return found[:limit]

    def _matching(
        self, session: Session, wanted: Filter, beside: list[ColumnElement[bool]], *, way: _Way, limit: int
    ) -> list[StoredEntry]:
        """Return the first lines that match, in an order.

        Words that very many tickets hold are looked for in the first lines of the list, one by one: to have the index
        name all tickets that hold them takes longer than everything else on the page. Where too few are among these
        lines, the index is asked after all.

        Args:
            session: To be asked.
            wanted: Which lines.
            beside: What else must be true of them.
            way: In which they stand.
            limit: Most of them.
        """
        order = _order(way)
        if wanted.words and wanted.ticket_id is None and are_common(self.database, session, wanted.words):
            beginning = select(StoredEntry.decision_seq).where(_view(wanted), *_filters(wanted), *beside)
            head = list(session.scalars(beginning.order_by(*order).limit(limit * _LOOKED_AT)))
            query = self._found(wanted, one_by_one=True).where(StoredEntry.decision_seq.in_(head))
            entries = list(session.scalars(query.order_by(*order).limit(limit)))
            if len(entries) == limit or len(head) < limit * _LOOKED_AT:
                return entries
        return list(session.scalars(self._found(wanted).where(*beside).order_by(*order).limit(limit)))

    def _found(self, wanted: Filter, *, one_by_one: bool = False) -> Select[StoredEntry]:
        query = select(StoredEntry).where(_view(wanted), *_filters(wanted))
        if wanted.ticket_id is None and not wanted.words:
            return query
        query = query.join(StoredDecision, StoredDecision.seq == StoredEntry.decision_seq).join(
            StoredTicket, StoredTicket.seq == StoredDecision.ticket_seq
        )
        if wanted.ticket_id is not None:
            query = query.where(StoredTicket.ticket_id == wanted.ticket_id)
        query = query.where(*holding(self.database, wanted.words, one_by_one=one_by_one))
        if wanted.words and not wanted.clearance_for_words:
            query = query.where(*_not_closed(wanted))  # a search must not tell what is kept from a reader
        return query

    def queue_state(self) -> tuple[object, ...]:
        """Return values of which one changes whenever the queue does."""
        claims = select(func.count(), func.max(StoredEntry.claimed_at)).where(still_claimed())
        with self.database.reading() as session:
            claimed, last = session.execute(claims).one()
            newest = session.scalar(select(StoredDecision.id).order_by(StoredDecision.seq.desc()).limit(1))
            said = session.scalar(select(StoredFeedback.id).order_by(StoredFeedback.seq.desc()).limit(1))
            event = select(StoredEvent.seq, StoredEvent.created_at).order_by(StoredEvent.seq.desc()).limit(1)
            happened = session.execute(event).first()
            return newest, said, None if happened is None else tuple(happened), claimed, last


def _lines(session: Session, entries: Sequence[StoredEntry]) -> list[Line]:
    ids = [entry.decision_id for entry in entries]
    query = select(StoredDecision).where(StoredDecision.seq.in_([entry.decision_seq for entry in entries]))
    rows = {row.seq: row for row in session.scalars(query)} if entries else {}
    said = feedback_by_decision(session, ids)
    found = shown_rows(session, [decision_row(row, said.get(row.id, ())) for row in rows.values()])
    shown = {row.id: row for row in found}
    return [
        Line(
            row=replace(shown[entry.decision_id], stands=entry.route),
            verdict=entry.verdict,
            flagged=not entry.calm,
            disputed=entry.disputed,
            waiting=entry.waiting,
            claimed_by=entry.claimed_by if is_fresh(entry) else None,
        )
        for entry in entries
        if entry.decision_id in shown
    ]


def _filters(wanted: Filter) -> list[ColumnElement[bool]]:
    equal = (*_SAID_BY_MODEL, "model_version")
    found = [getattr(StoredEntry, name) == value for name in equal if (value := getattr(wanted, name)) is not None]
    told = wanted.view in _TELLING or any(getattr(wanted, name) is not None for name in _SAID_BY_MODEL)
    if wanted.blind and told:
        found.append(not_(_UNTOLD))
    if wanted.attention is not None:
        found.append(StoredEntry.has_kind(wanted.attention))
    said = StoredEntry.verdict
    return found + [said.is_not(None) if reviewed else said.is_(None) for reviewed in wanted.reviewed]


def _not_closed(wanted: Filter) -> list[ColumnElement[bool]]:
    """Return the conditions without which a ticket is kept in any case; whether it is else, `Filter.may_read` says."""
    closed = sorted(wanted.sensitive_categories)
    named = (func.coalesce(column, "").not_in(closed) for column in (StoredDecision.category, StoredEntry.category))
    return [StoredDecision.sensitive.is_(False), *(named if closed else ())]


def _tally(session: Session, *conditions: ColumnElement[bool]) -> Counter[str]:
    """Count what waits by view, what of it must not, and by tier and group, of the lines that meet the conditions."""
    views = [func.count().filter(condition) for condition in _OF_WAITING.values()]
    flagged = func.count().filter(StoredEntry.calm.is_(False))
    columns = (StoredEntry.tier, StoredEntry.resolver_group)
    found = Counter[str]()
    query = select(*columns, func.count(), flagged, *views).where(_WAITS, *conditions).group_by(*columns)
    for tier, group, count, pressing, *counted in session.execute(query):
        found.update(dict(zip(_OF_WAITING, counted, strict=True)), waiting=count, flagged=pressing)
        found.update({f"tier {tier or ''}": count, f"group {group or ''}": count})
    return found


_WAITS: ColumnElement[Any] = literal_column("queue_entries.waiting")
"""As the partial indexes say it: SQLite compares the words, and would read all lines for ``waiting = 1``."""
_UNSURE: ColumnElement[bool] = and_(StoredEntry.verdict == "unsure", StoredEntry.superseded.is_(False))
"""What somebody left for a second opinion: nobody need look at it, but whoever does may take it."""
_UNTOLD: ColumnElement[bool] = and_(StoredEntry.audit.is_(True), func.coalesce(StoredEntry.verdict, "") == "")
"""An audit that nobody has judged: who judges blind finds it by no label, which would say what the model says. Said so
that SQLite does not look it up among all lines without a verdict, where only what waits is meant."""


def _view(wanted: Filter) -> ColumnElement[bool]:
    conditions: dict[str, ColumnElement[bool]] = {
        "waiting": _WAITS,
        "mine": and_(or_(_WAITS, _UNSURE), StoredEntry.claimed_by == (wanted.agent or ""), still_claimed()),
        "my_groups": and_(_WAITS, StoredEntry.resolver_group.in_(wanted.groups)),
        **{view: and_(_WAITS, condition) for view, condition in _OF_WAITING.items()},
        "disputed": StoredEntry.disputed.is_(True),
        "corrected": StoredEntry.verdict == "corrected",
        "unsure": _UNSURE,
        "automatic": and_(StoredEntry.automation == "automatic", StoredEntry.verdict.is_(None)),
        "all": StoredEntry.decision_seq > 0,
    }
    return conditions[wanted.view]


def _order(way: _Way) -> list[ColumnElement[Any]]:
    seq = StoredEntry.decision_seq
    columns: dict[Sort, list[tuple[Any, bool]]] = {
        "urgent": [(StoredEntry.calm, False), (seq, False)],
        "newest": [(seq, True)],
        "oldest": [(seq, False)],
        "unsure": [(func.coalesce(StoredEntry.confidence, 0.0), False), (seq, False)],
    }
    return [column.desc() if falls is not way.backwards else column.asc() for column, falls in columns[way.sort]]


def _behind(place: StoredEntry, view: View, way: _Way) -> ColumnElement[bool]:
    """Return the condition of standing behind a place in the order of a view, or in front of it.

    Whoever was spoken about has left the views of what waits: there its place is the one that it had before. Only who
    takes it for a second opinion has it in a list again.
    """
    seq, own, (sort, backwards) = StoredEntry.decision_seq, place.decision_seq, way
    if sort == "newest":
        return seq > own if backwards else seq < own
    if sort == "oldest":
        return seq < own if backwards else seq > own
    if sort == "unsure":
        key = tuple_(func.coalesce(StoredEntry.confidence, 0.0), seq)
        mine = (place.confidence or 0.0, own)
        return key < mine if backwards else key > mine
    has_left = view in _OF_WORK and not (view == "mine" and is_fresh(place))
    key, calm = tuple_(StoredEntry.calm, seq), not place.attention if has_left else place.calm
    return key < (calm, own) if backwards else key > (calm, own)
