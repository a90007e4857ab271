"""What was decided about a ticket, by whom and why; it computes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from triage.normalise import LeftOut
from triage.prediction import Explanation, Score
from triage.screening.attention import Attention


class Automation(StrEnum):
    """How far a verdict may be acted on without a person."""

    AUTOMATIC = "automatic"
    SUGGESTED = "suggested"
    BLANK = "blank"


class Source(StrEnum):
    """Who named the label."""

    MODEL = "model"
    BYPASS_RULE = "bypass_rule"
    FALLBACK_RULE = "fallback_rule"
    DEFAULT = "default"
    PERSON = "person"


class Reason(StrEnum):
    """Why a verdict is automatic, or why the model abstained."""

    CONFIDENT = "confident"
    RULE = "rule"
    LOW_CONFIDENCE = "low_confidence"
    AMBIGUOUS = "ambiguous"
    OUT_OF_DISTRIBUTION = "out_of_distribution"
    UNSUPPORTED_LANGUAGE = "unsupported_language"
    TOO_SHORT = "too_short"
    ILLEGAL_PAIR = "illegal_pair"
    CLASS_EXCLUDED = "class_excluded"
    NO_HEAD = "no_head"
    MODEL_UNAVAILABLE = "model_unavailable"
    NOT_EARNED = "not_earned"
    NOT_A_TICKET = "not_a_ticket"
    TOO_VAGUE = "too_vague"
    RECALL_GUARD = "recall_guard"
    SET_BY_PERSON = "set_by_person"
    STORE_UNAVAILABLE = "store_unavailable"


@dataclass(frozen=True)
class TargetDecision:
    """The outcome for one target.

    Attributes:
        label: The label named; None where nothing names one.
        automation: Whether it may be acted on.
        source: Who named it.
        reason: Why it is automatic, or why the model abstained.
        confidence: Calibrated probability for the model, measured precision for a rule, else None.
        alternatives: The model's own ranking, most probable first.
        likely: Labels that hold the right one at the stated confidence; empty without a head.
        rule: Name of the rule that named the label, if one did.
        audit: Whether it would have been automatic, and was drawn at random for a person to check.
        ticket_risk: This ticket's own probability that the model's label is wrong, in [0, 1]; None for another source.
        certified_risk: Error rate that the automatic decisions of this target keep on average, as it was certified,
            in [0, 1]; None where nothing was.
    """

    label: str | None
    automation: Automation
    source: Source
    reason: Reason
    confidence: float | None = None
    alternatives: tuple[Score, ...] = ()
    likely: tuple[str, ...] = ()
    rule: str | None = None
    audit: bool = False
    ticket_risk: float | None = None
    certified_risk: float | None = None


@dataclass(frozen=True)
class Decision:
    """Everything decided about one ticket; `targets` has one verdict per target of the policy.

    The top-level `source` and `reason` are those of the first target that is not automatic, else of the tier.
    `attention` is what must never wait; `kind` says why it is no ticket, and `action` what may be done with it then
    (``close``, ``merge``), never with what a written rule routes; `left_out` is what of the text was not read. Only
    tiers and people of the policy's sensitive clearance may see a `restricted` ticket.
    """

    ticket_id: str
    targets: Mapping[str, TargetDecision]
    resolver_group: str | None
    automation: Automation
    source: Source
    reason: Reason
    rule: str | None
    questions: tuple[str, ...]
    hand_over: tuple[str, ...]
    policy_version: str
    model_version: str | None = None
    novelty: float | None = None
    language: str | None = None
    truncated: bool = False
    explanation: Explanation = field(default_factory=Explanation)
    attention: tuple[Attention, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    kind: str | None = None
    action: str | None = None
    restricted: bool = False

    @property
    def tier(self) -> str | None:
        """The tier named, or None."""
        return self.targets["tier"].label if "tier" in self.targets else None

    @property
    def category(self) -> str | None:
        """The category named, or None."""
        return self.targets["category"].label if "category" in self.targets else None
