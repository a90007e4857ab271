"""The heart: who decides each target, and which reason stays on it."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from triage.decide import decide
from triage.decision import Automation, Reason, Source
from triage.gate import Gate, TargetGate
from triage.policy import AttentionRoute, Category, GatePolicy, Option, Policy, Question, ResolverGroup, Tier
from triage.prediction import Prediction, Score
from triage.rules import NO_RULES, RuleBook, parse_rules
from triage.ticket import Ticket

POLICY = Policy(
    "p1",
    tiers=(Tier("L1", questions=("who?",), hand_over=("log",)), Tier("L2")),
    categories=(Category("net"), Category("mail")),
    groups=(ResolverGroup("desk", "L1"), ResolverGroup("noc", "L2", ("net",))),
    settling={frozenset({"L1", "L2"}): ("tried a restart?",)},
)
GATE = Gate(
    {"tier": TargetGate(0.8), "category": TargetGate(0.8, {"mail": 0.95})},
    max_novelty=1.0,
    languages=frozenset({"en"}),
)
RULES = parse_rules(
    """
[[rule]]
name = "breach"
kind = "bypass"
any = ["breach"]
tier = "L2"
[[rule]]
name = "wifi"
kind = "fallback"
any = ["wifi"]
category = "mail"
precision_at_least = { category = 0.7 }
[[rule]]
name = "rest"
kind = "fallback"
tier = "L1"
"""
)


def predicted(tier: float = 0.9, net: float = 0.9, **changes: object) -> Prediction:
    prediction = Prediction(
        {"tier": (Score("L2", tier), Score("L1", 1 - tier)), "category": (Score("net", net), Score("mail", 1 - net))},
        words=10,
        language="en",
    )
    return replace(prediction, **changes)  # type: ignore[arg-type]


def test_a_confident_model_decides() -> None:
    decision = decide(Ticket("T1", body="it is slow"), predicted(), GATE, RULES, POLICY)
    assert (decision.tier, decision.category, decision.resolver_group) == ("L2", "net", "noc")
    assert decision.automation is Automation.AUTOMATIC
    assert (decision.source, decision.reason) == (Source.MODEL, Reason.CONFIDENT)
    assert decision.targets["tier"].confidence == 0.9


def test_a_bypass_rule_wins_over_a_confident_model_and_only_for_what_it_names() -> None:
    decision = decide(Ticket(body="a breach"), predicted(tier=0.99), GATE, RULES, POLICY)
    assert decision.targets["tier"].source is Source.BYPASS_RULE and decision.rule == "breach"
    assert decision.targets["tier"].confidence is None
    assert decision.targets["category"].source is Source.MODEL


def test_an_abstaining_model_leaves_it_to_a_rule_then_to_its_guess_then_to_the_catch_all() -> None:
    weak = predicted(tier=0.6, net=0.6)
    by_rule = decide(Ticket(body="wifi is slow"), weak, GATE, RULES, POLICY)
    assert (by_rule.targets["category"].source, by_rule.category) == (Source.FALLBACK_RULE, "mail")
    assert by_rule.targets["category"].reason is Reason.LOW_CONFIDENCE
    guess = decide(Ticket(body="it is slow"), weak, GATE, RULES, POLICY)
    assert (guess.targets["category"].source, guess.category) == (Source.MODEL, "net")
    assert guess.automation is Automation.SUGGESTED
    without = decide(Ticket(body="it is slow"), None, Gate(), RULES, POLICY)
    assert (without.targets["tier"].source, without.tier) == (Source.DEFAULT, "L1")
    assert without.targets["category"].automation is Automation.BLANK and without.category is None
    assert without.reason is Reason.MODEL_UNAVAILABLE


@pytest.mark.parametrize(
    ("prediction", "reason"),
    [
        (predicted(tier=0.7), Reason.LOW_CONFIDENCE),
        (predicted(tier=0.52), Reason.AMBIGUOUS),
        (predicted(novelty=1.5), Reason.OUT_OF_DISTRIBUTION),
        (predicted(language="fi"), Reason.UNSUPPORTED_LANGUAGE),
        (predicted(words=1), Reason.TOO_SHORT),
        (predicted(words=1, language="fi"), Reason.UNSUPPORTED_LANGUAGE),
        (predicted(excluded={"tier": 0.8}), Reason.CLASS_EXCLUDED),
        (predicted(probabilities={}), Reason.NO_HEAD),
        (None, Reason.MODEL_UNAVAILABLE),
        (predicted(), Reason.CONFIDENT),
        (predicted(language=None), Reason.CONFIDENT),
    ],
)
def test_every_reason_can_be_reached(prediction: Prediction | None, reason: Reason) -> None:
    assert GATE.reason("tier", prediction) is reason


def test_an_illegal_pair_makes_the_model_abstain_on_both() -> None:
    policy = replace(POLICY, illegal=frozenset({("L2", "net")}))
    decision = decide(Ticket(body="slow"), predicted(), GATE, RULES, policy)
    assert {verdict.reason for verdict in decision.targets.values()} == {Reason.ILLEGAL_PAIR}
    assert decision.automation is Automation.SUGGESTED
    ruled = decide(Ticket(body="breach"), predicted(), GATE, RULES, policy)
    assert ruled.targets["tier"].automation is Automation.AUTOMATIC
    assert ruled.targets["category"].reason is Reason.ILLEGAL_PAIR


@pytest.mark.parametrize(
    ("floor", "source"), [(None, Source.MODEL), (0.59, Source.MODEL), (0.61, Source.FALLBACK_RULE)]
)
def test_a_fallback_rule_speaks_only_where_its_measured_bound_beats_the_model(
    floor: float | None, source: Source
) -> None:
    measured = {} if floor is None else {"category": floor}
    rules = RuleBook(tuple(replace(rule, precision_at_least=measured) for rule in RULES.rules))
    weak = predicted(tier=0.6, net=0.6)
    assert decide(Ticket(body="wifi is slow"), weak, GATE, rules, POLICY).targets["category"].source is source
    without_model = decide(Ticket(body="wifi is slow"), None, Gate(), rules, POLICY)
    assert without_model.targets["category"].source is Source.FALLBACK_RULE


CERTIFIED = Gate({"tier": TargetGate(0.05, certified_risk=0.1), "category": TargetGate(0.05, certified_risk=0.1)})


@pytest.mark.parametrize(
    ("tier", "multiple", "margin", "reason"),
    [
        (0.71, 3.0, 0.1, Reason.CONFIDENT),
        (0.69, 3.0, 0.1, Reason.LOW_CONFIDENCE),
        (0.69, 4.0, 0.1, Reason.CONFIDENT),
        (0.52, 9.0, 0.1, Reason.AMBIGUOUS),
        (0.52, 9.0, 0.01, Reason.CONFIDENT),
        (0.80, 3.0, 0.7, Reason.AMBIGUOUS),
    ],
)
def test_no_ticket_is_decided_below_the_floors_though_it_is_right_on_average(
    tier: float, multiple: float, margin: float, reason: Reason
) -> None:
    gate = CERTIFIED.under(GatePolicy(max_ticket_risk_multiple=multiple, min_margin=margin))
    assert gate.reason("tier", predicted(tier=tier)) is reason


def test_up_to_a_stated_risk_a_ticket_is_decided_however_low_the_target() -> None:
    gate = Gate({"tier": TargetGate(0.05, certified_risk=0.02)})
    assert gate.max_ticket_risk("tier") == 0.25
    assert gate.reason("tier", predicted(tier=0.76)) is Reason.CONFIDENT
    strict = gate.under(GatePolicy(tolerated_ticket_risk=0.0))
    assert strict.max_ticket_risk("tier") == pytest.approx(0.06)
    assert strict.reason("tier", predicted(tier=0.76)) is Reason.LOW_CONFIDENCE


def test_a_likely_stranger_is_out_of_distribution_however_sure_its_label_is() -> None:
    assert CERTIFIED.reason("tier", predicted(tier=0.95, stranger=0.1)) is Reason.CONFIDENT
    assert CERTIFIED.reason("tier", predicted(tier=0.95, stranger=0.4)) is Reason.OUT_OF_DISTRIBUTION
    tolerant = CERTIFIED.under(GatePolicy(max_stranger=1.0))
    assert tolerant.reason("tier", predicted(tier=0.75, stranger=0.2)) is Reason.OUT_OF_DISTRIBUTION
    assert tolerant.reason("tier", predicted(tier=0.6, stranger=0.4)) is Reason.LOW_CONFIDENCE


def test_a_decision_tells_right_on_average_from_this_ticket() -> None:
    decision = decide(Ticket(body="slow"), predicted(tier=0.8, net=0.6, stranger=0.1), CERTIFIED, RULES, POLICY)
    tier, category = decision.targets["tier"], decision.targets["category"]
    assert tier.ticket_risk == pytest.approx(1 - 0.8 * 0.9) and tier.certified_risk == 0.1
    assert category.automation is Automation.SUGGESTED and category.ticket_risk == pytest.approx(1 - 0.6 * 0.9)
    by_rule = decide(Ticket(body="breach"), predicted(), CERTIFIED, RULES, POLICY).targets["tier"]
    assert by_rule.ticket_risk is None and by_rule.certified_risk is None


def test_a_policy_may_forbid_automation() -> None:
    for policy in (
        replace(POLICY, suggest_only=frozenset({"tier"})),
        replace(POLICY, tiers=(Tier("L1"), Tier("L2", automate=False))),
    ):
        decision = decide(Ticket(body="slow"), predicted(), GATE, RULES, policy)
        assert decision.targets["tier"].automation is Automation.SUGGESTED
        assert decision.automation is Automation.SUGGESTED


def test_a_gate_of_its_own_holds_a_class_back() -> None:
    prediction = predicted(probabilities={"category": (Score("mail", 0.9), Score("net", 0.1))})
    assert GATE.reason("category", prediction) is Reason.LOW_CONFIDENCE
    assert Gate({"tier": TargetGate(None)}).reason("tier", predicted(tier=1.0)) is Reason.LOW_CONFIDENCE


def test_folded_tiers_never_come_out() -> None:
    policy = replace(POLICY, folding={"L2": "L1"})
    for ticket in (Ticket(body="breach"), Ticket(body="slow")):
        assert decide(ticket, predicted(), GATE, RULES, policy).tier == "L1"


def test_a_doubtful_tier_brings_the_question_that_settles_it() -> None:
    doubtful = decide(Ticket(body="slow"), predicted(tier=0.55), GATE, RULES, POLICY)
    assert doubtful.questions[0] == "tried a restart?"
    sure = decide(Ticket(body="slow"), predicted(tier=0.95), GATE, RULES, POLICY)
    assert "tried a restart?" not in sure.questions


def test_what_is_in_doubt_asks_three_questions_and_none_that_the_ticket_answers() -> None:
    catalogue = (Question("tried", "Tried?", (Option("yes", ("restarted",)),)),)
    tiers = (Tier("L1"), Tier("L2", questions=("tried", "one?", "two?", "three?", "four?")))
    policy, untold = replace(POLICY, tiers=tiers, catalogue=catalogue), Ticket(body="it is slow")
    doubtful = predicted(net=0.55)
    assert decide(untold, doubtful, GATE, NO_RULES, policy).questions == ("Tried?", "one?", "two?")
    told = Ticket(body="it is slow, and I restarted it")
    assert decide(told, doubtful, GATE, NO_RULES, policy).questions == ("one?", "two?", "three?")
    assert decide(told, predicted(), GATE, NO_RULES, policy).questions == ("one?", "two?", "three?", "four?")


def test_a_policy_with_one_target_decides_one() -> None:
    policy = replace(POLICY, tiers=(), groups=())
    decision = decide(Ticket(body="slow"), predicted(), GATE, NO_RULES, policy)
    assert set(decision.targets) == {"category"} and decision.tier is None


probabilities = st.floats(0.5, 1.0)


@given(
    tier=probabilities,
    net=probabilities,
    novelty=st.floats(0, 2),
    words=st.integers(0, 5),
    language=st.sampled_from(["en", "de", None]),
    body=st.sampled_from(["slow", "breach", "wifi", ""]),
)
def test_what_must_always_hold(
    tier: float, net: float, novelty: float, words: int, language: str | None, body: str
) -> None:
    prediction = predicted(tier, net, novelty=novelty, words=words, language=language)
    decision = decide(Ticket(body=body), prediction, GATE, RULES, POLICY)
    automatic = [verdict.automation is Automation.AUTOMATIC for verdict in decision.targets.values()]
    assert (decision.automation is Automation.AUTOMATIC) == all(automatic)
    for target, verdict in decision.targets.items():
        assert (verdict.label is None) == (verdict.automation is Automation.BLANK)
        if verdict.automation is Automation.AUTOMATIC:
            assert verdict.reason in (Reason.CONFIDENT, Reason.RULE)
        if verdict.source is Source.MODEL and verdict.automation is Automation.AUTOMATIC:
            assert verdict.confidence is not None
            assert verdict.confidence >= (GATE.targets[target].threshold_of(str(verdict.label)) or 2)
        if verdict.source in (Source.FALLBACK_RULE, Source.DEFAULT):
            assert verdict.automation is not Automation.AUTOMATIC


ALARMED = replace(
    POLICY,
    tiers=(Tier("L0"), Tier("L1"), Tier("L2")),
    groups=(ResolverGroup("self", "L0"), ResolverGroup("desk", "L1"), ResolverGroup("fire-team", "L2")),
    attention=(AttentionRoute("safety", "fire-team", "L2"),),
    ask_when_vague=("What stopped?",),
    not_a_ticket={"thanks": "merge"},
    translations={"de": {"What stopped?": "Was geht nicht mehr?"}},
)
SURE_L0 = predicted(probabilities={"tier": (Score("L0", 0.99), Score("L1", 0.01))})


def test_what_must_not_wait_goes_to_its_group_and_never_to_self_service() -> None:
    ticket = Ticket(body="there is smoke coming out of the printer")
    decision = decide(ticket, SURE_L0, GATE, NO_RULES, ALARMED)
    assert [one.kind for one in decision.attention] == ["safety"]
    assert (decision.tier, decision.resolver_group) == ("L2", "fire-team")
    assert decision.targets["tier"].automation is Automation.SUGGESTED
    high = predicted(probabilities={"tier": (Score("L2", 0.99), Score("L1", 0.01))})
    assert decide(ticket, high, GATE, NO_RULES, ALARMED).targets["tier"].automation is Automation.AUTOMATIC


def test_a_message_that_is_no_ticket_is_never_automatic_and_asks_nothing() -> None:
    decision = decide(Ticket(body="Thank you, works perfectly now!"), predicted(), GATE, NO_RULES, ALARMED)
    assert (decision.reason, decision.kind, decision.action) == (Reason.NOT_A_TICKET, "thanks", "merge")
    assert decision.automation is not Automation.AUTOMATIC
    assert decision.questions == () and decision.hand_over == ()


def test_nobody_closes_what_a_written_rule_routes() -> None:
    policy = replace(ALARMED, not_a_ticket={"auto_reply": "close"})
    away = Ticket(subject="Automatic reply: breach", attributes={"Auto-Submitted": "auto-replied"})
    decision = decide(away, predicted(), GATE, RULES, policy)
    assert decision.targets["tier"].automation is Automation.AUTOMATIC
    assert (decision.kind, decision.action) == ("auto_reply", None)  # no mailbox sends it on in circles
    other = decide(replace(away, subject="Automatic reply: away"), predicted(), GATE, RULES, policy)
    assert (other.kind, other.action) == ("auto_reply", "close")


def test_a_vague_message_is_asked_what_stopped_in_its_language() -> None:
    decision = decide(Ticket(body="geht nicht, bitte helfen"), predicted(language="de"), GATE, NO_RULES, ALARMED)
    assert decision.reason is Reason.TOO_VAGUE and decision.questions == ("Was geht nicht mehr?",)
    english = decide(Ticket(body="it stopped again"), predicted(), GATE, NO_RULES, ALARMED)
    assert english.questions == ("What stopped?",)


def test_a_foreign_ticket_is_asked_in_its_own_language() -> None:
    policy = replace(POLICY, translations={"fi": {"who?": "kuka?"}})
    weak = predicted(tier=0.4, net=0.6, language="fi", probabilities={"tier": (Score("L1", 0.6), Score("L2", 0.4))})
    decision = decide(Ticket(body="verkko on hidas"), weak, GATE, NO_RULES, policy)
    assert decision.reason is Reason.UNSUPPORTED_LANGUAGE and "kuka?" in decision.questions


def test_a_monitoring_mail_is_asked_nothing() -> None:
    alert = Ticket(body="slow", channel="monitoring")
    assert decide(alert, predicted(tier=0.55), GATE, RULES, POLICY).questions == ()


def test_a_pair_that_is_never_automatic_is_suggested() -> None:
    policy = replace(POLICY, never_automatic=frozenset({("L2", "net")}))
    decision = decide(Ticket(body="slow"), predicted(), GATE, RULES, policy)
    assert decision.automation is Automation.SUGGESTED and decision.tier == "L2"


def test_what_was_not_read_is_said() -> None:
    decision = decide(Ticket(body="It is slow\n-- \nA. Person"), predicted(), GATE, RULES, POLICY)
    assert [(part.what, part.chars) for part in decision.left_out] == [("signature", 13)]
