"""The decision as a JSON document: one model for the service's answers, the command line and the store."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema

from triage.decision import Automation, Decision, Reason, Source, TargetDecision
from triage.prediction import Explanation

ALTERNATIVES, DECIMALS = 5, 3
"""Labels per target that the service answers at most, and decimals of every number: more would only help to guess what
the model was trained on."""

AutomationName = Literal["automatic", "suggested", "blank"]
SourceName = Literal["model", "bypass_rule", "fallback_rule", "default", "person"]
DecisionId = Annotated[str | None, WithJsonSchema({"type": "string"})]
"""Always stated by a service; null only where no store keeps the decision, as on the command line."""


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True, allow_inf_nan=False, protected_namespaces=())


class AlternativeDocument(_Document):
    """A label that the model considered."""

    label: str
    probability: float = Field(ge=0, le=1)


class TargetDocument(_Document):
    """What was decided for one target."""

    label: str | None
    automation: AutomationName
    source: SourceName
    reason: str
    confidence: float | None = Field(
        ge=0, le=1, description="calibrated probability, or the precision measured for a rule"
    )
    alternatives: tuple[AlternativeDocument, ...]
    likely: tuple[str, ...] = Field(description="labels that hold the right one at the stated confidence")
    rule: str | None
    audit: bool = Field(default=False, description="true: it would be automatic, and was drawn for a person to check")
    ticket_risk: float | None = Field(
        default=None, ge=0, le=1, description="this ticket: probability that the model's first label is wrong"
    )
    certified_risk: float | None = Field(
        default=None, ge=0, le=1, description="on average: error rate that automatic decisions of this target keep"
    )

    def held(self, reason: Reason, **changed: str | None) -> Self:
        """Return the verdict as one that is not acted on, for that reason, with these fields changed."""
        label = changed.get("label", self.label)
        automation = Automation.BLANK if label is None else Automation.SUGGESTED
        by_person = {"confidence": None, "rule": None, "audit": False} if "source" in changed else {}
        return self.model_copy(update={**by_person, **changed, "automation": automation.value, "reason": reason.value})


class TermDocument(_Document):
    """A word or field, and how far it pushed, in logits."""

    term: str
    weight: float


class SimilarTicketDocument(_Document):
    """A similar ticket of the helpdesk's history."""

    ticket_id: str
    similarity: float
    title: str
    labels: dict[str, str]
    ending: str = Field(default="", description="what ended it, as the history says; empty where it does not")


class ReviewVoteDocument(_Document):
    """What people of this helpdesk said of similar tickets."""

    target: str
    label: str = Field(description="the label with the highest probability")
    agree: int = Field(ge=0, description="reviews of similar tickets that name this label")
    reviews: int = Field(ge=0, description="reviews of similar tickets")


class ExplanationDocument(_Document):
    """Why: the words that counted, and what the ticket resembles."""

    target: str | None = Field(default=None, description="the target whose label is explained: the first one")
    label: str | None = Field(
        default=None, description="the label that is explained: the model's own first one under the policy in use"
    )
    rival: str | None = Field(default=None, description="the runner-up; null where there is none")
    terms: tuple[TermDocument, ...] = Field(description="words, fields and rules for (positive) and against that label")
    against: tuple[TermDocument, ...] = Field(description="words that spoke for the runner-up instead")
    similar: tuple[SimilarTicketDocument, ...] = Field(
        description="nearest past tickets that the key's clearance covers"
    )
    reviews: tuple[ReviewVoteDocument, ...] = Field(
        default=(), description="what people of this helpdesk said of similar tickets since the model was trained"
    )


NOTHING_EXPLAINED = ExplanationDocument(terms=(), against=(), similar=())


class AttentionDocument(_Document):
    """Something that must never wait, and the words of the ticket that say so."""

    kind: str = Field(description="safety, credentials, data_exposure, outage, or a kind of the policy's own")
    evidence: str


class LeftOutDocument(_Document):
    """A part of the text that was not read."""

    what: str = Field(
        description="quoted_history, signature, disclaimer, banner, log, inline_image, inline_data or over_long"
    )
    chars: int = Field(ge=0)


class RouteDocument(_Document):
    """Where a ticket goes."""

    tier: str | None
    category: str | None
    resolver_group: str | None


class IgnoredDocument(_Document):
    """An optional field of a ticket that could not be read, and was left out."""

    field: str
    code: str


class DecisionDocument(_Document):
    """Everything decided about one ticket.

    The service's store keeps this document as JSON text. A field that is added later needs a default, so that what is
    kept already can still be read.
    """

    model_config = ConfigDict(
        title="Decision", json_schema_extra={"description": "Everything decided about one ticket."}
    )

    decision_id: DecisionId
    ticket_id: str
    tier: str | None
    category: str | None
    resolver_group: str | None
    automation: AutomationName
    source: SourceName
    reason: str
    targets: dict[str, TargetDocument]
    rule: str | None
    attention: tuple[AttentionDocument, ...] = Field(
        default=(), description="what must never wait; the policy names the group that takes it"
    )
    kind: str | None = Field(
        default=None,
        description="what it is where it is no ticket: auto_reply, bounce, thanks, close_request, newsletter, spam, "
        "empty or gibberish",
    )
    action: str | None = Field(
        default=None,
        description="what the policy lets be done with such a message without a person: close or merge; null where a "
        "written rule routes it",
    )
    explanation: ExplanationDocument
    questions: tuple[str, ...]
    hand_over: tuple[str, ...]
    language: str | None
    novelty: float | None
    truncated: bool
    left_out: tuple[LeftOutDocument, ...] = Field(default=(), description="what of the text was not read")
    model_version: str | None
    policy_version: str
    restricted: bool = Field(
        default=False, description="only tiers and people of the policy's sensitive clearance may see the ticket"
    )
    ignored: tuple[IgnoredDocument, ...] = Field(
        default=(), description="optional fields of the ticket that could not be read, and were left out"
    )
    proposed: RouteDocument | None = Field(
        default=None, description="where a person has set the route: what the machine would say now"
    )
    stored: bool = Field(
        default=True, description="false: the store did not take it in time; it is kept in memory and tried again"
    )

    @classmethod
    def from_decision(
        cls,
        decision: Decision,
        decision_id: str | None = None,
        *,
        alternatives: int | None = None,
        decimals: int | None = None,
    ) -> Self:
        """Write a decision down.

        Args:
            decision: What was decided.
            decision_id: The id under which a store keeps it; None without a store.
            alternatives: How many labels per target are told at most; None tells all.
            decimals: To how many decimals numbers are rounded; None leaves them as they are.
        """
        return cls(
            decision_id=decision_id,
            ticket_id=decision.ticket_id,
            tier=decision.tier,
            category=decision.category,
            resolver_group=decision.resolver_group,
            automation=decision.automation.value,
            source=decision.source.value,
            reason=decision.reason.value,
            targets={name: _target(target, alternatives, decimals) for name, target in decision.targets.items()},
            rule=decision.rule,
            attention=tuple(AttentionDocument(kind=one.kind, evidence=one.evidence) for one in decision.attention),
            kind=decision.kind,
            action=decision.action,
            explanation=_explanation(decision.explanation, decimals),
            questions=decision.questions,
            hand_over=decision.hand_over,
            language=decision.language,
            novelty=None if decision.novelty is None else _number(decision.novelty, decimals),
            truncated=decision.truncated,
            left_out=tuple(LeftOutDocument(what=part.what, chars=part.chars) for part in decision.left_out),
            model_version=decision.model_version,
            policy_version=decision.policy_version,
            restricted=decision.restricted,
        )

    @property
    def is_audit(self) -> bool:
        """Whether some target would be automatic, and the ticket was drawn for a person to check."""
        return any(target.audit for target in self.targets.values())

    def as_received(self, ignored: Iterable[tuple[str, str]], cut: Iterable[tuple[str, int]]) -> Self:
        """Return the document with what of the ticket was left out before it was decided.

        Args:
            ignored: Optional fields that could not be read, each with a machine-readable reason.
            cut: Parts of the text that were taken out, each with its length in characters.
        """
        fields = tuple(IgnoredDocument(field=field, code=code) for field, code in ignored)
        parts = tuple(LeftOutDocument(what=what, chars=chars) for what, chars in cut)
        if not fields and not parts:
            return self
        truncated = self.truncated or any(part.what == "over_long" for part in parts)
        return self.model_copy(update={"ignored": fields, "left_out": (*parts, *self.left_out), "truncated": truncated})

    @property
    def route(self) -> RouteDocument:
        """Where the ticket goes."""
        return RouteDocument(tier=self.tier, category=self.category, resolver_group=self.resolver_group)

    def under(self, route: RouteDocument) -> Self:
        """Return the document with the route that a person set: it stands, and what the machine says is a proposal.

        Where both say the same, nothing changes.
        """
        if route == self.route:
            return self
        stated = dict(route)
        targets = {
            name: target.held(Reason.SET_BY_PERSON, label=stated[name], source=Source.PERSON.value)
            if name in stated
            else target.held(Reason.SET_BY_PERSON)
            for name, target in self.targets.items()
        }
        changed = {
            **stated,
            "automation": Automation.SUGGESTED.value,
            "source": Source.PERSON.value,
            "reason": Reason.SET_BY_PERSON.value,
            "targets": targets,
            "rule": None,
            "action": None,
            "proposed": self.route,
        }
        return self.model_copy(update=changed)

    def moved(self, route: RouteDocument, *, automatic: bool) -> Self:
        """Return the document with the route that was decided anew after something happened to its ticket.

        What was decided at first of each target stays in `targets`.

        Args:
            route: Where the ticket went.
            automatic: Whether that was done without a person.
        """
        held = {} if automatic or self.automation != "automatic" else {"automation": Automation.SUGGESTED.value}
        return self.model_copy(update={**dict(route), **held})

    def answered(self) -> Self:
        """Return the document with the labels of its route in `targets`, where the ticket has moved since."""
        stated = {name: label for name, label in dict(self.route).items() if name in self.targets}
        moved = {name: label for name, label in stated.items() if self.targets[name].label != label}
        kept = {"confidence": None, "rule": None, "audit": False, "automation": self.automation}
        targets = {name: self.targets[name].model_copy(update={**kept, "label": moved[name]}) for name in moved}
        return self.model_copy(update={"targets": {**self.targets, **targets}}) if moved else self

    def alarmed(self, found: Iterable[tuple[str, str]]) -> Self:
        """Return the document with what must not wait that came up later: each kind once, with words that say so."""
        kinds = {one.kind: one for one in self.attention}
        for kind, evidence in found:
            kinds.setdefault(kind, AttentionDocument(kind=kind, evidence=evidence))
        return (
            self if len(kinds) == len(self.attention) else self.model_copy(update={"attention": tuple(kinds.values())})
        )

    def unconfirmed(self) -> Self:
        """Return the document as a suggestion: nobody could look whether a person has set the ticket's route."""
        held = {
            name: target.held(Reason.STORE_UNAVAILABLE)
            for name, target in self.targets.items()
            if target.automation == Automation.AUTOMATIC.value
        }
        changed: dict[str, object] = {"action": None}
        if self.automation == Automation.AUTOMATIC.value:
            changed |= {"automation": Automation.SUGGESTED.value, "reason": Reason.STORE_UNAVAILABLE.value}
        return self.model_copy(update={**changed, "targets": {**self.targets, **held}})

    def without_similar(self) -> Self:
        """Return the document without the similar tickets, for a reader whose clearance does not cover them."""
        return self.model_copy(
            update={"explanation": self.explanation.model_copy(update={"similar": (), "reviews": ()})}
        )

    def without_similar_ticket(self, ticket_id: str) -> Self:
        """Return the document without one of the similar tickets, wherever that was shown."""
        left = tuple(near for near in self.explanation.similar if near.ticket_id != ticket_id)
        return self.model_copy(update={"explanation": self.explanation.model_copy(update={"similar": left})})

    def without_why(self) -> Self:
        """Return the document as one that was never asked to say why; what must not wait is quoted all the same."""
        return self.model_copy(update={"explanation": NOTHING_EXPLAINED})

    def without_explanation(self) -> Self:
        """Return the document without any word of the ticket or of another one."""
        unquoted = tuple(one.model_copy(update={"evidence": ""}) for one in self.attention)
        return self.without_why().model_copy(update={"attention": unquoted})


def _target(target: TargetDecision, alternatives: int | None, decimals: int | None) -> TargetDocument:
    return TargetDocument(
        label=target.label,
        automation=target.automation.value,
        source=target.source.value,
        reason=target.reason.value,
        confidence=None if target.confidence is None else _share(target.confidence, decimals),
        alternatives=tuple(
            AlternativeDocument(label=score.label, probability=_share(score.probability, decimals))
            for score in target.alternatives[:alternatives]
        ),
        likely=target.likely,
        rule=target.rule,
        audit=target.audit,
        ticket_risk=None if target.ticket_risk is None else _share(target.ticket_risk, decimals),
        certified_risk=target.certified_risk,
    )


def _explanation(explanation: Explanation, decimals: int | None) -> ExplanationDocument:
    return ExplanationDocument(
        target=explanation.target,
        label=explanation.label,
        rival=explanation.rival,
        terms=tuple(TermDocument(term=one.term, weight=_number(one.weight, decimals)) for one in explanation.terms),
        against=tuple(TermDocument(term=one.term, weight=_number(one.weight, decimals)) for one in explanation.against),
        similar=tuple(
            SimilarTicketDocument(
                ticket_id=near.ticket_id,
                similarity=_number(near.similarity, decimals),
                title=near.title,
                labels=dict(near.labels),
                ending=near.ending,
            )
            for near in explanation.similar
        ),
        reviews=tuple(ReviewVoteDocument.model_validate(vars(vote)) for vote in explanation.reviews),
    )


def _share(value: float, decimals: int | None) -> float:
    """Return a probability that lies in [0, 1] in spite of the rounding errors of single precision."""
    return min(1.0, max(0.0, _number(value, decimals)))


def _number(value: float, decimals: int | None) -> float:
    rounded = float(value) if decimals is None else round(float(value), decimals)
    return rounded + 0.0  # no negative zero in JSON
