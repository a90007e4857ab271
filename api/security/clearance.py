"""Who may read a ticket: the one place that decides who sees a decision's text, comments, evidence and similar tickets.

A ticket is sensitive where its category may be one that the policy keeps from most eyes: the one that was decided, the
one that the model holds for likely, or one that a person corrected it to. Another correction does not open it again,
so that nobody opens a ticket by relabelling it; taking the first one back does, and asks for the clearance.
"""

from __future__ import annotations

from collections.abc import Iterable

from api.http.exceptions import NotAllowed
from api.store.rows import UNDONE, DecisionRow, FeedbackRow
from models.wire import DecisionDocument
from triage.policy import Policy


def may_read(policy: Policy, row: DecisionRow, clearance: int) -> bool:
    """Say whether somebody with that clearance may read what a ticket and the comments on it say."""
    return clearance >= policy.sensitive_clearance or not (row.sensitive or is_said_sensitive(policy, row.feedback))


def sensitive_after_undo(policy: Policy, row: DecisionRow, feedback_id: str, clearance: int) -> bool:
    """Say whether a ticket is still sensitive once some feedback is taken back by somebody with that clearance.

    Raises:
        NotAllowed: It would open the ticket to somebody who may not read it.
    """
    sensitive = is_suspected(policy, row.document) or is_said_sensitive(policy, row.feedback, without=feedback_id)
    if not sensitive and not may_read(policy, row, clearance):
        raise NotAllowed(
            "withheld",
            "the ticket is sensitive and this key's clearance too low: ask somebody who may read it to take that back",
        )
    return sensitive


def document_for(policy: Policy, row: DecisionRow, clearance: int) -> DecisionDocument:
    """Return a decision as somebody with that clearance may see it: labels always, words where they may be read."""
    if not may_read(policy, row, clearance):
        return row.document.without_explanation()
    return row.document_for(clearance)


def is_suspected(policy: Policy, document: DecisionDocument) -> bool:
    """Say whether a decision may belong to a sensitive category: it was named, or the model thinks it likely."""
    verdict = document.targets.get("category")
    if verdict is None:
        return False
    named = {verdict.label, *verdict.likely, *(one.label for one in verdict.alternatives[:1])}
    return bool(sensitive_categories(policy) & named)


def is_said_sensitive(policy: Policy, feedback: Iterable[FeedbackRow], without: str | None = None) -> bool:
    """Say whether people put a ticket in a sensitive category, and did not take that back.

    Args:
        policy: Names the sensitive categories.
        feedback: Everything that was said.
        without: Id of feedback that is left aside, as if it had been taken back.
    """
    said = list(feedback)
    undone = {one.undoes for one in said if one.undoes} | {without}
    sensitive = sensitive_categories(policy)
    return any(one.category in sensitive and one.verdict != UNDONE and one.id not in undone for one in said)


def sensitive_categories(policy: Policy) -> frozenset[str | None]:
    """Return the categories that the policy keeps from most eyes."""
    return frozenset(entry.label for entry in policy.categories if entry.sensitive)
