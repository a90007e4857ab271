"""The gate: where the model's prediction is good enough to act on, and why it is not elsewhere."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import MappingProxyType

from triage.decision import Reason
from triage.policy import GatePolicy
from triage.prediction import Prediction, Score


class Promise(StrEnum):
    """For whom the certified risk of a target holds."""

    NEW_ROWS = "new_rows"
    NEW_GROUP = "new_group"
    NONE = "none"


@dataclass(frozen=True)
class TargetGate:
    """The gate of one target.

    Attributes:
        threshold: Lowest confidence that is kept, in [0, 1]; None keeps nothing (nothing could be certified).
        per_class: Thresholds of classes that were certified alone; None shuts the gate for that class. A class that is
            not named uses `threshold`.
        certified_risk: The error rate among kept tickets that was certified, in [0, 1]; None where none was.
        confidence: Probability with which the certified risk holds, in [0, 1].
        promise: For whom it holds: new tickets of those who wrote the calibration tickets, or a new group.
        guards: Labels that must not be missed, with the probability of each from which no other label is decided, in
            [0, 1]; 0 lets no other label be decided at all.
    """

    threshold: float | None = None
    per_class: Mapping[str, float | None] = field(default_factory=lambda: MappingProxyType({}))
    certified_risk: float | None = None
    confidence: float | None = None
    promise: Promise = Promise.NONE
    guards: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def decides_nothing(self) -> bool:
        """Whether the gate is shut for every label, however sure the model is: nothing could be certified."""
        return self.threshold is None and all(threshold is None for threshold in self.per_class.values())

    def threshold_of(self, label: str) -> float | None:
        """Return the threshold that applies to a label, or None where the gate is shut for it."""
        return self.per_class.get(label, self.threshold)

    def is_guarded(self, scores: Sequence[Score]) -> bool:
        """Say whether the first label must not be decided, because a label that must not be missed is likely enough.

        Example:
            >>> gate = TargetGate(0.8, guards={"security": 0.05})
            >>> gate.is_guarded((Score("ordinary", 0.9), Score("security", 0.1)))
            True
        """
        likely = {score.label: score.probability for score in scores}
        return any(scores[0].label != label and likely.get(label, 0.0) >= limit for label, limit in self.guards.items())


@dataclass(frozen=True)
class Gate:
    """When the model may decide on its own.

    Attributes:
        targets: One gate per target with a head.
        max_novelty: Tickets stranger than this are out of distribution; None switches the check off.
        languages: Languages of the training data; empty switches the check off.
        min_words: Texts with fewer words are too short.
        min_margin: Two labels closer than this are ambiguous: neither is decided, in [0, 1].
        max_ticket_risk_multiple: A single decision may be wrong with this many times the certified risk at most; the
            average says nothing about the ticket at hand.
        tolerated_ticket_risk: But up to this it may, in [0, 1].
        max_stranger: Tickets that belong to no label with more than this probability are out of distribution.
        max_excluded: Share of near tickets with an unlearnable label above which the model abstains, in [0, 1].
    """

    targets: Mapping[str, TargetGate] = field(default_factory=lambda: MappingProxyType({}))
    max_novelty: float | None = None
    languages: frozenset[str] = frozenset()
    min_words: int = 2
    min_margin: float = GatePolicy.min_margin
    max_excluded: float = 0.5
    max_ticket_risk_multiple: float = GatePolicy.max_ticket_risk_multiple
    tolerated_ticket_risk: float = GatePolicy.tolerated_ticket_risk
    max_stranger: float = GatePolicy.max_stranger

    def under(self, policy: GatePolicy) -> Gate:
        """Return this gate with the floors that a policy states."""
        return replace(
            self,
            min_margin=policy.min_margin,
            max_ticket_risk_multiple=policy.max_ticket_risk_multiple,
            tolerated_ticket_risk=policy.tolerated_ticket_risk,
            max_stranger=policy.max_stranger,
        )

    def readable(self, risk: float | None = None) -> Gate:
        """Return this gate with every threshold at nothing: what it keeps back is not for a lack of confidence.

        Args:
            risk: Target risk, which the floor under single decisions is a multiple of; None takes that of each target.
        """
        opened = {
            target: TargetGate(0.0, certified_risk=one.certified_risk if risk is None else risk)
            for target, one in self.targets.items()
        }
        return replace(self, targets=opened)

    def reason(self, target: str, prediction: Prediction | None) -> Reason:
        """Say why the model may decide a target (`CONFIDENT`) or why it abstains.

        What the text is (foreign, too short, strange) is asked before how sure the model is: a confident answer
        to a text the model cannot read is worth nothing. Two floors lie under the threshold, which is right on average
        only: the runner-up must not be close, and this very ticket must not be wrong with too high a probability.

        The gate was certified for the model alone. Where reviews corrected it, both must pass with the same label: so
        reviews withdraw automatic decisions, and never add one or change its label.

        Args:
            target: Name of the target, such as ``tier``.
            prediction: The model's prediction; None without a model.
        """
        if prediction is None:
            return Reason.MODEL_UNAVAILABLE
        found, alone = self._reason(target, prediction), prediction.without_reviews
        if found is not Reason.CONFIDENT or alone is prediction:
            return found
        corrected, own = prediction.top(target), alone.top(target)
        if corrected is None or own is None or corrected.label != own.label:
            return Reason.LOW_CONFIDENCE
        return self._reason(target, alone)

    def _reason(self, target: str, prediction: Prediction) -> Reason:
        scores = prediction.probabilities.get(target, ())
        if not scores:
            return Reason.NO_HEAD
        unreadable = self.unreadable(target, prediction)
        if unreadable is not None:
            return unreadable
        margin = scores[0].probability - scores[1].probability if len(scores) > 1 else 1.0
        if margin < self.min_margin:
            return Reason.AMBIGUOUS
        threshold = self.targets.get(target, TargetGate()).threshold_of(scores[0].label)
        floor = 1.0 - self.max_ticket_risk(target)
        if threshold is None or scores[0].probability < max(threshold, floor):
            return Reason.LOW_CONFIDENCE
        if prediction.sureness(scores[0]) < floor:
            return Reason.OUT_OF_DISTRIBUTION
        guarded = self.targets.get(target, TargetGate()).is_guarded(scores)
        return Reason.RECALL_GUARD if guarded else Reason.CONFIDENT

    def max_ticket_risk(self, target: str) -> float:
        """Return the probability of being wrong above which no single ticket is decided, in [0, 1]."""
        certified = self.targets.get(target, TargetGate()).certified_risk
        return 1.0 if certified is None else self.ticket_risk_limit(certified)

    def ticket_risk_limit(self, target_risk: float) -> float:
        """Return what a single decision may risk where this is the target on average, both in [0, 1]."""
        return min(1.0, max(self.max_ticket_risk_multiple * target_risk, self.tolerated_ticket_risk))

    def reads(self, language: str | None, written: Collection[str] = ()) -> bool:
        """Say whether a text may be in one of the languages of the training data; yes where nothing tells.

        Args:
            language: What was stated or detected.
            written: Languages that it may be in by its script; none where that is the Latin one.
        """
        if not self.languages:
            return True
        by_script = not written or not self.languages.isdisjoint(written)
        return by_script and (language is None or language in self.languages)

    def unreadable(self, target: str, prediction: Prediction) -> Reason | None:
        """Say why a text cannot be judged, however sure the model is: foreign, too short, or strange; None if it can.

        The language is asked first: to say more helps nobody whose language is not read.

        Args:
            target: Name of the target, such as ``tier``.
            prediction: The model's prediction.
        """
        if not self.reads(prediction.language, prediction.written):
            return Reason.UNSUPPORTED_LANGUAGE
        if prediction.words < self.min_words:
            return Reason.TOO_SHORT
        strange = self.max_novelty is not None and prediction.novelty > self.max_novelty
        if strange or prediction.stranger > self.max_stranger:
            return Reason.OUT_OF_DISTRIBUTION
        if prediction.excluded.get(target, 0.0) > self.max_excluded:
            return Reason.CLASS_EXCLUDED
        return None
