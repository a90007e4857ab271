"""Where each ticket of a history is sent, by nobody, by written rules, by a model, and by a threshold."""

from __future__ import annotations

from collections.abc import Sequence

from models.bundle.bundle import Bundle
from models.triager import Triager
from training.simulation.compare import Arm
from triage.decision import Automation, Decision, Source
from triage.errors import InvalidRequest, UnknownLabel
from triage.policy import Policy
from triage.ticket import Ticket

NO_MACHINE, RULES, MODEL = "no machine", "rules only", "model"


def arms_of(
    tickets: Sequence[Ticket], policy: Policy, bundle: Bundle | None, thresholds: Sequence[float], name: str = ""
) -> list[Arm]:
    """Return the arms of one policy.

    Args:
        tickets: The history.
        policy: What is simulated; a bundle decides under it.
        bundle: Adds the arm of the model, by its own gate, and one for each threshold.
        thresholds: Probabilities from which on the model's first tier is followed, whatever the gate says.
        name: Put in front of each arm's name, where there are several policies.

    Raises:
        InvalidRequest: If the bundle names no tiers, or tiers that the policy lacks.
    """
    ruled = Triager(policy=policy).decide(tickets)
    arms = [
        Arm(f"{name}{NO_MACHINE}", policy, [None] * len(tickets)),
        Arm(f"{name}{RULES}", policy, [one.tier if _by_rule(one) else None for one in ruled]),
    ]
    if bundle is None:
        return arms
    _check(bundle, policy)
    decided = Triager(bundle, policy=policy).decide(tickets)
    arms.append(Arm(f"{name}{MODEL}", policy, [one.tier if _automatic(one) else None for one in decided]))
    for threshold in thresholds:
        sent = [_above(one, policy, threshold) for one in decided]
        arms.append(Arm(f"{name}{MODEL} from {threshold:g} on", policy, sent))
    return arms


def _by_rule(decision: Decision) -> bool:
    return decision.kind is None and decision.targets["tier"].source in (Source.BYPASS_RULE, Source.FALLBACK_RULE)


def _automatic(decision: Decision) -> bool:
    return decision.kind is None and decision.targets["tier"].automation is Automation.AUTOMATIC


def _above(decision: Decision, policy: Policy, threshold: float) -> str | None:
    """Return the model's first tier where it is sure enough, or the one that takes its place for who may see what."""
    scores = decision.targets["tier"].alternatives
    if decision.kind is not None or not scores or scores[0].probability < threshold:
        return None
    label = scores[0].label
    return label if policy.may_see(label, decision.restricted) else policy.cleared_tier(label)


def _check(bundle: Bundle, policy: Policy) -> None:
    head = bundle.model.heads.get("tier")
    if head is None:
        raise InvalidRequest("the bundle names no tiers, so that nothing can be sent by it: train one with tiers")
    try:
        policy.resolve("tier", head.labels)
    except UnknownLabel as error:
        raise InvalidRequest(f"the bundle does not fit the policy {policy.version!r}: {error}") from error
