"""Which tickets are kept from most eyes: those whose category may be a sensitive one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from triage.policy import Policy


class _Score(Protocol):
    @property
    def label(self) -> str: ...


class CategoryVerdict(Protocol):
    """What was decided of the category, in the domain or as it was answered."""

    @property
    def label(self) -> str | None:
        """The category named."""

    @property
    def likely(self) -> Iterable[str]:
        """The categories that hold the right one at the stated confidence."""

    @property
    def alternatives(self) -> Sequence[_Score]:
        """The model's own ranking, most probable first."""


def is_suspected(policy: Policy, verdict: CategoryVerdict | None) -> bool:
    """Say whether a ticket may belong to a sensitive category: it was named, or the model thinks it likely.

    Args:
        policy: Names the sensitive categories.
        verdict: What was decided of the category; None where there is no such target.
    """
    if verdict is None:
        return False
    named = {verdict.label, *verdict.likely, *(score.label for score in verdict.alternatives[:1])}
    return bool(policy.sensitive_categories & named)
