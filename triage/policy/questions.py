"""Questions whose answers tell tiers apart, as data: what may be answered, and what each answer says of each tier."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

_NONE: Mapping[str, float] = MappingProxyType({})


@dataclass(frozen=True)
class Option:
    """One possible answer.

    Attributes:
        answer: The answer in words: what the model reads where somebody only chose it.
        any: re2 patterns over lower-case text without accents: a ticket that holds one has answered already.
        tier: By tier, the probability of this answer among its tickets, in [0, 1]; learned from history where there is
            one (`triage policy questions`).
    """

    answer: str
    any: tuple[str, ...] = ()
    tier: Mapping[str, float] = field(default_factory=lambda: _NONE)


@dataclass(frozen=True)
class Question:
    """A question with its possible answers; what they leave of the probability is that nobody knows.

    Attributes:
        id: Its name.
        ask: As it is asked.
        options: The possible answers.
        settles: By the tier that is the most probable one, the probability that asking lets the model decide, in
            [0, 1]; learned from history. Empty where nobody measured it.
    """

    id: str
    ask: str
    options: tuple[Option, ...] = ()
    settles: Mapping[str, float] = field(default_factory=lambda: _NONE)
