"""What accepted entries did: how many tickets stayed low since, against what would have without them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from scipy.stats import bootstrap

from training.knowledge.propose import Resolved
from triage.knowledge import Effect, Entry, score, words_of
from triage.policy import Policy


def effects(entries: Sequence[Entry], history: Sequence[Resolved], policy: Policy) -> list[Effect]:
    """Say for each entry what became of its tickets before and since it was accepted.

    Args:
        entries: In the version that counts; the first acceptance is what divides before from since.
        history: Resolved tickets with dates.
        policy: The order of its tiers.
    """
    return [_effect(entry, history, policy) for entry in entries]


def _effect(entry: Entry, history: Sequence[Resolved], policy: Policy) -> Effect:
    accepted = datetime.fromisoformat(entry.accepted_at)
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
        saved_min=stayed * entry.saved_min,
    )


def _is_low(policy: Policy, ticket: Resolved, entry: Entry) -> float:
    return float(not policy.is_below(entry.tier, ticket.tier))


def _interval(before: Sequence[float], after: Sequence[float]) -> tuple[float, float]:
    """Return the 95 % interval of the tickets that stayed low, by the percentile bootstrap of both samples."""
    if len(set(before)) == 1 and len(set(after)) == 1:
        exact = (after[0] - before[0]) * len(after)
        return exact, exact
    found = bootstrap(
        (after, before),
        lambda new, old, axis: (new.mean(axis=axis) - old.mean(axis=axis)) * len(after),
        vectorized=True,
        n_resamples=2000,
        method="percentile",
        random_state=0,
    )
    return float(found.confidence_interval.low), float(found.confidence_interval.high)
