"""The heart: a ticket, the model's prediction, the gate, the rules and the policy become a decision."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace

from triage.decision import Automation, Decision, Reason, Source, TargetDecision
from triage.escalation.choices import choice_question, with_chosen
from triage.escalation.questions import MOST, settling_questions, unanswered
from triage.gate import Gate
from triage.languages.names import language_code
from triage.policy import Policy
from triage.prediction import Explanation, Prediction
from triage.restriction import is_suspected
from triage.rules import RuleBook
from triage.screening import Opinion, Screening, screen
from triage.screening.attention import Attention
from triage.screening.intake import NoTicket
from triage.screening.machines import is_machine_made
from triage.ticket import Ticket

RESOLVER_GROUP = "resolver_group"


def decide(
    ticket: Ticket,
    prediction: Prediction | None,
    gate: Gate,
    rules: RuleBook,
    policy: Policy,
    opinion: Opinion | None = None,
) -> Decision:
    """Decide each target of a ticket by the first of: bypass rule, confident model, suggestion.

    A pair of labels that the policy forbids is not decided: the model's part in it is suggested, with that reason.

    Args:
        ticket: What came in.
        prediction: The model's prediction; None routes by rules alone.
        gate: When the prediction is good enough to act on.
        rules: Bypass and fallback rules, the last of them catching all.
        policy: Which labels there are, how they fold, and what may be automatic.
        opinion: What a classifier thinks must not wait or is no ticket; None leaves that to written cues.
    """
    screened = screen(ticket, policy.own_cues, opinion)
    prediction = prediction and as_weighed(ticket, prediction, policy, gate)
    reasons = {target: _held(screened, gate.reason(target, prediction)) for target in policy.targets}
    verdicts = {
        target: _verdict(target, reasons[target], ticket, prediction, rules, policy) for target in policy.targets
    }
    for target in policy.never_automatic_among(_automatic_labels(verdicts)):
        if verdicts[target].source is Source.MODEL:
            verdicts[target] = _folded(
                _suggest(target, Reason.ILLEGAL_PAIR, ticket, prediction, rules=rules), target, policy
            )
    if screened.no_ticket is not None and screened.no_ticket.kind == "empty":
        verdicts = {target: _of_nothing(verdict) for target, verdict in verdicts.items()}
    restricted = ticket.is_marked_sensitive or is_suspected(policy, verdicts.get("category"))
    verdicts = _sent(verdicts, policy, screened, restricted=restricted)
    stated = {target: _with_risks(target, verdict, prediction, gate) for target, verdict in verdicts.items()}
    return _decision(ticket, prediction, stated, policy, screened, restricted=restricted)


def _sent(
    verdicts: Mapping[str, TargetDecision], policy: Policy, screened: Screening, *, restricted: bool
) -> dict[str, TargetDecision]:
    """Send a ticket that must not wait, or that only some may see, to the tier and the group that the policy names."""
    sent = dict(verdicts)
    if screened.attention and "tier" in sent:
        sent["tier"] = _lifted(sent["tier"], screened, policy)
    if "tier" in sent and not policy.may_see(sent["tier"].label, restricted):
        sent["tier"] = _handed_to_cleared(sent["tier"], policy)
    if RESOLVER_GROUP in sent:
        moved = sent.get("tier") != verdicts.get("tier")
        sent[RESOLVER_GROUP] = _group_verdict(sent, policy, screened, moved=moved, restricted=restricted)
    return sent


def _automatic_labels(verdicts: Mapping[str, TargetDecision]) -> dict[str, str]:
    return {
        target: verdict.label
        for target, verdict in verdicts.items()
        if verdict.automation is Automation.AUTOMATIC and verdict.label is not None
    }


def _held(screened: Screening, reason: Reason) -> Reason:
    """Return the reason of the screening where it holds the model back, else that of the gate."""
    if screened.no_ticket is not None:
        return Reason.NOT_A_TICKET
    untold = reason not in (Reason.TOO_SHORT, Reason.MODEL_UNAVAILABLE)
    return Reason.TOO_VAGUE if screened.vague and untold else reason


def _of_nothing(verdict: TargetDecision) -> TargetDecision:
    """Name no label for a ticket that says nothing, unless a bypass rule does, as by its channel or an attribute."""
    if verdict.source is Source.BYPASS_RULE:
        return verdict
    return TargetDecision(None, Automation.BLANK, Source.DEFAULT, verdict.reason)


def _lifted(verdict: TargetDecision, screened: Screening, policy: Policy) -> TargetDecision:
    """Raise the tier of what must not wait to the lowest that the policy allows; what is raised, a person confirms."""
    route = policy.attention_route(one.kind for one in screened.attention)
    if route is None or route.tier is None or not (verdict.label is None or policy.is_below(verdict.label, route.tier)):
        return verdict
    label = policy.fold("tier", route.tier)
    return replace(
        verdict,
        label=label,
        automation=Automation.SUGGESTED,
        source=Source.BYPASS_RULE,
        reason=Reason.RULE,
        confidence=None,
        rule=f"attention: {route.kind}",
    )


def _handed_to_cleared(verdict: TargetDecision, policy: Policy) -> TargetDecision:
    """Put a restricted ticket before the nearest tier that may see it, whatever is known of the one it needs."""
    label = policy.cleared_tier(verdict.label)
    automatic = verdict.automation is Automation.AUTOMATIC  # else the reason of the abstention stays on it
    return replace(
        verdict,
        label=label,
        automation=Automation.SUGGESTED if label else Automation.BLANK,
        source=Source.BYPASS_RULE,
        reason=Reason.ILLEGAL_PAIR if automatic else verdict.reason,
        confidence=None,
        rule="access",
    )


def _group_verdict(
    verdicts: Mapping[str, TargetDecision], policy: Policy, screened: Screening, *, moved: bool, restricted: bool
) -> TargetDecision:
    """Settle which resolver group stands where one was learned: it wins where it is decided, else the policy's does.

    Args:
        verdicts: Of all targets, each as it was decided for itself.
        policy: Names the group that goes with tier and category, and with what must not wait.
        screened: Says what must not wait.
        moved: Whether the tier was moved after it was decided: the learned group goes with the tier as it was.
        restricted: Whether only some may see the ticket.
    """
    verdict = verdicts[RESOLVER_GROUP]
    route = policy.attention_route((one.kind for one in screened.attention), restricted=restricted)
    if route is not None and route.group is not None:
        named = replace(verdict, label=route.group, automation=Automation.AUTOMATIC, confidence=None)
        return replace(named, source=Source.BYPASS_RULE, reason=Reason.RULE, rule=f"attention: {route.kind}")
    if screened.no_ticket is not None and screened.no_ticket.kind == "empty":
        return verdict
    seen = not restricted or (verdict.label is not None and policy.group_may_see(verdict.label))
    if verdict.automation is Automation.AUTOMATIC and seen and not (moved and verdict.source is Source.MODEL):
        return verdict
    tier, category = (verdicts[target].label if target in verdicts else None for target in ("tier", "category"))
    by_policy = policy.resolver_group(tier, category)
    if by_policy is None:
        label = verdict.label if seen else None
        held = replace(verdict, label=label, automation=Automation.SUGGESTED if label else Automation.BLANK)
        return replace(held, reason=Reason.ILLEGAL_PAIR) if verdict.automation is Automation.AUTOMATIC else held
    reason = Reason.ILLEGAL_PAIR if verdict.automation is Automation.AUTOMATIC else verdict.reason
    held = replace(verdict, label=by_policy, automation=Automation.SUGGESTED, confidence=None, reason=reason)
    return replace(held, source=Source.FALLBACK_RULE, rule="the policy's group of tier and category")


def _with_risks(target: str, verdict: TargetDecision, prediction: Prediction | None, gate: Gate) -> TargetDecision:
    """State what this very ticket risks beside what the certificate promises on average."""
    top = prediction.top(target) if prediction else None
    if verdict.source is not Source.MODEL or prediction is None or top is None:
        return verdict
    certified = gate.targets[target].certified_risk if target in gate.targets else None
    return replace(verdict, ticket_risk=1.0 - prediction.sureness(top), certified_risk=certified)


def as_weighed(ticket: Ticket, prediction: Prediction, policy: Policy, gate: Gate) -> Prediction:
    """Return a prediction as it is decided by: in terms of the policy, and with what was chosen about the ticket."""
    told = in_terms_of(policy, prediction)
    return with_chosen(policy, told, ticket.chosen, gate) if ticket.chosen else told


def in_terms_of(policy: Policy, prediction: Prediction) -> Prediction:
    """Fold and rank the probabilities as this desk's policy has it; a prediction has the most probable label first."""
    if policy.ranks_by_probability:
        return prediction
    probabilities = {target: policy.rank(target, scores) for target, scores in prediction.probabilities.items()}
    unreviewed = {target: policy.rank(target, scores) for target, scores in prediction.unreviewed.items()}
    sets = {
        target: tuple(dict.fromkeys(policy.fold(target, label) for label in labels))
        for target, labels in prediction.sets.items()
    }
    return replace(prediction, probabilities=probabilities, sets=sets, unreviewed=unreviewed)


def _verdict(
    target: str, reason: Reason, ticket: Ticket, prediction: Prediction | None, rules: RuleBook, policy: Policy
) -> TargetDecision:
    rule = rules.bypass(ticket, target)
    if rule is not None:
        label, alternatives = (
            policy.fold(target, str(rule.names(target))),
            prediction.probabilities.get(target, ()) if prediction else (),
        )
        return TargetDecision(
            label,
            Automation.AUTOMATIC,
            Source.BYPASS_RULE,
            Reason.RULE,
            rule.precision.get(target),
            alternatives,
            rule=rule.name,
        )
    top = prediction.top(target) if prediction else None
    if reason is Reason.CONFIDENT and prediction is not None and top is not None:
        automation = Automation.AUTOMATIC if policy.may_automate(target, top.label) else Automation.SUGGESTED
        return TargetDecision(
            top.label,
            automation,
            Source.MODEL,
            reason,
            top.probability,
            prediction.probabilities[target],
            prediction.sets.get(target, ()),
        )
    return _folded(_suggest(target, reason, ticket, prediction, rules=rules), target, policy)


def _suggest(
    target: str, reason: Reason, ticket: Ticket, prediction: Prediction | None, rules: RuleBook
) -> TargetDecision:
    """Suggest by a rule that beats the model, else by the model's first label, else by the last rule.

    A fallback rule speaks where the lower bound of its measured precision exceeds the probability of the model's first
    label, or where there is no model: so the suggestion is right at least as often as that label.
    """
    alternatives = prediction.probabilities.get(target, ()) if prediction else ()
    likely = prediction.sets.get(target, ()) if prediction else ()
    rule = rules.fallback(ticket, target)
    if rule is not None and (not alternatives or rule.floor(target) > alternatives[0].probability):
        confidence = rule.precision.get(target)
        return TargetDecision(
            rule.names(target),
            Automation.SUGGESTED,
            Source.FALLBACK_RULE,
            reason,
            confidence,
            alternatives,
            likely,
            rule.name,
        )
    if alternatives:
        top = alternatives[0]
        return TargetDecision(
            top.label, Automation.SUGGESTED, Source.MODEL, reason, top.probability, alternatives, likely
        )
    rule = rules.catch_all
    label = rule.names(target)
    automation = Automation.BLANK if label is None else Automation.SUGGESTED
    return TargetDecision(
        label, automation, Source.DEFAULT, reason, rule.precision.get(target), alternatives, likely, rule.name
    )


def _folded(verdict: TargetDecision, target: str, policy: Policy) -> TargetDecision:
    return replace(verdict, label=policy.fold(target, verdict.label)) if verdict.label else verdict


def _decision(
    ticket: Ticket,
    prediction: Prediction | None,
    verdicts: dict[str, TargetDecision],
    policy: Policy,
    screened: Screening,
    *,
    restricted: bool,
) -> Decision:
    tier, category = (verdicts[target].label if target in verdicts else None for target in ("tier", "category"))
    automation, leading = _overall(verdicts)
    route = policy.attention_route((one.kind for one in screened.attention), restricted=restricted)
    language = prediction.language if prediction else language_code(ticket.language)
    kind = screened.no_ticket.kind if screened.no_ticket else None
    return Decision(
        ticket_id=ticket.id,
        targets=verdicts,
        resolver_group=verdicts[RESOLVER_GROUP].label
        if RESOLVER_GROUP in verdicts
        else (route and route.group) or policy.resolver_group(tier, category),
        automation=automation,
        source=leading.source,
        reason=leading.reason,
        rule=next((verdict.rule for verdict in verdicts.values() if verdict.rule), None),
        questions=()
        if kind or screened.by_machine
        else policy.in_language(
            policy.ask_when_vague
            if screened.vague and policy.ask_when_vague
            else _asked(ticket, verdicts, policy, rival=_rival(verdicts), language=language),
            language,
        ),
        hand_over=() if kind else policy.hand_over(tier, category),
        policy_version=policy.version,
        novelty=prediction.novelty if prediction else None,
        language=language,
        truncated=prediction.truncated if prediction else False,
        explanation=prediction.explanation if prediction else Explanation(),
        attention=screened.attention,
        left_out=ticket.left_out,
        kind=kind,
        action=policy.not_a_ticket.get(kind) if kind and not _automatic_labels(verdicts) else None,
        restricted=restricted,
    )


def _asked(
    ticket: Ticket, verdicts: Mapping[str, TargetDecision], policy: Policy, *, rival: str | None, language: str | None
) -> tuple[str, ...]:
    """Return what to ask: where the tier is in doubt, what settles it, else what the policy lists for the route.

    To choose a label settles it most often, so that comes first: the tier's, or the category's where the tier is clear.
    Nothing is asked that the ticket answers, and where anything is left to people, no more than they get answers to.
    """
    tier, category = (verdicts[target].label if target in verdicts else None for target in ("tier", "category"))
    chosen = _choice("category" if rival is None else "tier", ticket, verdicts, policy, language=language)
    if rival is not None:
        scores = verdicts["tier"].alternatives
        chosen += tuple(question.ask for question in settling_questions(policy, scores, ticket.text))
    if rival is None or not chosen:
        chosen += unanswered(policy, policy.questions(tier, category, rival=rival), ticket.text)
    doubtful = any(verdict.automation is not Automation.AUTOMATIC for verdict in verdicts.values())
    return chosen[:MOST] if doubtful else chosen


def _choice(
    target: str, ticket: Ticket, verdicts: Mapping[str, TargetDecision], policy: Policy, *, language: str | None
) -> tuple[str, ...]:
    """Return the question that lets a target's label be chosen, where it is in doubt and nobody chose it yet."""
    verdict = verdicts.get(target)
    known = verdict is None or verdict.automation is Automation.AUTOMATIC or not verdict.alternatives
    if verdict is None or known or target in dict(ticket.chosen):
        return ()
    question = choice_question(policy, target, verdict.alternatives, language)
    return (question,) if question else ()


def alarmed(decision: Decision, ticket: Ticket, alarms: Iterable[tuple[str, str]], policy: Policy) -> Decision:
    """Return a decision with what must not wait that was found in a part of the thread: it counts for the whole.

    Args:
        decision: What is decided about the whole thread.
        ticket: The whole thread as it was read.
        alarms: Each kind, with the words that say so.
        policy: Names the group and the lowest tier of each kind.
    """
    kinds = {one.kind: one for one in decision.attention}
    for kind, evidence in alarms:
        kinds.setdefault(kind, Attention(kind, evidence))
    if len(kinds) == len(decision.attention):
        return decision
    found = replace(decision, attention=tuple(kinds.values()))
    route = policy.attention_route(kinds, restricted=decision.restricted)
    if route is None or not decision.targets:
        return found
    screened = Screening(found.attention, NoTicket(decision.kind, "") if decision.kind else None)
    sent = _sent(decision.targets, policy, screened, restricted=decision.restricted)
    verdicts = {target: _of_the_model_alone(verdict) for target, verdict in sent.items()}
    tier, category = (verdicts[target].label if target in verdicts else None for target in ("tier", "category"))
    learned = verdicts[RESOLVER_GROUP].label if RESOLVER_GROUP in verdicts else None
    automation, leading = _overall(verdicts)
    lifted = replace(
        found,
        targets=verdicts,
        automation=automation,
        source=leading.source,
        reason=leading.reason,
        rule=next((verdict.rule for verdict in verdicts.values() if verdict.rule), None),
        action=None,  # nothing that must not wait is closed without a person
        resolver_group=learned if RESOLVER_GROUP in verdicts else route.group or policy.resolver_group(tier, category),
    )
    if verdicts.get("tier") == decision.targets.get("tier") or decision.kind:
        return lifted
    asked = _asked(ticket, verdicts, policy, rival=_rival(verdicts), language=decision.language)
    told = () if is_machine_made(ticket) else policy.in_language(asked, decision.language)
    return replace(lifted, questions=told, hand_over=policy.hand_over(tier, category))


def _of_the_model_alone(verdict: TargetDecision) -> TargetDecision:
    """Take off a verdict that is not the model's what is said of the model's."""
    own = verdict.source is Source.MODEL
    return verdict if own else replace(verdict, ticket_risk=None, certified_risk=None, audit=False)


def _rival(verdicts: Mapping[str, TargetDecision]) -> str | None:
    """Return the likeliest other tier where the tier is in doubt."""
    verdict = verdicts.get("tier")
    if verdict is None or verdict.automation is Automation.AUTOMATIC:
        return None
    return next((score.label for score in verdict.alternatives if score.label != verdict.label), None)


def hold_back(decision: Decision, unearned: Collection[str] = (), audited: Collection[str] = ()) -> Decision:
    """Turn what the model would decide on its own into suggestions; what a written rule decides stays.

    Args:
        decision: As the certificate of the gate has it.
        unearned: Targets for which autonomy is not open at this desk.
        audited: Targets for which this ticket was drawn for a person to check.
    """
    verdicts = {
        target: _held_back(verdict, target in unearned, target in audited)
        for target, verdict in decision.targets.items()
    }
    if all(verdict is decision.targets[target] for target, verdict in verdicts.items()):
        return decision
    automation, leading = _overall(verdicts)
    return replace(decision, targets=verdicts, automation=automation, source=leading.source, reason=leading.reason)


def _held_back(verdict: TargetDecision, unearned: bool, audited: bool) -> TargetDecision:
    if verdict.source is not Source.MODEL or verdict.automation is not Automation.AUTOMATIC:
        return verdict
    if unearned:
        return replace(verdict, automation=Automation.SUGGESTED, reason=Reason.NOT_EARNED)
    return replace(verdict, automation=Automation.SUGGESTED, audit=True) if audited else verdict


def _overall(verdicts: Mapping[str, TargetDecision]) -> tuple[Automation, TargetDecision]:
    """Return how far the whole route may be acted on, and the verdict that says why."""
    held = [verdict for verdict in verdicts.values() if verdict.automation is not Automation.AUTOMATIC]
    leading = held[0] if held else next(iter(verdicts.values()))
    if all(verdict.automation is Automation.BLANK for verdict in verdicts.values()):
        return Automation.BLANK, leading
    return Automation.SUGGESTED if held else Automation.AUTOMATIC, leading
