"""Who may read a ticket: the one place that decides who sees a decision's text, comments, evidence and similar tickets.

A ticket is sensitive where its category may be one that the policy keeps from most eyes: the one that was decided, the
one that the model holds for likely, or one that a person corrected it to. What the policy in use calls sensitive is so
for the tickets that came before, too. It is so with all its texts: neither another
correction nor a new text opens it again, so that nobody opens a ticket by relabelling or rewriting it. Taking the
correction back does where nothing else speaks for it, and asks for the clearance. Nobody judges a ticket that they may
not read.

Where a ticket may go follows from that, with one difference: who says of a ticket that is kept by its category alone
that it is of another one, open to all, may send it anywhere. A helpdesk's mark, and what happened since, stay.
"""

from __future__ import annotations

from collections.abc import Iterable

from api.http.exceptions import NotAllowed
from api.security.auth import Principal
from api.store.rows import DecisionRow, FeedbackRow, NewDecision, standing_feedback
from models.wire import DecisionDocument
from triage import restriction
from triage.policy import Policy


def may_read(policy: Policy, row: DecisionRow, clearance: int) -> bool:
    """Say whether somebody with that clearance may read what a ticket and the comments on it say."""
    return clearance >= policy.sensitive_clearance or not is_kept(policy, row)


def is_kept(policy: Policy, row: DecisionRow) -> bool:
    """Say whether a ticket is kept from most eyes: as it was when something was said of it, or by the policy in use."""
    return row.sensitive or is_sensitive(policy, row)


def is_restricted(policy: Policy, row: DecisionRow, category: str | None = None) -> bool:
    """Say whether a ticket goes to tiers and groups alone that may see what is sensitive.

    A ticket that is kept by its category alone goes anywhere once a person says that it is of another one, open to all:
    one that differs from the category that stands, or that a person has set in place of the machine's. To repeat what
    the machine says beside another label is no word on it.

    Args:
        policy: Names the sensitive categories.
        row: The newest decision about the ticket, with where it stands.
        category: The one that a person states for it now; None where none is stated.
    """
    stands = row.stands.category if row.stands is not None else row.document.category
    if (category or stands) in policy.sensitive_categories:
        return True
    if not is_kept(policy, row):
        return False
    by_category = is_suspected(policy, row.document) or is_said_sensitive(policy, row.said_of_ticket or row.feedback)
    if row.marked or not by_category:
        return True
    return category in (None, stands) and not _is_replaced(policy, row, stands)


def _is_replaced(policy: Policy, row: DecisionRow, stands: str | None) -> bool:
    """Say whether the category that stands is a person's own, and not the one that the machine names and doubts."""
    said = row.settled.puts.category if row.settled is not None else None
    by_person = row.set_route.category if row.set_route is not None else said
    machine = row.document.targets.get("category")
    doubted = is_suspected(policy, row.document) and machine is not None and machine.label == stands
    return by_person == stands and not doubted


def may_be_told(policy: Policy, row: DecisionRow, principal: Principal) -> bool:
    """Say whether somebody may be told words of a ticket, beside those of its first text, in an answer.

    Keys without the scope ``read`` send tickets and events, and are told where they go.
    """
    return principal.reads_words and may_read(policy, row, principal.clearance)


def may_read_category(policy: Policy, category: str | None, clearance: int) -> bool:
    """Say whether somebody with that clearance may read what was made of tickets of a category.

    Nobody can tell whether a category is sensitive that the policy in use does not know: it is taken to be so.
    """
    if category is None or clearance >= policy.sensitive_clearance:
        return True
    known = policy.canonical("category", category)
    return known in policy.labels("category") and known not in policy.sensitive_categories


def is_sensitive(policy: Policy, row: DecisionRow) -> bool:
    """Say whether what was decided and said about a ticket, and where it stands, makes it sensitive."""
    stands = row.stands is not None and row.stands.category in policy.sensitive_categories
    return stands or is_suspected(policy, row.document) or is_said_sensitive(policy, row.feedback)


def check_may_judge(policy: Policy, row: DecisionRow, clearance: int) -> None:
    """Refuse somebody who may not read a ticket to judge it.

    Raises:
        NotAllowed: The ticket is withheld from that clearance.
    """
    if not may_read(policy, row, clearance):
        raise NotAllowed(
            "withheld",
            "the ticket is sensitive and this key's clearance too low: nobody judges what they may not read",
        )


def document_for(policy: Policy, row: DecisionRow, clearance: int) -> DecisionDocument:
    """Return a decision as somebody with that clearance may see it: labels always, words where they may be read."""
    if not may_read(policy, row, clearance):
        return row.document.without_explanation()
    return row.document_for(clearance)


def answer_for(policy: Policy, row: DecisionRow, sender: Principal) -> DecisionDocument:
    """Return a decision as whoever sends its ticket is answered.

    The first text of a ticket to which nothing happened is the sender's own. Whatever else a decision may quote, of
    other texts and of events, is told as far as it may be read: nothing of events to a key without the scope ``read``.
    """
    if not row.has_history:
        return row.document_for(sender.clearance)
    if sender.writes_only or (row.has_events and not sender.reads_words):
        return row.document.without_explanation()
    return document_for(policy, row, sender.clearance)


def answer_unstored(policy: Policy, new: NewDecision, sender: Principal) -> DecisionDocument:
    """Return a decision that the store does not have as whoever sends its ticket is answered.

    Nobody can look then whether the ticket is sensitive: what was decided with its events is taken to be so.
    """
    document = new.document.without_similar() if sender.clearance < new.clearance else new.document
    if new.grown and not (sender.reads_words and sender.clearance >= policy.sensitive_clearance):
        document = document.without_explanation()
    return document.model_copy(update={"stored": False})


def is_suspected(policy: Policy, document: DecisionDocument) -> bool:
    """Say whether a decision is restricted, or may belong to a category that is sensitive under the policy in use."""
    return document.restricted or restriction.is_suspected(policy, document.targets.get("category"))


def is_said_sensitive(policy: Policy, feedback: Iterable[FeedbackRow]) -> bool:
    """Say whether people put a ticket in a sensitive category, and did not take that back.

    Args:
        policy: Names the sensitive categories.
        feedback: Everything that was said.
    """
    return any(one.category in policy.sensitive_categories for one in standing_feedback(feedback))
