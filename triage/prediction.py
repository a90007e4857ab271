"""What the model predicts for a ticket; no verdict in it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import NamedTuple

ROUTE = ("tier", "category", "resolver_group")
"""The targets that a route is made of, in the order in which they are reported; a helpdesk may have others."""

SCORED = ("ticket_id", "automation", "novelty")
"""Columns of a scored file that are about the ticket as a whole."""

SAID_OF_A_TARGET = ("source", "reason", "confidence", "top")
"""What a scored file says of a target beside its label, in the columns ``TARGET_source`` and so on."""

KEPT_BESIDE = ("vectors", "topics", "sensitive")
"""What a bundle keeps of past tickets beside their labels, in files that are named like those of the targets."""


def in_order(targets: Iterable[str]) -> tuple[str, ...]:
    """Return targets in the order in which they are decided and reported: those of the route, then others by name.

    Example:
        >>> in_order({"priority", "category", "tier"})
        ('tier', 'category', 'priority')
    """
    found = set(targets)
    return (*(target for target in ROUTE if target in found), *sorted(found.difference(ROUTE)))


def name_problem(target: str, targets: Iterable[str]) -> str | None:
    """Say why a target beside tier and category cannot have its name among others: files have other things so.

    Args:
        target: Its name.
        targets: The targets that there are beside those of a route.

    Example:
        >>> name_problem("novelty", []), name_problem("risk_reason", ["priority"])
        ("a scored file has a column 'novelty' of its own", None)
        >>> name_problem("tier_top", [])
        "a scored file has a column 'tier_top' for the target 'tier'"
    """
    if target in SCORED:
        return f"a scored file has a column {target!r} of its own"
    if target in KEPT_BESIDE:
        return f"a bundle keeps something else of past tickets as {target!r}"
    other, _, what = target.rpartition("_")
    if what in SAID_OF_A_TARGET and other in {*ROUTE, *targets}:
        return f"a scored file has a column {target!r} for the target {other!r}"
    return None


class Score(NamedTuple):
    """A label and its calibrated probability in [0, 1]."""

    label: str
    probability: float


@dataclass(frozen=True)
class Term:
    """A word or field and how far it pushed the label, in logits (positive: towards it)."""

    term: str
    weight: float


@dataclass(frozen=True)
class Neighbour:
    """A similar ticket of the desk's history: its id, cosine similarity in [-1, 1], its labels, and what ended it."""

    ticket_id: str
    similarity: float
    labels: Mapping[str, str]
    title: str = ""
    ending: str = ""


@dataclass(frozen=True)
class ReviewVote:
    """What people of this desk said of similar tickets: how many of so many name this label for this target."""

    target: str
    label: str
    agree: int
    reviews: int


@dataclass(frozen=True)
class Explanation:
    """Why the model predicts what it does: words that counted, what it resembles, and what the desk's reviews say.

    Attributes:
        target: Whose label is explained; None where nothing is.
        label: The label that `terms` speak for or against: the first one as the policy ranks them, answers included.
        rival: The second one, which `against` speaks for; None where there is no other.
        terms: Words, fields and rules for and against the label.
        against: Words that speak for the rival instead.
        similar: The nearest past tickets.
        reviews: What people said of similar tickets since the model was trained.
    """

    target: str | None = None
    label: str | None = None
    rival: str | None = None
    terms: tuple[Term, ...] = ()
    against: tuple[Term, ...] = ()
    similar: tuple[Neighbour, ...] = ()
    reviews: tuple[ReviewVote, ...] = ()


@dataclass(frozen=True)
class Prediction:
    """The model's prediction for one ticket.

    Attributes:
        probabilities: Per target with a head, every label with its probability, most probable first.
        novelty: How strange the ticket is to the desk's history; grows with strangeness, typically in [0, 2].
        stranger: Probability that the ticket belongs to none of the labels, in [0, 1]; 0 where it was not learned.
        language: Detected ISO 639-1 code; None where the text is too short to tell.
        written: Languages that the text may be in by its script, as ISO 639-1 codes; none where that is the Latin one.
        excluded: Per target, the share of the nearest tickets whose label was too rare to learn, in [0, 1].
        sets: Per target, the smallest set of labels that holds the right one at the stated confidence.
        words: Number of words the model could read.
        truncated: Whether the encoder saw only the beginning of the text.
        explanation: Empty unless it was asked for.
        unreviewed: As `probabilities`, before this desk's reviews corrected them; empty where none did.
        by_first_stage: Whether the first stage predicted it, without the encoder.
    """

    probabilities: Mapping[str, tuple[Score, ...]]
    novelty: float = 0.0
    stranger: float = 0.0
    language: str | None = None
    written: tuple[str, ...] = ()
    excluded: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    sets: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))
    words: int = 0
    truncated: bool = False
    explanation: Explanation = field(default_factory=Explanation)
    unreviewed: Mapping[str, tuple[Score, ...]] = field(default_factory=lambda: MappingProxyType({}))
    by_first_stage: bool = False

    @property
    def without_reviews(self) -> Prediction:
        """What the model predicts on its own, which is what its gate was certified for."""
        return replace(self, probabilities=self.unreviewed, unreviewed={}) if self.unreviewed else self

    def top(self, target: str) -> Score | None:
        """Return the most probable label of a target, or None without a head for it."""
        scores = self.probabilities.get(target, ())
        return scores[0] if scores else None

    def sureness(self, score: Score) -> float:
        """Return the probability that the ticket belongs to one of the labels and that it is this one, in [0, 1]."""
        return score.probability * (1.0 - self.stranger)
