"""What people said about decisions: only ever added to, taken back by another row, capped where a cap is set."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any
from uuid import uuid4

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from api.http.exceptions import Contradiction, NotAcceptable, NotFound, TooMuch
from api.store.autonomy import AutonomyRecords
from api.store.decisions import (
    decision_row,
    feedback_by_decision,
    feedback_row,
    newest_about,
    shown_rows,
    standing_routes,
    words_of,
    words_on,
)
from api.store.outbox import PendingUpdate, note_said, queue_updates, was_told, withdraw_updates
from api.store.rows import UNDONE, VERDICTS, DecisionRow, FeedbackRow, IdempotencyKey, dump, last_label, last_word
from api.store.tables import StoredDecision, StoredFeedback
from api.store.threads.sensitivity import review, texts_of, withhold
from api.store.work.entries import follow, is_reopened, place
from models.wire import DecisionDocument, RouteDocument
from triage.decision import Reason
from triage.escalation.standing import NOWHERE, Place
from triage.prediction import ROUTE

_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Statement:
    """What a person says about a decision.

    Attributes:
        verdict: ``accepted``, ``corrected`` or ``unsure``.
        agent: Who says it, as the helpdesk names its people.
        tier: The right tier, where it was corrected.
        category: The right category, where it was corrected.
        reason: Why, in a word or two.
        comment: Why, at length.
        resolver_group: The group that takes the ticket then, where something was corrected.
        labels: What is said to be right, by target; the group only where it was named, not where it follows.
        by_helpdesk: Whether it was said in the helpdesk itself, which then knows it.
        follows: Makes, of the decision with the route that stands, the one that stands after a correction; None changes
            the labels that are named and no other.
    """

    verdict: str
    agent: str
    tier: str | None = None
    category: str | None = None
    reason: str | None = None
    comment: str | None = None
    resolver_group: str | None = None
    labels: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}), kw_only=True)
    by_helpdesk: bool = field(default=False, kw_only=True)
    follows: Callable[[DecisionDocument], RouteDocument] | None = field(default=None, kw_only=True)


@dataclass(frozen=True)
class Labels:
    """Where feedback puts a ticket, None where it does not, and what it says is right of each target it speaks of."""

    tier: str | None = None
    category: str | None = None
    resolver_group: str | None = None
    said: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True)
class Caps:
    """Most statements a day that one API key, or one agent, may make; None for no cap."""

    per_key: int | None = None
    per_agent: int | None = None


class Feedback(AutonomyRecords):
    """The part of the repository that keeps feedback.

    A route that a person sets takes the place of whatever a helpdesk was still to be told of the ticket, in the same
    transaction.

    Attributes:
        told: Helpdesks that are told of routes.
    """

    told: frozenset[str] = frozenset()

    def feedback(
        self,
        decision_id: str,
        said: Statement,
        *,
        key_id: str | None = None,
        idempotency_key: IdempotencyKey | None = None,
        caps: Caps = Caps(),
        sensitive: bool = False,
    ) -> FeedbackRow:
        """Commit what a person says about a decision, and return the row; saying the same again adds nothing.

        `accepted` confirms the whole route of the decision; `corrected` states at least one part of it, and the others
        stay as they stand. The row holds the whole route that follows, and its labels hold what was stated.

        Args:
            decision_id: The decision.
            said: What is said of it.
            key_id: Who asked.
            idempotency_key: The request's.
            caps: How much is taken from one key or agent a day.
            sensitive: Whether the ticket is one for few eyes then.

        Raises:
            NotFound: There is no such decision.
            NotAcceptable: The verdict is unknown, or a correction names nothing.
            Contradiction: What is accepted is not what was decided.
            TooMuch: A cap is reached.
            KeyReused: The idempotency key was used for another request.
            StoreUnavailable: Nothing was recorded.
        """
        with self.database.writing() as session:
            names = [f"decision {decision_id}", *_locks_of(caps, key_id, said.agent)]
            self.database.serialise(session, *names, *([idempotency_key.lock] if idempotency_key else ()))
            refs = self.refs_of(session, idempotency_key) if idempotency_key else None
            earlier = session.scalar(select(StoredFeedback).where(StoredFeedback.id == refs[0])) if refs else None
            if earlier is not None:
                return feedback_row(earlier)
            said = self._kept_words(said)
            decision = self._of(session, decision_id)
            self._serialise_ticket(session, decision)
            labels = _labels(session, said, decision)
            row = _same(feedback_by_decision(session, [decision_id]).get(decision_id, ()), said, labels)
            if row is None or is_reopened(session, decision.seq):
                _check_caps(session, caps, key_id, said.agent)
                tier = self._stands(session, decision).tier
                row = _add(session, decision_id, said, labels, key_id=key_id)
                if sensitive:
                    withhold(session, decision)
                self._count_evidence(session, decision)
                if said.by_helpdesk and decision.ticket.ticket_id:
                    its = (decision.ticket.source, decision.ticket.ticket_id)
                    note_said(session, PendingUpdate(*its, decision.id, labels.said))
                if said.verdict != "unsure":
                    gave_way = "tier" not in labels.said and self._stands(session, decision).tier != tier
                    self._tell_route(session, decision, known=said.by_helpdesk and not gave_way)
            if idempotency_key:
                self.drop(session, idempotency_key)
                self.remember(session, idempotency_key, "feedback", [row.id])
            return row

    def undo(
        self,
        decision_id: str,
        feedback_id: str,
        agent: str,
        *,
        key_id: str | None = None,
        is_sensitive: Callable[[DecisionRow], bool] | None = None,
    ) -> FeedbackRow:
        """Take feedback back by adding a row that says so; taking it back twice adds nothing.

        Args:
            decision_id: The decision.
            feedback_id: What is taken back.
            agent: Who takes it back.
            key_id: Who asked.
            is_sensitive: Says of each decision about the ticket whether it is one for few eyes by what was decided and
                said, that feedback taken back; where none is, and no event made it so, the ticket opens. None leaves it
                as it is.

        Raises:
            NotFound: There is no such feedback on this decision.
            StoreUnavailable: Nothing was recorded.
        """
        with self.database.writing() as session:
            self.database.serialise(session, f"decision {decision_id}")
            decision = self._of(session, decision_id)
            self._serialise_ticket(session, decision)
            rows = feedback_by_decision(session, [decision_id]).get(decision_id, ())
            if not any(row.id == feedback_id and row.verdict != UNDONE for row in rows):
                raise NotFound(
                    "no-such-feedback",
                    "there is no such feedback on this decision: see its history for what there is",
                )
            earlier = next((row for row in rows if row.undoes == feedback_id), None)
            if earlier is not None:
                return earlier
            row = _add(session, decision_id, Statement(UNDONE, agent), Labels(), key_id=key_id, undoes=feedback_id)
            if is_sensitive is not None:
                review(session, decision, suspected=any(map(is_sensitive, _about_the_ticket(session, decision))))
            self._count_evidence(session, decision)
            if any(one.id == feedback_id and one.verdict != "unsure" for one in rows):
                self._tell_route(session, decision, known=False)
            return row

    def restate_route(self, source: str, ticket_id: str, *, unlike: Mapping[str, Any]) -> bool:
        """Queue the route that a person set on a ticket, for a helpdesk that was told another one meanwhile.

        Args:
            source: The helpdesk.
            ticket_id: Its id of the ticket.
            unlike: What it was told: where it is that very route, nothing is queued.

        Returns:
            Whether something was queued.

        Raises:
            StoreUnavailable: Nothing was queued.
        """
        with self.database.writing() as session:
            self.database.serialise(session, f"ticket {source} {ticket_id}")
            spoken = words_on(session, [(source, ticket_id)]).get((source, ticket_id))
            route = dict(spoken.route) if spoken is not None and spoken.route is not None else None
            if spoken is None or route is None or all(unlike.get(name) == label for name, label in route.items()):
                return False
            queue_updates(session, [_update_of(source, ticket_id, spoken.set[-1].about, route)])
            return True

    def repeat(
        self, decision_id: str, feedback_id: str, agent: str, *, key_id: str | None = None, caps: Caps = Caps()
    ) -> FeedbackRow:
        """Say the last word on a decision once more, for somebody who has seen what came up since; the ticket stays.

        Args:
            decision_id: The decision.
            feedback_id: What is said once more.
            agent: Who says it.
            key_id: Who asked.
            caps: How much is taken from one key or agent a day.

        Raises:
            NotFound: There is no such decision, or nobody has said anything about it.
            Contradiction: It is not the last word any more.
            TooMuch: A cap is reached.
            StoreUnavailable: Nothing was recorded.
        """
        with self.database.writing() as session:
            self.database.serialise(session, f"decision {decision_id}", *_locks_of(caps, key_id, agent))
            decision = self._of(session, decision_id)
            self._serialise_ticket(session, decision)
            last = last_word(feedback_by_decision(session, [decision_id]).get(decision_id, ()))
            if last is None or last.id != feedback_id:
                raise Contradiction("spoken-since", "somebody has spoken in the meantime: look at what stands now")
            _check_caps(session, caps, key_id, agent)
            place = NOWHERE if last.verdict == "unsure" else Place(**dict(self._stands(session, decision)))
            labels = Labels(*place, said=_said_by(last))
            row = _add(session, decision_id, Statement(last.verdict, agent, reason=last.reason), labels, key_id=key_id)
            self._count_evidence(session, decision)
            return row

    def _stands(self, session: Session, decision: StoredDecision) -> RouteDocument:
        """Return where the ticket of a decision stands."""
        return words_of(session, decision).standing(decision_row(newest_about(session, decision)), newest=True)

    def _serialise_ticket(self, session: Session, decision: StoredDecision) -> None:
        """Wait for whatever else is kept about the ticket of a decision: where it stands is part of what is said."""
        if decision.ticket.ticket_id:
            self.database.serialise(session, f"ticket {decision.ticket.source} {decision.ticket.ticket_id}")

    def _tell_route(self, session: Session, decision: StoredDecision, *, known: bool) -> None:
        """Withdraw what a helpdesk was to be told of the ticket, and tell it the route that stands now.

        Args:
            session: Of the transaction that keeps what was said.
            decision: What it was said about.
            known: Whether the helpdesk knows that route already.
        """
        source, ticket_id = decision.ticket.source, decision.ticket.ticket_id
        if source not in self.told or not ticket_id:
            return
        withdrawn, route = withdraw_updates(session, source, ticket_id), self._stands(session, decision)
        is_news = withdrawn or not was_told(session, source, ticket_id, dict(route))
        if is_news and not known:
            queue_updates(session, [_update_of(source, ticket_id, decision.id, dict(route))])

    def history(self, decision_id: str) -> tuple[FeedbackRow, ...]:
        """Return everything said about a decision, oldest first; nothing for an unknown one."""
        with self.database.reading() as session:
            return feedback_by_decision(session, [decision_id]).get(decision_id, ())

    def reopened(self, decision_id: str) -> bool:
        """Say whether something that must not wait came up after the last word on a decision."""
        with self.database.reading() as session:
            return is_reopened(session, self._of(session, decision_id).seq)

    def _count_evidence(self, session: Session, decision: StoredDecision) -> None:
        """Count what is said of a decision now as evidence on its model's autonomy, and bring its line up to it."""
        said = feedback_by_decision(session, [decision.id]).get(decision.id, ())
        follow(session, decision, said)
        for seq, route in standing_routes(session, decision).items():
            place(session, seq, route)
        self.count_review(session, decision.id, json.loads(decision.document), said)

    def _kept_words(self, said: Statement) -> Statement:
        """Return a statement as it is kept: redacted where the store is told to."""
        if self.redactor is None:
            return said
        redact = self.redactor.redact
        return replace(
            said,
            reason=redact(said.reason) if said.reason else said.reason,
            comment=redact(said.comment) if said.comment else said.comment,
        )

    def _of(self, session: Session, decision_id: str) -> StoredDecision:
        decision = session.scalar(select(StoredDecision).where(StoredDecision.id == decision_id))
        if decision is None:
            raise NotFound(
                "no-such-decision",
                "there is no decision with that id: it was never made here, or is past its retention",
            )
        return decision


def _about_the_ticket(session: Session, decision: StoredDecision) -> list[DecisionRow]:
    """Return all decisions about the ticket of one, with everything said about them."""
    query = select(StoredDecision).where(StoredDecision.ticket_seq.in_(texts_of(session, decision)))
    rows = list(session.scalars(query))
    said = feedback_by_decision(session, [row.id for row in rows])
    return [decision_row(row, said.get(row.id, ())) for row in rows]


def _update_of(source: str, ticket_id: str, decision_id: str, route: dict[str, str | None]) -> PendingUpdate:
    payload = {**route, "automation": "person", "reason": Reason.SET_BY_PERSON.value, "model_version": None}
    return PendingUpdate(source, ticket_id, decision_id, payload)


def _labels(session: Session, said: Statement, decision: StoredDecision) -> Labels:
    """Return what a statement says is right of a decision as it is shown, and where it puts the ticket."""
    stated = Labels(said.tier, said.category, said.resolver_group, _named(said))
    if said.verdict not in VERDICTS:
        raise NotAcceptable(
            "unknown-verdict", f"unknown verdict: it must be one of {', '.join(VERDICTS)}; choose one", "verdict"
        )
    if said.verdict == "corrected" and stated == Labels():
        raise NotAcceptable(
            "nothing-corrected",
            "corrected names nothing: state the right tier, category, resolver group or another target's label",
            "tier",
        )
    if said.verdict == "unsure":
        return stated
    row = decision_row(decision)
    shown = shown_rows(session, [row])[0].document
    if said.verdict == "corrected":
        beneath, before = words_of(session, decision).beneath(row), _correction_before(session, said, decision)
        place = beneath if before is None else _put_by(before, stated.said, beneath)
        route = _follows(said, shown.model_copy(update=dict(place)))
        earlier = {} if before is None else _said_by(before)
        stays = {name: label for name, label in earlier.items() if getattr(route, name, label) == label}
        return Labels(**dict(route), said={**stays, **stated.said})
    further = {name: target.label for name, target in shown.targets.items() if name not in ROUTE}
    labels = {name: label for name, label in {**dict(shown.route), **further}.items() if label}
    for part, label in stated.said.items():
        if labels.get(part) != label:
            message = f"accepted names another {part.replace('_', ' ')} than the decision: use corrected to change it"
            raise Contradiction("accepted-another", message)
    return Labels(**dict(shown.route), said=stated.said if said.by_helpdesk else labels)


def _correction_before(session: Session, said: Statement, decision: StoredDecision) -> FeedbackRow | None:
    """Return the correction that put the ticket where it stands, whose labels stay where this one says nothing of them.

    None where something else put it there, and for a helpdesk, which states all that stands there.
    """
    last = last_label(feedback_by_decision(session, [decision.id]).get(decision.id, ()))
    if last is None or last.verdict != "corrected" or said.by_helpdesk:
        return None
    stands = next(reversed(words_of(session, decision).set), None)
    return last if stands is not None and stands.word and stands.about == decision.id else None


def _put_by(before: FeedbackRow, stated: Mapping[str, str], beneath: RouteDocument) -> RouteDocument:
    """Return where a correction put a ticket, for another one that states some labels.

    A tier that only gave way to the category of the first comes back where the second states another category.
    """
    puts = {part: label for part, label in before.puts._asdict().items() if label is not None}
    if "category" in stated and "tier" not in _said_by(before):
        puts.pop("tier", None)
    return beneath.model_copy(update=puts)


def _follows(said: Statement, stands: DecisionDocument) -> RouteDocument:
    """Return the route that a correction leads to, from the one that stands."""
    if said.follows is not None:
        return said.follows(stands)
    named = {name: label for name in ROUTE if (label := getattr(said, name)) is not None}
    return stands.route.model_copy(update=named)


def _said_by(row: FeedbackRow) -> Mapping[str, str]:
    """Return the labels that a row says are right, by target."""
    if row.labels is not None:
        return row.labels
    return {name: label for name in ROUTE if (label := row.label_of(name)) is not None}


def _named(said: Statement) -> Mapping[str, str]:
    """Return the labels that a statement names, by target."""
    if said.labels:
        return said.labels
    return {name: label for name in ROUTE if (label := getattr(said, name)) is not None}


def _same(rows: tuple[FeedbackRow, ...], said: Statement, labels: Labels) -> FeedbackRow | None:
    """Return the row that says the same, if it is the last word on the decision."""
    last = last_word(rows)
    if last is None:
        return None
    its = Labels(*last.puts, said=last.labels if last.labels is not None else labels.said)
    mine = (said.verdict, said.agent, labels, said.reason, said.comment)
    return last if (last.verdict, last.agent, its, last.reason, last.comment) == mine else None


def _locks_of(caps: Caps, key_id: str | None, agent: str) -> list[str]:
    """Return what statements that count against the same cap wait for: each must see all that were made before it."""
    of_key = [] if caps.per_key is None else [f"feedback key {key_id}"]
    return of_key if caps.per_agent is None else [*of_key, f"feedback agent {agent}"]


def _check_caps(session: Session, caps: Caps, key_id: str | None, agent: str) -> None:
    since = datetime.now(UTC) - _DAY
    limits = (
        ("key", caps.per_key, StoredFeedback.key_id == key_id),
        ("agent", caps.per_agent, StoredFeedback.agent == agent),
    )
    for whose, most, mine in limits:
        if most is None:
            continue
        counted, oldest = session.execute(
            select(func.count(), func.min(StoredFeedback.created_at)).where(mine, StoredFeedback.created_at >= since)
        ).one()
        if counted >= most:
            wait_s = max(1, int((oldest + _DAY - datetime.now(UTC)).total_seconds()) + 1)
            raise TooMuch(
                f"feedback-cap-{whose}",
                f"too much feedback from one {whose}: {most} a day are taken; try later",
                wait_s,
            )


def _add(
    session: Session,
    decision_id: str,
    said: Statement,
    labels: Labels,
    *,
    key_id: str | None,
    undoes: str | None = None,
) -> FeedbackRow:
    row = StoredFeedback(
        id=str(uuid4()),
        decision_id=decision_id,
        verdict=said.verdict,
        tier=labels.tier,
        category=labels.category,
        resolver_group=labels.resolver_group,
        labels=dump(dict(labels.said)),
        agent=said.agent,
        key_id=key_id,
        reason=said.reason,
        comment=said.comment,
        undoes=undoes,
        created_at=datetime.now(UTC),
    )
    session.add(row)
    session.flush()
    return feedback_row(row)
