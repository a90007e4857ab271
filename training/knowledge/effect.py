"""What accepted entries did: how many tickets stayed low since, against what would have without them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from math import sqrt

from training.knowledge.propose import LEAST_TOLD, Resolved
from triage.knowledge import Effect, Entry, score, words_of
from triage.policy import Policy

_Z = 1.959964
"""How many standard deviations 95 % of a normal distribution lie within, on either side."""


def effects(entries: Sequence[tuple[Entry, str]], history: Sequence[Resolved], policy: Policy) -> list[Effect]:
    """Say for each entry what became of its tickets before and since it was accepted.

    An entry's words were chosen to fit the tickets that it was made from: one of these fits only by words that enough
    others of them have. Else an entry of words that came together by chance would be credited with the tickets of
    others, which were never as seldom low as those.

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
    fitting = [one for one in _fitting(entry, history) if one.opened_at]
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


def _fitting(entry: Entry, history: Sequence[Resolved]) -> list[Resolved]:
    """Return the tickets that fit an entry, those that it was made from by words that they did not bring themselves."""
    said, own = [words_of(one.text) for one in history], dict.fromkeys(entry.tickets, frozenset[str]())
    for one, words in zip(history, said, strict=True):
        if one.id in own:
            own[one.id] |= words  # several messages are one ticket
    told = Counter(word for words in own.values() for word in words)

    def fits(ticket: Resolved, words: frozenset[str]) -> bool:
        counted = {word for word in words if told[word] > LEAST_TOLD} if ticket.id in own else words
        return score(entry.words, counted) >= entry.bar

    return [one for one, words in zip(history, said, strict=True) if fits(one, words)]


def _is_low(policy: Policy, ticket: Resolved, entry: Entry) -> float:
    return float(not policy.is_below(entry.tier, ticket.tier))


def _interval(before: Sequence[float], after: Sequence[float]) -> tuple[float, float]:
    """Return the 95 % interval of the tickets that stayed low, by the score method for two shares (Newcombe 1998).

    Where a few tickets were all high, or all low, it is wide all the same.
    """
    (old, old_low, old_high), (new, new_low, new_high) = (_share(side) for side in (before, after))
    low = new - old - sqrt((new - new_low) ** 2 + (old_high - old) ** 2)
    high = new - old + sqrt((new_high - new) ** 2 + (old - old_low) ** 2)
    return low * len(after), high * len(after)


def _share(side: Sequence[float]) -> tuple[float, float, float]:
    """Return a share with the ends of its 95 % interval by Wilson's score."""
    count, share = len(side), sum(side) / len(side)
    middle = (share + _Z**2 / (2 * count)) / (1 + _Z**2 / count)
    half = _Z / (1 + _Z**2 / count) * sqrt(share * (1 - share) / count + _Z**2 / (4 * count**2))
    return share, middle - half, middle + half
