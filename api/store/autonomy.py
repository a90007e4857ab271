"""The evidence on autonomy in the store: what reviews say of each model, and the mode that follows from it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from api.store.decisions import feedback_by_decision
from api.store.idempotency import IdempotencyKeys
from api.store.outbox import PendingUpdate, queue_updates
from api.store.people.users import several_people, signer
from api.store.rows import FeedbackRow, dump, last_label
from api.store.tables import StoredAutonomy, StoredAutonomyChange, StoredDecision, StoredFeedback, StoredReview
from triage.autonomy import Autonomy, Mode, Review
from triage.decision import Reason, Source

EVENT = "autonomy"
"""What an update about autonomy has in the place of a ticket's id, before the target."""


@dataclass(frozen=True)
class Beginning:
    """What is known of a model's target before people have reviewed any of its decisions here.

    Attributes:
        target_risk: Highest error rate that may be automatic, in (0, 1).
        delta: Chance of a false opening, in (0, 1).
        own: Whether the model was trained on this organisation's tickets.
        outcomes: Its answers to the organisation's own closed tickets, in the order of time: True for an error.
    """

    target_risk: float
    delta: float
    own: bool = False
    outcomes: tuple[bool, ...] = ()


@dataclass(frozen=True)
class AutonomyRow:
    """How far a model may go for one target, since when, and why.

    Attributes:
        target: Of the model.
        state: What the reviews come to.
        because: Why the mode is what it is.
        changed_at: When it became that.
        reviews_to_go: Clean reviews until automation opens, whoever of several people is left out; 0 where it is open.
    """

    target: str
    state: Autonomy
    because: str
    changed_at: datetime
    reviews_to_go: int


@dataclass(frozen=True)
class ModeChange:
    """Automation for one target opened or closed."""

    target: str
    model_version: str
    mode: Mode
    because: str
    reviews: int
    errors: int
    changed_at: datetime


class AutonomyRecords(IdempotencyKeys):
    """The part of the repository that keeps reviews as evidence, and what they allow.

    A verdict that is taken back or changed lets everything be counted anew from the beginning, so that two workers and
    a restart come to the same; what is shut opens then only if all the reviews together allow it now.

    Attributes:
        reviewers: How many different people must have reviewed before automation opens; 0 asks that where several
            people have accounts it stands whoever of them is left out.
        subscribers: Helpdesks that are told of every change of mode.
        on_change: Called with each change, inside the transaction that makes it.
    """

    reviewers: int = 0
    subscribers: tuple[str, ...] = ()
    on_change: Callable[[ModeChange], object] = staticmethod(lambda change: None)

    def adopt_model(self, version: str, targets: Mapping[str, Beginning]) -> None:
        """Begin to keep evidence on a model that was taken into use; one that is known already goes on as it stands.

        A model that was trained on this organisation's tickets takes over an open automation from one before it that
        was so too, unless its own history speaks against it: the comparison that promotes it was made on the same
        tickets, and the watch over the audit slice begins anew. Any other model begins with nothing.

        Args:
            version: Of the model.
            targets: What is known of each of its targets.

        Raises:
            StoreUnavailable: Nothing was changed.
        """
        with self.database.writing() as session:
            self.database.serialise(session, EVENT)
            in_use = select(StoredAutonomy).where(StoredAutonomy.in_use.is_(True))
            before = {row.target: row for row in session.scalars(in_use)}
            is_known = all(session.get(StoredAutonomy, (version, target)) is not None for target in targets)
            for target, beginning in targets.items():
                row = session.get(StoredAutonomy, (version, target))
                if row is None:
                    self._begin(session, version, target, beginning, before=before.get(target))
                elif not row.in_use:
                    self._resume(session, row)
            for old in before.values():
                old.in_use = old.model_version == version
            if not is_known:
                self._count_earlier(session, version)

    def autonomy_of(self, version: str) -> dict[str, AutonomyRow]:
        """Return how far a model may go, by target; nothing for one that was never taken into use."""
        with self.database.reading() as session:
            query = select(StoredAutonomy).where(StoredAutonomy.model_version == version)
            rows = session.scalars(query).all()
            return {row.target: self._autonomy_row(session, row) for row in rows}

    def _autonomy_row(self, session: Session, row: StoredAutonomy) -> AutonomyRow:
        """Return what the reviews of a model's target come to, and how many are missing, of others where need be."""
        state = Autonomy.from_document(json.loads(row.state))
        to_go = state.reviews_to_go
        if state.mode is Mode.SUGGEST and self.reviewers:
            to_go = max(to_go, self.reviewers - _agents(session, row))
        elif state.mode is Mode.SUGGEST and several_people(session):
            to_go = _reviews_to_go_of_others(row.base, tuple(_reviews(session, row)))
        return AutonomyRow(row.target, state, row.because, changed_at=row.changed_at, reviews_to_go=to_go)

    def autonomy_changes(self, limit: int = 100) -> list[ModeChange]:
        """Return the latest changes of mode, newest first."""
        with self.database.reading() as session:
            query = select(StoredAutonomyChange).order_by(StoredAutonomyChange.seq.desc()).limit(limit)
            return [_mode_change(row) for row in session.scalars(query)]

    def count_review(
        self, session: Session, decision_id: str, answer: Mapping[str, Any], feedback: Sequence[FeedbackRow]
    ) -> None:
        """Count what people say about a decision now, in the transaction that keeps what they said.

        Args:
            session: Of that transaction.
            decision_id: The decision.
            answer: Its document.
            feedback: Everything said about it, oldest first.
        """
        version = answer.get("model_version")
        verdicts = {target: verdict for target, verdict in answer.get("targets", {}).items() if _counts(verdict)}
        if not version or not verdicts:
            return
        self.database.serialise(session, EVENT)
        settled = last_label(list(feedback))
        for target, verdict in verdicts.items():
            row = session.get(StoredAutonomy, (version, target))
            if row is not None:
                self._count(session, row, decision_id, verdict=verdict, settled=settled)

    def _count_earlier(self, session: Session, version: str) -> None:
        """Count what was said of a model's decisions while the store did not know it: a restored backup was older."""
        session.flush()
        query = (
            select(StoredFeedback.decision_id, StoredDecision.document)
            .join(StoredDecision, StoredFeedback.decision_id == StoredDecision.id)
            .where(StoredDecision.model_version == version)
            .group_by(StoredFeedback.decision_id, StoredDecision.document)
            .order_by(func.max(StoredFeedback.seq))
        )
        for decision_id, document in session.execute(query).all():
            said = feedback_by_decision(session, [decision_id])[decision_id]
            self.count_review(session, decision_id, json.loads(document), said)

    def _count(
        self,
        session: Session,
        row: StoredAutonomy,
        decision_id: str,
        *,
        verdict: Mapping[str, Any],
        settled: FeedbackRow | None,
    ) -> None:
        error = _is_error(row.target, verdict, settled)
        key = StoredReview.decision_id == decision_id, StoredReview.target == row.target
        review = session.scalar(select(StoredReview).where(*key))
        if review is None and error is None:
            return
        before = Autonomy.from_document(json.loads(row.state))
        several = several_people(session)
        agent = _pseudonym(signer(settled, several)) if settled else ""
        if review is None:
            review = StoredReview(
                decision_id=decision_id, target=row.target, model_version=row.model_version,
                audited=_is_draw(session, row, decision_id, verdict), error=error, agent=agent,
                created_at=datetime.now(UTC),
            )  # fmt: skip
            session.add(review)
            session.flush()
            may_open = self.reviewers <= 1 or _agents(session, row) >= self.reviewers
            after = before.update(bool(error), audited=review.audited, may_open=may_open)
            if after.mode is not before.mode and several:
                after = self._recount(session, row, before.mode, several=several)
        elif (review.error, review.agent) == (error, agent):
            return
        else:
            review.error, review.agent = error, agent or review.agent
            session.flush()
            after = self._recount(session, row, before.mode, several=several)
        row.state = dump(after.to_document())
        if after.mode is not before.mode:
            self._change(session, row, after, _why(after, before))

    def _recount(self, session: Session, row: StoredAutonomy, mode: Mode, *, several: bool) -> Autonomy:
        """Return the state that all reviews of a model's target make, from the beginning, where this is the mode."""
        base = Autonomy.from_document(json.loads(row.base))
        nobody_alone = several and not self.reviewers
        was_open = mode is Mode.AUTOMATIC
        return base.recount(
            _reviews(session, row), reviewers=self.reviewers, nobody_alone=nobody_alone, was_open=was_open
        )

    def _begin(
        self, session: Session, version: str, target: str, beginning: Beginning, *, before: StoredAutonomy | None
    ) -> None:
        fresh = Autonomy.begin(beginning.target_risk, beginning.delta)
        state = fresh.replay(beginning.outcomes) if beginning.own else fresh
        because = _first_reason(beginning, state)
        was_open = before is not None and before.mode == Mode.AUTOMATIC
        if state.mode is Mode.SUGGEST and was_open and before is not None and _may_take_over(beginning, before):
            state = Autonomy.begin(beginning.target_risk, beginning.delta, carried=True)
            because = (
                f"taken over from model {before.model_version}: both were trained on this organisation's tickets, and "
                "nothing in the history of this one speaks against it"
            )
        now = datetime.now(UTC)
        document = state.to_document()
        row = StoredAutonomy(
            model_version=version, target=target, base=dump({**document, "own": beginning.own}), state=dump(document),
            mode=state.mode.value, because=because, changed_at=now, in_use=True,
        )  # fmt: skip
        session.add(row)
        if was_open is not (state.mode is Mode.AUTOMATIC):
            self._change(session, row, state, because)

    def _resume(self, session: Session, row: StoredAutonomy) -> None:
        """Take a model into use again that was in use before; its own evidence stands, what came meanwhile too."""
        row.in_use = True
        told = select(StoredAutonomyChange.mode).where(StoredAutonomyChange.target == row.target)
        last = session.scalar(told.order_by(StoredAutonomyChange.seq.desc()).limit(1))
        if row.mode != (last or Mode.SUGGEST):
            state = Autonomy.from_document(json.loads(row.state))
            self._change(session, row, state, f"model {row.model_version} is in use again: {row.because}")

    def _change(self, session: Session, row: StoredAutonomy, state: Autonomy, because: str) -> None:
        """Note a change of mode; of the model in use, owe everybody who wants to know an update."""
        row.mode, row.because, row.changed_at = state.mode.value, because, datetime.now(UTC)
        if not row.in_use:
            return  # what decides goes on as it is
        change = StoredAutonomyChange(
            target=row.target, model_version=row.model_version, mode=row.mode, because=because,
            reviews=state.reviews, errors=state.errors, created_at=row.changed_at,
        )  # fmt: skip
        session.add(change)
        session.flush()
        payload = {
            "event": EVENT, "target": row.target, "mode": row.mode, "because": because,
            "reviews": state.reviews, "errors": state.errors, "target_risk": state.opening.target_risk,
            "model_version": row.model_version, "changed_at": row.changed_at.isoformat(),
        }  # fmt: skip
        queue_updates(session, [PendingUpdate(name, f"{EVENT} {row.target}", "", payload) for name in self.subscribers])
        self.on_change(_mode_change(change))


def _may_take_over(beginning: Beginning, before: StoredAutonomy) -> bool:
    """Say whether a model may go on where the one before it was: both trained here, same promise, no bad history."""
    both_own = beginning.own and json.loads(before.base).get("own", False)
    open_state = Autonomy.begin(beginning.target_risk, beginning.delta, carried=True)
    unspoilt = open_state.replay(beginning.outcomes).mode is Mode.AUTOMATIC
    same_promise = json.loads(before.state)["target_risk"] <= beginning.target_risk
    return both_own and unspoilt and same_promise


def _counts(verdict: Mapping[str, Any]) -> bool:
    """Say whether a person's word on this verdict is a review: the gate was passed, and the ticket went to people."""
    return verdict.get("source") == Source.MODEL and (
        verdict.get("reason") == Reason.NOT_EARNED or bool(verdict.get("audit"))
    )


def _is_draw(session: Session, row: StoredAutonomy, decision_id: str, verdict: Mapping[str, Any]) -> bool:
    """Say whether a ticket is a fair draw from what is automatic: audited, or all go to people though it is open.

    A ticket that went to people while automation was not open is a draw from those before the opening, however late it
    is reviewed.
    """
    if verdict.get("audit"):
        return True
    decided = session.scalar(select(StoredDecision.created_at).where(StoredDecision.id == decision_id))
    return row.mode == Mode.AUTOMATIC and decided is not None and decided > row.changed_at


def _is_error(target: str, verdict: Mapping[str, Any], settled: FeedbackRow | None) -> bool | None:
    """Return whether a person found the model's label wrong; None where that was not said."""
    stated = settled.label_of(target) if settled is not None else None
    return None if stated is None else stated != verdict.get("label")


def _agents(session: Session, row: StoredAutonomy) -> int:
    counted = StoredReview.model_version == row.model_version, StoredReview.target == row.target
    query = select(func.count(StoredReview.agent.distinct())).where(*counted, StoredReview.error.is_not(None))
    return session.scalar(query) or 0


def _pseudonym(agent: str) -> str:
    """Return what tells people apart without naming them: reviews outlive the tickets that they are about."""
    return hashlib.sha256(agent.encode()).hexdigest()[:16]


def _first_reason(beginning: Beginning, state: Autonomy) -> str:
    if not beginning.own:
        return "the model was not trained on this organisation's tickets: it has to earn autonomy by reviews made here"
    seen = f"{state.reviews} closed tickets of this organisation that it had not seen, {state.errors} errors"
    if state.mode is Mode.AUTOMATIC:
        return f"{seen}: an error rate above {beginning.target_risk * 100:g} % is ruled out"
    if not beginning.outcomes:
        return "no closed tickets of this organisation were set aside at training that the model would have decided"
    return f"{seen}: not enough to rule out an error rate above {beginning.target_risk:g}"


def _why(after: Autonomy, before: Autonomy) -> str:
    risk = after.opening.target_risk
    if after.mode is Mode.AUTOMATIC:
        return f"{after.reviews} reviews, {after.errors} errors: an error rate above {risk * 100:g} % is ruled out"
    seen, late = after.closing, after.opening
    if after.openings >= before.openings and seen.failed and seen != before.closing:
        return f"{seen.errors} errors in {seen.reviews} audited tickets: the error rate has risen above {risk:g}"
    if late.reviews > before.opening.reviews:
        return (
            f"late reviews of tickets from before it opened: {late.errors} errors in {late.reviews} reviews no longer "
            f"speak for an error rate below {risk:g}"
        )
    return "a review that had counted was taken back or changed, and the others do not suffice"


@lru_cache(maxsize=16)
def _reviews_to_go_of_others(base: str, reviews: tuple[Review, ...]) -> int:
    return Autonomy.from_document(json.loads(base)).reviews_to_go_of_others(reviews)


def _reviews(session: Session, row: StoredAutonomy) -> list[Review]:
    """Return the reviews of a model's target that say something, in their order."""
    query = select(StoredReview.error, StoredReview.audited, StoredReview.agent).where(
        StoredReview.model_version == row.model_version,
        StoredReview.target == row.target,
        StoredReview.error.is_not(None),
    )
    found = session.execute(query.order_by(StoredReview.seq))
    return [Review(bool(error), audited, who) for error, audited, who in found]


def _mode_change(row: StoredAutonomyChange) -> ModeChange:
    return ModeChange(
        target=row.target,
        model_version=row.model_version,
        mode=Mode(row.mode),
        because=row.because,
        reviews=row.reviews,
        errors=row.errors,
        changed_at=row.created_at,
    )
