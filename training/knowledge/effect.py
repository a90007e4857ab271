"""What accepted entries did: how many tickets stayed low since, against what would have without them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np

from training.knowledge.propose import Resolved
from triage.knowledge import Effect, Entry, score, words_of
from triage.policy import Policy


def effects(entries: Sequence[tuple[Entry, str]], history: Sequence[Resolved], policy: Policy) -> list[Effect]:
    """Say for each entry what became of its tickets before and since it was accepted.

    Args:
        entries: In the version that counts, each with the moment of its first acceptance (ISO 8601), which
            divides before from since.
        history: Resolved tickets with dates.
        policy: The order of its tiers.
    """
    return [_effect(entry, first, history, policy) for entry, first in entries]


def _effect(entry: Entry, first: str, history: Sequence[Resolved], policy: Policy) -> Effect:
    accepted = datetime.fromisoformat(first)
    accepted = accepted if accepted.tzinfo else accepted.replace(tzinfo=UTC)
    fitting = [one for one in history if one.opened_at and score(entry.words, words_of(one.text)) >= entry.bar]
    before = [_is_low(policy, one, entry) for one in fitting if one.opened_at and one.opened_at < accepted]
    after = [_is_low(policy, one, entry) for one in fitting if one.opened_at and one.opened_at >= accepted]
    shares = (sum(before) / max(1, len(before)), sum(after) / max(1, len(after)))
    stayed = (shares[1] - shares[0]) * len(after) if before else 0.0
    low, high = _interval(before, after) if before and after else (0.0, 0.0)
    return Effect(
        id=entry.id,
        title=entry.title,
        before=len(before),
        low_before=shares[0],
        after=len(after),
        low_after=shares[1],
        stayed_low=stayed,
        low=low,
        high=high,
        saved_min=stayed * entry.saved_min if stayed else 0.0,
    )


def _is_low(policy: Policy, ticket: Resolved, entry: Entry) -> float:
    return float(not policy.is_below(entry.tier, ticket.tier))


def _interval(before: Sequence[float], after: Sequence[float]) -> tuple[float, float]:
    """Return the 95 % interval of the tickets that stayed low, by the percentile bootstrap of both samples."""
    rng = np.random.default_rng(0)
    old, new = (rng.choice(side, (2000, len(side))).mean(axis=1) for side in (before, after))
    low, high = np.quantile((new - old) * len(after), (0.025, 0.975))
    return float(low), float(high)
