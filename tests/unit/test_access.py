"""A ticket reaches only tiers that may see it, however sure the model is; twins of another clearance stay unseen."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.security.clearance import is_restricted, may_read
from api.store.rows import DecisionRow, FeedbackRow, last_word, standing_feedback
from models.reference.index import NeighbourIndex
from models.triager import Triager
from models.wire import DecisionDocument, RouteDocument
from triage.decide import alarmed, decide
from triage.decision import Automation, Reason
from triage.defaults import default_policy, default_rules
from triage.errors import InvalidPolicy
from triage.escalation.standing import Place
from triage.gate import Gate, TargetGate
from triage.policy import AttentionRoute, Policy, parse_policy
from triage.policy.faults import uncleared
from triage.prediction import Prediction, Score
from triage.ticket import Ticket

GATE = Gate({"tier": TargetGate(0.8), "category": TargetGate(0.8)})
TWINS, TRIES, NEEDED = 500, 1000, 2


def sure(tier: str, category: str, probability: float = 0.99) -> Prediction:
    policy = default_policy()
    rest = (1 - probability) / 20
    return Prediction(
        {
            target: (Score(label, probability), *(Score(one, rest) for one in policy.labels(target) if one != label))
            for target, label in (("tier", tier), ("category", category))
        },
        words=20,
    )


@pytest.mark.parametrize(("tier", "lands"), [("L0", "L2"), ("L1", "L2"), ("L2", "L2"), ("L3", "L3"), ("L4", "L3")])
def test_a_sensitive_ticket_lands_at_the_nearest_tier_that_may_see_it(tier: str, lands: str) -> None:
    decision = decide(
        Ticket("T", body="please look at this folder"), sure(tier, "security"), GATE, default_rules(), default_policy()
    )
    assert decision.tier == lands and decision.restricted
    assert decision.targets["tier"].automation is (Automation.AUTOMATIC if lands == tier else Automation.SUGGESTED)
    assert lands == tier or decision.targets["tier"].reason is Reason.ILLEGAL_PAIR
    assert decision.resolver_group == default_policy().resolver_group(lands, "security")


@given(
    st.sampled_from(default_policy().labels("tier")),
    st.sampled_from(default_policy().labels("category")),
    st.floats(0.3, 1.0),
    st.booleans(),
)
def test_whatever_is_predicted_the_tier_may_see_the_ticket(
    tier: str, category: str, probability: float, marked: bool
) -> None:
    policy = default_policy()
    ticket = Ticket("T", body="it does not work", attributes={"sensitive": "true"} if marked else {})
    decision = decide(ticket, sure(tier, category, probability), GATE, default_rules(), policy)
    assert policy.may_see(decision.tier, decision.restricted)
    assert decision.restricted or not (marked or decision.category in policy.sensitive_categories)


AT_ONCE = datetime(2026, 11, 27, tzinfo=UTC)


def decided(category: str, security: float, **more: Any) -> DecisionRow:
    """Return a ticket that the machine holds for one of a category, and for security with some probability."""
    scores = (Score(category, 1 - security), Score("security", security))
    ticket = Ticket("T", body="it does not work", attributes={"sensitive": "yes"} if more.get("marked") else {})
    made = decide(ticket, Prediction({"category": scores}, words=5), Gate({}), default_rules(), default_policy())
    document = DecisionDocument.from_decision(made, "D")
    row = DecisionRow(
        id="D", document=document, ticket_id="T", source="api", revision=1, subject="", body="", channel=None,
        sensitive=document.restricted, clearance=0, forgotten=False, created_at=AT_ONCE, stands=document.route,
    )  # fmt: skip
    return replace(row, **more)


def said(number: int, category: str, verdict: str = "corrected", undoes: str | None = None) -> FeedbackRow:
    return FeedbackRow(
        id=f"f{number}", decision_id="D", verdict=verdict, tier=None, category=category, agent="kim", key_id=None,
        reason=None, comment=None, undoes=undoes, created_at=AT_ONCE, labels={"category": category},
        puts=Place("L2", category, None),
    )  # fmt: skip


def at(category: str) -> RouteDocument:
    return RouteDocument(tier="L2", category=category, resolver_group=None)


OPEN, SUSPECTED = decided("printing", 0.1), decided("printing", 0.4)
SAID = replace(OPEN, sensitive=True, stands=at("security"), feedback=(said(1, "security"),))
AWAY = (said(1, "security"), said(2, "printing"))
RESTRICTED = {
    "open": (OPEN, None, False),
    "open, said to be sensitive now": (OPEN, "security", True),
    "suspected": (SUSPECTED, None, True),
    "suspected, and what the machine says repeated": (SUSPECTED, "printing", True),
    "suspected, and another category": (SUSPECTED, "hardware", False),
    "suspected, another category, as it stands": (
        replace(SUSPECTED, stands=at("hardware"), feedback=(said(1, "hardware"),)), None, False),
    "suspected, another category by a status": (
        replace(SUSPECTED, stands=at("hardware"), set_route=at("hardware")), "hardware", False),
    "suspected, and moved by the machine": (replace(SUSPECTED, stands=at("hardware")), None, True),
    "suspected, and only the tier set": (replace(SUSPECTED, set_route=at("printing")), None, True),
    "named": (decided("security", 0.9), None, True),
    "named, and corrected": (decided("security", 0.9), "printing", False),
    "said": (SAID, None, True),
    "said, and corrected": (SAID, "printing", False),
    "said, and corrected before": (replace(SAID, stands=at("printing"), feedback=AWAY), None, False),
    "marked": (decided("printing", 0.1, marked=True), "hardware", True),
    "marked and suspected": (decided("printing", 0.4, marked=True), "hardware", True),
    "marked in another text": (replace(SUSPECTED, marked=True), "hardware", True),
    "closed by an event": (replace(OPEN, sensitive=True), "hardware", True),
    "closed by the policy in use alone": (replace(SUSPECTED, sensitive=False), None, True),
}  # fmt: skip


@pytest.mark.parametrize("case", RESTRICTED)
def test_where_a_ticket_may_go_follows_from_who_may_read_it(case: str) -> None:
    row, category, restricted = RESTRICTED[case]
    assert is_restricted(default_policy(), row, category) == restricted
    if restricted and category is None:
        assert not may_read(default_policy(), row, clearance=0)


def test_what_was_taken_back_counts_no_more() -> None:
    undone = said(3, "", "undone", undoes="f1")
    assert standing_feedback([*AWAY, undone]) == [AWAY[1]] and last_word([*AWAY, undone]) == AWAY[1]
    opened = replace(OPEN, feedback=(AWAY[0], undone))
    assert may_read(default_policy(), opened, clearance=0) and not is_restricted(default_policy(), opened)


def test_a_bypass_rule_sends_no_sensitive_ticket_below_its_clearance() -> None:
    ticket = Ticket("T", body="it does not work", attributes={"sensitive": "yes"})
    assert decide(ticket, None, GATE, default_rules(), default_policy()).tier == "L2"


UNCLEARED = replace(default_policy(), attention=(AttentionRoute("safety", "service-desk", "L1"),))
ALARM = "there is smoke coming out of the printer"


@pytest.mark.parametrize("learned", [False, True])
def test_what_must_not_wait_reaches_no_group_that_may_not_see_it(learned: bool) -> None:
    made = sure("L1", "printing")
    groups = {"resolver_group": (Score("service-desk", 0.99), Score("technical-support", 0.01))} if learned else {}
    prediction = replace(made, probabilities={**made.probabilities, **groups})
    policy = UNCLEARED.with_labels({"resolver_group": ["service-desk", "technical-support"]}) if learned else UNCLEARED
    secret = Ticket("T", body=ALARM, attributes={"sensitive": "yes"})
    decision = decide(secret, prediction, GATE, default_rules(), policy)
    assert decision.restricted and [one.kind for one in decision.attention] == ["safety"]
    assert (decision.tier, decision.resolver_group) == ("L2", policy.resolver_group("L2", "printing"))
    assert decide(Ticket("T", body=ALARM), prediction, GATE, default_rules(), policy).resolver_group == "service-desk"


def test_an_alarm_of_a_later_event_reaches_no_group_that_may_not_see_it() -> None:
    ticket = Ticket("T", body="please look at it", attributes={"sensitive": "yes"})
    decision = decide(ticket, sure("L1", "printing"), GATE, default_rules(), UNCLEARED)
    later = alarmed(decision, ticket, [("safety", "smoke")], UNCLEARED)
    assert later.attention and later.resolver_group == UNCLEARED.resolver_group("L2", "printing")


def test_the_group_of_the_next_kind_takes_it_where_that_may_see_it() -> None:
    routes = (*UNCLEARED.attention, *(one for one in default_policy().attention if one.kind != "safety"))
    policy, both = replace(UNCLEARED, attention=routes), ("credentials", "safety")
    cleared = policy.attention_group(["credentials"], restricted=True)
    assert cleared is not None and policy.attention_group(both) == "service-desk"
    named = policy.attention_route(both, restricted=True)
    assert named is not None and (named.kind, named.group, named.tier) == ("safety", cleared, "L1")


def test_a_policy_is_told_which_groups_for_alarms_may_not_see_sensitive_tickets() -> None:
    [told] = uncleared(UNCLEARED)
    assert "[[attention]] 'safety' names group 'service-desk' of tier 'L1', which may not see sensitive" in told
    assert not list(uncleared(default_policy()))
    unlimited = tuple(replace(tier, clearance=0) for tier in UNCLEARED.tiers)
    assert not list(uncleared(replace(UNCLEARED, tiers=unlimited)))


def test_a_policy_without_clearances_keeps_nothing_from_anybody() -> None:
    policy = parse_policy('[[tiers]]\nlabel = "A"\n[[categories]]\nlabel = "x"\nsensitive = true')
    assert policy.is_legal("A", "x")


def test_a_policy_in_which_nobody_may_see_a_category_is_refused() -> None:
    with pytest.raises(InvalidPolicy, match="no tier has the clearance 2"):
        parse_policy('[[tiers]]\nlabel = "A"\nclearance = 1\n[[categories]]\nlabel = "x"\nsensitive = true')


def test_restricted_twins_are_not_even_searched() -> None:
    """Each open ticket has a restricted twin with nearly the same vector: 1,000 tries show none to the uncleared."""
    random = np.random.default_rng(0)
    half = random.standard_normal((TWINS, 16)).astype(np.float32)
    vectors = np.concatenate([half, half + random.normal(0, 1e-3, half.shape).astype(np.float32)])
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    index = NeighbourIndex(
        vectors=vectors,
        topics=np.zeros((2 * TWINS, 1), np.float32),
        ids=tuple([f"open-{n}" for n in range(TWINS)] + [f"secret-{n}" for n in range(TWINS)]),
        titles=("",) * (2 * TWINS),
        labels={},
        label_ids={},
        sensitive=np.arange(2 * TWINS) >= TWINS,
        written={},
    )
    for number in range(TRIES):
        vector = vectors[TWINS + number % TWINS]
        shown = index.similar(vector, 5, may_see_sensitive=False)
        assert len(shown) == 5 and all(one.ticket_id.startswith("open-") for one in shown)
    assert index.similar(vectors[TWINS], 1, may_see_sensitive=True)[0].ticket_id == "secret-0"


def test_the_tiers_of_the_default_policy_know_what_they_may_see() -> None:
    policy: Policy = default_policy()
    assert [tier for tier in policy.labels("tier") if policy.is_legal(tier, "security")] == ["L2", "L3"]
    assert policy.sensitive_clearance == NEEDED


def test_the_default_rules_speak_as_far_as_a_policy_has_their_labels() -> None:
    """A desk's own policy needs no rules of its own to start with."""
    policy = parse_policy('[[tiers]]\nlabel = "L1"\n[[tiers]]\nlabel = "Z9"\n[[categories]]\nlabel = "access"')
    triager = Triager(policy=policy)
    assert {label for rule in triager.rules.rules[:-1] for label in rule.named.values()} <= {"L1", "access"}
    assert triager.decide([Ticket(body="I forgot my password and cannot sign in")])[0].targets["tier"].label in (
        None,
        "L1",
    )
