"""Questions whose answers tell labels apart, as data: what may be answered, and what each answer says of each label."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

BIAS, WORDS = "bias", "words"
"""Weights that every `told` has, beside those of other questions."""
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
        told: Weights of a logistic model of whether a ticket answers it in words that no pattern knows: ``bias``,
            ``words`` (for the logarithm of how many words it has), and by question, where the ticket answers that one.
            Empty where nobody learned them: then patterns alone say what is answered.
    """

    id: str
    ask: str
    options: tuple[Option, ...] = ()
    settles: Mapping[str, float] = field(default_factory=lambda: _NONE)
    told: Mapping[str, float] = field(default_factory=lambda: _NONE)


@dataclass(frozen=True)
class Statement:
    """What somebody says who chooses a label: its words instead of the label's name."""

    label: str
    says: str


@dataclass(frozen=True)
class Choice:
    """A question that is answered by choosing among the labels of a target, in words that a requester knows.

    Attributes:
        target: Whose labels are offered; a policy has at most one choice a target.
        ask: As it is asked.
        right: Probability that somebody who chooses chooses rightly, between 0.5 and 1.
        statements: What a label is offered as; one without a statement goes by its name.
    """

    target: str
    ask: str
    right: float = 0.9
    statements: tuple[Statement, ...] = ()

    @property
    def weight(self) -> float:
        """How many times likelier a label is chosen where it is right than where it is wrong.

        Wrong choices do not fall on all other labels alike: half of them are reckoned to fall on any one of them.

        Example:
            >>> round(Choice("tier", "?", right=0.9).weight, 1)
            18.0
        """
        return self.right / ((1.0 - self.right) / 2.0)
