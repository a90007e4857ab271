"""Clusters of resolved tickets of higher tiers that share a resolution become proposals to hand it down."""

from __future__ import annotations

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import AgglomerativeClustering
from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS, TfidfVectorizer

from triage.escalation.criteria import skills_needed
from triage.knowledge import ARTICLE, SCRIPT, Proposal, score, words_of
from triage.policy import Policy, Tier

_OF_RESOLUTION = 0.6
"""Share of the resolution in how alike two tickets are; the rest is what the requesters said."""
ALIKE = 0.25
"""Mean likeness of two groups of tickets from which on they are one: looked at on the shipped tickets."""
LEAST_TICKETS = 3
_MOST_TICKETS = 4000
"""Tickets that are clustered: the newest ones, for each is compared with each."""
_WORDS, _SHOWN_RESOLUTIONS, _TITLE_WORDS = 12, 5, 4
_RESOLUTION_CHARS = 2000
"""So much of a resolution is shown: a draft has room for five of them."""
_LEAST_PRECISION = 0.8
LEAST_TOLD = 2
"""Tickets of a kind that have to have a word before it is one of the words that tell them."""
_SELF = re.compile(
    r"\b(?:article|knowledge base|faq|how-?to|help page|explained|told (?:how|where)|guide|instructions? sent|link)\b",
    re.IGNORECASE,
)
"""Words of a resolution that needed nobody's hands: an article says the same."""
_MONTH_DAYS = 30.4


@dataclass(frozen=True)
class Resolved:
    """A resolved ticket.

    Attributes:
        id: Its id.
        text: What came in.
        resolution: What ended it, in words; empty where nobody said.
        tier: The tier that resolved it, in the policy's words.
        category: Its category; None where it has none.
        opened_at: When it came; None if unknown.
        sensitive: Whether only some tiers may see it: such tickets are never handed down.
    """

    id: str
    text: str
    resolution: str
    tier: str
    category: str | None = None
    opened_at: datetime | None = None
    sensitive: bool = False


def propose(resolved: Sequence[Resolved], policy: Policy, least: int = LEAST_TICKETS) -> list[Proposal]:
    """Return what could be handed down, what would save the most minutes a month first.

    Args:
        resolved: The history, all tiers: what is low already tells how well a proposal's words tell its tickets apart.
        policy: The order of its tiers, handling times, and which categories are sensitive.
        least: Tickets that have to share a resolution.
    """
    low = policy.first_line
    sensitive = policy.sensitive_categories
    open_ones = [one for one in resolved if not one.sensitive and one.category not in sensitive]
    high = [one for one in open_ones if policy.is_below(low[-1], one.tier) and one.tier not in policy.external_tiers]
    high = sorted(high, key=lambda one: (one.opened_at is not None, one.opened_at or 0), reverse=True)[:_MOST_TICKETS]
    if len(high) < max(2, least):
        return []
    kinds: dict[int, list[Resolved]] = defaultdict(list)
    for one, label in zip(high, _clusters(high).tolist(), strict=True):
        kinds[label].append(one)
    history = _History.of(open_ones)
    found = [_proposal(kind, history, policy, low) for kind in kinds.values() if len({one.id for one in kind}) >= least]
    return sorted((one for one in found if one.words), key=lambda one: (-one.per_month * one.saved_min, one.id))


@dataclass(frozen=True)
class _History:
    """What proposals are compared with: the words of each ticket, in how many each word is, and the tickets' months."""

    words: Sequence[tuple[str, frozenset[str]]]
    counts: Counter[str]
    months: float

    @classmethod
    def of(cls, tickets: Sequence[Resolved]) -> _History:
        words = [(one.id, words_of(one.text)) for one in tickets]
        moments = [one.opened_at for one in tickets if one.opened_at is not None]
        days = (max(moments) - min(moments)).total_seconds() / 86_400 if moments else 0.0
        return cls(words, Counter(word for _, said in words for word in said), max(1.0, days / _MONTH_DAYS))


def _clusters(tickets: Sequence[Resolved]) -> NDArray[np.int64]:
    """Return a cluster for each ticket, by average linkage on words of resolutions and of texts."""
    likeness = (1 - _OF_RESOLUTION) * _cosines([one.text for one in tickets])
    said = np.array([bool(one.resolution.strip()) for one in tickets])
    if said.any():
        likeness += _OF_RESOLUTION * _cosines([one.resolution or "" for one in tickets])
        untold = ~(said[:, None] & said[None, :])
        likeness[untold] /= 1 - _OF_RESOLUTION  # where one has no resolution, the texts are all there is
    else:
        likeness /= 1 - _OF_RESOLUTION
    grouping = AgglomerativeClustering(
        n_clusters=None, metric="precomputed", linkage="average", distance_threshold=1 - ALIKE
    )
    labels: NDArray[np.int64] = grouping.fit_predict(np.clip(1 - likeness, 0, None))
    return labels


def _cosines(texts: Sequence[str]) -> NDArray[np.float64]:
    vectorizer = TfidfVectorizer(analyzer=_informative, sublinear_tf=True, min_df=2)
    try:
        vectors = vectorizer.fit_transform(texts)
    except ValueError:  # no word comes twice: nothing is alike
        return np.eye(len(texts))
    found: NDArray[np.float64] = (vectors @ vectors.T).toarray()
    return found


def _informative(text: str) -> list[str]:
    return [word for word in sorted(words_of(text)) if len(word) > 2 and word not in ENGLISH_STOP_WORDS]


def _proposal(tickets: Sequence[Resolved], history: _History, policy: Policy, low: Sequence[str]) -> Proposal:
    ids = tuple(sorted({one.id for one in tickets}))  # a ticket may be there with several messages
    words = _words(tickets, history)
    bar, precision, recall = _bar(words, frozenset(ids), history)
    typical = sorted(tickets, key=lambda one: (-score(words, words_of(f"{one.text} {one.resolution}")), one.id))
    resolutions = tuple(dict.fromkeys(said for one in typical if (said := one.resolution.strip()[:_RESOLUTION_CHARS])))
    from_tier = Counter(one.tier for one in tickets).most_common(1)[0][0]
    told = sum(bool(_SELF.search(one.resolution)) for one in tickets) * 2 >= len(tickets)
    kind = ARTICLE if told and len(low) > 1 else SCRIPT
    tier = low[0] if kind == ARTICLE else low[-1]
    category = Counter(one.category for one in tickets).most_common(1)[0][0]
    return Proposal(
        id=f"k-{hashlib.sha256(' '.join(ids).encode()).hexdigest()[:10]}",
        title=", ".join(list(words)[:_TITLE_WORDS]),
        kind=kind,
        tier=tier,
        from_tier=from_tier,
        category=category,
        tickets=ids,
        words=words,
        bar=bar,
        precision=precision,
        recall=recall,
        resolutions=resolutions[:_SHOWN_RESOLUTIONS],
        per_month=round(len(ids) / history.months, 3),
        saved_min=round(saved_min(policy, from_tier, tier), 1),
        cover=tuple(_cover(tickets, policy, kind, tier)),
        categories=tuple(sorted({one.category for one in tickets if one.category is not None})),
    )


def _words(tickets: Sequence[Resolved], history: _History) -> dict[str, float]:
    """Return the words of the requesters that tell these tickets from others, with weights that add up to 1."""
    inside = Counter(word for one in tickets for word in set(_informative(one.text)))
    rest = max(1, len(history.words) - len(tickets))
    weights = {}
    for word, count in inside.items():
        share = count / len(tickets)
        other = (history.counts[word] - count + 0.5) / (rest + 1)
        if count >= LEAST_TOLD and share >= 0.3 and share > 2 * other:
            weights[word] = share * float(np.log(share / other))
    best = sorted(weights, key=lambda word: (-weights[word], word))[:_WORDS]
    total = sum(weights[word] for word in best)
    return {word: round(weights[word] / total, 4) for word in best}


def _bar(words: dict[str, float], own: frozenset[str], history: _History) -> tuple[float, float, float]:
    """Return a bar with the precision and recall that it has: four in five right, and the most of its kind so.

    Where no bar has that precision, it is the one of the best F1.
    """
    best: dict[str, float] = defaultdict(float)
    for name, said in history.words:  # a ticket fits by the message of it that fits best
        best[name] = max(best[name], score(words, said))
    scored = sorted(((value, name in own) for name, value in best.items()), reverse=True)
    found, right = [], 0
    for rank, (value, fits) in enumerate(scored, 1):
        right += fits
        if value > 0 and (rank == len(scored) or scored[rank][0] != value):
            found.append((value, right / rank, right / len(own)))
    precise = [one for one in found if one[1] >= _LEAST_PRECISION]
    chosen = max(precise, key=lambda one: (one[2], one[1])) if precise else max(found, key=_f1, default=(1.0, 0.0, 0.0))
    below = max((value for value, _ in scored if value < chosen[0]), default=0.0)
    between = (chosen[0] + below) / 2  # new ones say it in other words: as far below the last right one as can be
    return round(between, 4), round(chosen[1], 3), round(chosen[2], 3)


def _f1(found: tuple[float, float, float]) -> float:
    _, precision, recall = found
    return precision * recall / (precision + recall) if precision + recall else 0.0


def saved_min(policy: Policy, from_tier: str, tier: str) -> float:
    """Return the minutes of work that a ticket saves which ends at a lower tier, by the policy's figures.

    That is the difference of the handling times, and a reassignment for each tier between the first line and the one
    where it ended; work at a tier where nobody works counts nothing.

    Example:
        >>> from triage.policy import Tier
        >>> tiers = (Tier("L1", handling_min=12), Tier("L2", handling_min=60), Tier("L3", handling_min=180))
        >>> saved_min(Policy("1", tiers=tiers), "L3", "L1")
        188.0
    """
    order = policy.labels("tier")
    steps = order.index(from_tier) - max(order.index(tier), order.index(policy.first_line[-1]))
    return max(0.0, _work(policy, from_tier) - _work(policy, tier) + steps * policy.escalation.reassign_min)


def _work(policy: Policy, tier: str) -> float:
    entry = policy.entry("tier", tier)
    return (entry.handling_min or 0.0) if isinstance(entry, Tier) and entry.staffed and not entry.external else 0.0


def _cover(tickets: Sequence[Resolved], policy: Policy, kind: str, tier: str) -> list[str]:
    """Say what an entry has to cover: what to recognise, the steps, what it takes, and when to hand up all the same."""
    entry = policy.entry("tier", tier)
    skills = sorted({name for one in tickets for name in skills_needed(policy, f"{one.text}\n{one.resolution}", tier)})
    said = ["how to tell these tickets from others: the words above, and what to ask where they are missing"]
    said += [f"the steps of {len({one.resolution for one in tickets})} resolutions, as one order of work"]
    if skills:
        said.append(f"what {tier} has no access to so far, and some of these needed: {', '.join(skills)}")
    if kind == SCRIPT and isinstance(entry, Tier):
        said += [f"what to hand over where it does not help: {item}" for item in entry.hand_over]
    if kind == ARTICLE:
        said.append("what the requester sees at each step, and whom to ask where it does not help")
    return said
