"""Which tickets are kept from most eyes: those whose category is probably a sensitive one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from triage.policy import Policy

SUSPICION = 0.25
"""Probability of the sensitive categories, together, from which a ticket is restricted. On shipped tickets of unseen
organisations the whole set of likely categories moved as many ordinary tickets as sensitive ones to a scarcer tier."""


class _Score(Protocol):
    @property
    def label(self) -> str: ...

    @property
    def probability(self) -> float: ...


class CategoryVerdict(Protocol):
    """What was decided of the category, in the domain or as it was answered."""

    @property
    def label(self) -> str | None:
        """The category named."""

    @property
    def alternatives(self) -> Sequence[_Score]:
        """The model's own ranking, most probable first."""


def is_suspected(policy: Policy, verdict: CategoryVerdict | None) -> bool:
    """Say whether a ticket may belong to a sensitive category: it was named, or has a probability of `SUSPICION`.

    Args:
        policy: Names the sensitive categories.
        verdict: What was decided of the category; None where there is no such target.
    """
    return suspected_category(policy, verdict) is not None


def suspected_category(policy: Policy, verdict: CategoryVerdict | None) -> str | None:
    """Return the sensitive category that a ticket may belong to, the likeliest where there are several; None if none.

    Args:
        policy: Names the sensitive categories.
        verdict: What was decided of the category; None where there is no such target.
    """
    if verdict is None or verdict.label in policy.sensitive_categories:
        return None if verdict is None else verdict.label
    scores = [score for score in verdict.alternatives if score.label in policy.sensitive_categories]
    probability = sum(score.probability for score in scores)
    likeliest = max(scores, key=lambda score: score.probability, default=None)
    return likeliest.label if likeliest is not None and probability >= SUSPICION else None
