"""Feedback as training rows: what people confirmed or corrected, and what only the machine said."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from api.privacy.redact import Redactor
from api.store.decisions import decision_row, feedback_by_decision
from api.store.erasure import restored_in
from api.store.idempotency import IdempotencyKeys
from api.store.people.users import several_people, signer
from api.store.rows import DecisionRow, FeedbackRow, ReviewedTicket, disputed_among
from api.store.tables import StoredDecision, StoredFeedback, StoredTicket
from triage.prediction import in_order
from triage.ticket import Ticket

PERSON, MACHINE = "person", "machine"
ALONE = 50
"""Labels that one person may contribute whatever the others say: what a desk's corrections of a week come to, and too
few to turn a model trained on a history of hundreds."""
_CHUNK = 500


@dataclass(frozen=True)
class ExportRules:
    """What is exported.

    Attributes:
        people_only: Leave out tickets that nobody has said anything about.
        cap_per_agent: Most labels of one day that one agent may contribute; None for no cap.
        cap_per_key: Most labels of one day that may come in by one API key; None for no cap.
        settled_after: How old feedback must be to count.
        skip_disputed: Leave out decisions on which people disagree.
        outweighed: Where several people have accounts, take no more labels of one of them than of all others together,
            or `ALONE` where those have fewer.
        redactor: Takes personal data and secrets out of the texts; None exports them as they are kept.
    """

    people_only: bool = False
    cap_per_agent: int | None = 500
    cap_per_key: int | None = 5000
    settled_after: timedelta = timedelta(0)
    skip_disputed: bool = False
    outweighed: bool = True
    redactor: Redactor | None = None


class Shares:
    """Counts how much each person and key contributes, and says what is too much.

    Args:
        several: Whether several people have accounts.
    """

    def __init__(self, several: bool = False) -> None:
        self.several = several
        self._counted: Counter[tuple[str, str, str]] = Counter()
        self._allowed: dict[str, int] = {}

    def weigh(self, said: Iterable[FeedbackRow | None]) -> None:
        """Count who says how much in all, so that nobody outweighs all the others."""
        labels = Counter(signer(one, self.several) for one in said if one is not None and _names_a_label(one))
        if self.several:
            self._allowed = {who: max(ALONE, labels.total() - mine) for who, mine in labels.items()}

    def refusal(self, said: FeedbackRow, rules: ExportRules) -> str | None:
        """Count one more label, and return why it is too much; None where it is not."""
        day = said.created_at.date().isoformat()
        who = signer(said, self.several)
        for whose, name, most in (("agent", who, rules.cap_per_agent), ("key", said.key_id or "", rules.cap_per_key)):
            self._counted[day, whose, name] += 1
            if most is not None and self._counted[day, whose, name] > most:
                return f"over the daily cap of one {whose}"
        self._counted["", "all", who] += 1
        if self._counted["", "all", who] > self._allowed.get(who, self._counted["", "all", who]):
            return "more of one person than of all others"
        return None


class Export(IdempotencyKeys):
    """The part of the repository that turns feedback into training rows."""

    def training_rows(self, rules: ExportRules, left_out: Counter[str] | None = None) -> Iterator[dict[str, Any]]:
        """Yield one row for each text that was decided, oldest first; forgotten ones are left out.

        Labels are those of the feedback that stands; without any, those of the decision, and `label_source` says
        ``machine``: such rows teach nothing. A correction of one label says nothing about the other, so that one is
        null; the resolver group is the one that takes the ticket after the correction, null where the tier is.

        Args:
            rules: What is exported.
            left_out: Where to count rows that a rule left out, by its reason.
        """
        count = Shares()
        if rules.outweighed:
            with self.database.reading() as session:
                count.several = several_people(session)
            if count.several:
                count.weigh(row.settled for row, _ in self._decided())
        left_out = Counter() if left_out is None else left_out
        for row, columns in self._decided():
            exported = _exported(row, columns, rules, count=count, left_out=left_out)
            if exported is not None:
                yield exported

    def disputed(self) -> list[DecisionRow]:
        """Return the decisions on which agents disagree, oldest first."""
        return [row for row, _ in self._decided() if is_disputed(row)]

    def reviews_state(self) -> tuple[str | None, int, int, str | None]:
        """Return what changes whenever what people said, or a text that it may be about, changes."""
        forgotten = select(func.count()).select_from(StoredTicket).where(StoredTicket.forgotten_at.is_not(None))
        last = select(StoredFeedback.id).order_by(StoredFeedback.seq.desc()).limit(1)
        with self.database.reading() as session:
            count = session.scalar(select(func.count()).select_from(StoredFeedback)) or 0
            return session.scalar(last), count, int(session.scalar(forgotten) or 0), restored_in(session)

    def reviewed(self, limit: int, rules: ExportRules = ExportRules()) -> list[ReviewedTicket]:
        """Return the tickets that people judged last, oldest first, with the feedback that stands.

        Args:
            limit: Most of them.
            rules: How many of one agent and one key count a day, and whether disputed ones do.
        """
        spoken = (
            select(StoredFeedback.decision_id, func.max(StoredFeedback.seq).label("last"))
            .group_by(StoredFeedback.decision_id)
            .order_by(func.max(StoredFeedback.seq).desc())
            .limit(limit)
            .subquery()
        )
        query = select(StoredDecision).join(spoken, StoredDecision.id == spoken.c.decision_id).order_by(spoken.c.last)
        with self.database.reading() as session:
            count = Shares(several_people(session) and rules.outweighed)
            decisions = [row for row in session.scalars(query) if row.ticket.forgotten_at is None]
            said = feedback_by_decision(session, [row.id for row in decisions])
            judged = [(row, decision_row(row, said.get(row.id, ()))) for row in decisions]
            count.weigh(row.settled for _, row in judged)
            return [
                _reviewed(stored.ticket, row, row.settled)
                for stored, row in judged
                if row.settled is not None
                and _teaches(row.settled, row)
                and not _refusal(row, row.settled, rules, count)
            ]

    def decided_tickets(self, decisions: Collection[str]) -> dict[str, Ticket]:
        """Return the tickets that decisions are about, with all that the model may see, by the decision's id.

        Those that were forgotten are left out.
        """
        query = (
            select(StoredDecision.id, StoredTicket)
            .join(StoredDecision.ticket)
            .where(StoredDecision.id.in_(decisions), StoredTicket.forgotten_at.is_(None))
        )
        with self.database.reading() as session:
            found = session.execute(query) if decisions else ()
            return {decision_id: _ticket(stored) for decision_id, stored in found}

    def _decided(self) -> Iterator[tuple[DecisionRow, dict[str, Any]]]:
        """Yield every decision that counts, oldest first: the last about a text, and all that people spoke about."""
        after = 0
        while True:
            query = select(StoredDecision).where(StoredDecision.seq > after).order_by(StoredDecision.seq).limit(_CHUNK)
            with self.database.reading() as session:
                decisions = list(session.scalars(query))
                said = feedback_by_decision(session, [row.id for row in decisions])
                last = _last_decisions(session, decisions)
                kept = [
                    row for row in decisions if row.ticket.forgotten_at is None and (row.id in said or row.seq in last)
                ]
                found = [(decision_row(row, said.get(row.id, ())), _columns(row.ticket)) for row in kept]
            yield from found
            if not decisions:
                return
            after = decisions[-1].seq


def _names_a_label(said: FeedbackRow) -> bool:
    named = {"tier", "category", *(said.labels or {})}
    return any(said.label_of(target) for target in named)


def _teaches(said: FeedbackRow, row: DecisionRow) -> bool:
    """Say whether a person named a label of what the model decides: a group that follows from a rule is none."""
    return any(said.label_of(target) for target in _learned(row))


def _learned(row: DecisionRow) -> tuple[str, ...]:
    return in_order({"tier", "category", *row.document.targets})


def _ticket(stored: StoredTicket) -> Ticket:
    return Ticket(
        id=stored.ticket_id or "",
        subject=stored.subject,
        body=stored.body,
        channel=stored.channel,
        language=stored.language,
        attributes=json.loads(stored.attributes),
    )


def _reviewed(stored: StoredTicket, row: DecisionRow, said: FeedbackRow) -> ReviewedTicket:
    labels = {target: label for target in _learned(row) if (label := said.label_of(target))}
    return ReviewedTicket(row.id, _ticket(stored), labels, sensitive=row.sensitive)


def _last_decisions(session: Session, decisions: list[StoredDecision]) -> set[int]:
    """Return the numbers of the last decision about each of the texts."""
    tickets = {row.ticket_seq for row in decisions}
    query = (
        select(func.max(StoredDecision.seq))
        .where(StoredDecision.ticket_seq.in_(tickets))
        .group_by(StoredDecision.ticket_seq)
    )
    return set(session.scalars(query)) if tickets else set()


def is_disputed(row: DecisionRow) -> bool:
    """Say whether agents disagree: their last words on a decision name different labels."""
    return disputed_among(row.feedback)


def _columns(ticket: StoredTicket) -> dict[str, Any]:
    columns: dict[str, Any] = {
        "id": ticket.ticket_id,
        "desk": ticket.source,
        "subject": ticket.subject,
        "body": ticket.body,
        "channel": ticket.channel,
        "language": ticket.language,
        "opened_at": ticket.opened_at.isoformat() if ticket.opened_at else None,
    }
    return columns | {f"attributes.{name}": value for name, value in json.loads(ticket.attributes).items()}


def _exported(
    row: DecisionRow,
    columns: dict[str, Any],
    rules: ExportRules,
    *,
    count: Shares,
    left_out: Counter[str],
) -> dict[str, Any] | None:
    said = row.settled
    refusal = _refusal(row, said, rules, count)
    if refusal:
        left_out[refusal] += 1
        return None
    group = said.resolver_group if said else row.document.resolver_group
    if said is not None and not _teaches(said, row):
        said = None  # only a group that no model decides was corrected: of the labels people said nothing
    decided = row.document.targets
    tier, category = (said.tier, said.category) if said else (row.document.tier, row.document.category)
    others = {
        target: said.label_of(target) if said else decided[target].label
        for target in in_order(decided)
        if target not in ("tier", "category")
    }
    if not any((tier, category, *others.values())) or (said is None and rules.people_only):
        return None
    # A group that nobody learned goes with a tier alone, else training would take the group's tier for a label.
    group = others.pop("resolver_group", group if tier is not None else None)
    if rules.redactor is not None:
        columns = {
            name: rules.redactor.redact(value) if _is_text(name, value) else value for name, value in columns.items()
        }
    return {
        **columns,
        "tier": tier,
        "category": category,
        "resolver_group": group,
        "resolver_group_source": (PERSON if said and _names_group(said, row) else MACHINE) if group else None,
        **{f"targets.{target}": label for target, label in others.items()},
        "label_source": PERSON if said else MACHINE,
        "sensitive": row.sensitive,
        "decision_id": row.id,
        "verdict": said.verdict if said else None,
        "labelled_at": (said.created_at if said else row.created_at).isoformat(),
        "model_version": row.document.model_version,
    }


def _names_group(said: FeedbackRow, row: DecisionRow) -> bool:
    """Say whether a person named the group: by a correction, or by accepting one that the model decided for itself."""
    return bool(said.label_of("resolver_group")) and (said.verdict == "corrected" or "resolver_group" in _learned(row))


def _is_text(name: str, value: object) -> bool:
    return isinstance(value, str) and (name in ("subject", "body") or name.startswith("attributes."))


def _refusal(row: DecisionRow, said: FeedbackRow | None, rules: ExportRules, count: Shares) -> str | None:
    if said is None:
        return None
    if datetime.now(UTC) - said.created_at < rules.settled_after:
        return "unsettled"
    if rules.skip_disputed and is_disputed(row):
        return "disputed"
    return count.refusal(said, rules)
