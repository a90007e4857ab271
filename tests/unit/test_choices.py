"""Answers that are chosen: the likeliest labels are offered, and a choice is evidence beside the text."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.serving.answers import AnswerMemory
from models.toml_files import dump_policy
from models.triager import Triager
from triage.decide import decide
from triage.decision import Automation, Decision
from triage.defaults import default_policy, default_rules
from triage.errors import InvalidPolicy
from triage.escalation.choices import MOST_OFFERED, choice_question, chosen_label, with_chosen
from triage.gate import Gate, TargetGate
from triage.policy import parse_policy
from triage.prediction import Prediction, Score
from triage.ticket import Ticket

POLICY = default_policy()
TEXT = "The spreadsheet macro greets me in Latin"
GATE = Gate({"tier": TargetGate(0.95), "category": TargetGate(0.95)})
CHOICES = {one.target: one for one in POLICY.choices}


def said(tier: float = 0.7, category: float = 0.7) -> Prediction:
    return Prediction(
        {
            "tier": (Score("L2", tier), Score("L3", 1 - tier)),
            "category": (Score("software", category), Score("email", 1 - category)),
        },
        words=10,
    )


def decided(*chosen: tuple[str, str], prediction: Prediction | None = None, gate: Gate = GATE) -> Decision:
    return decide(Ticket("T", body=TEXT, chosen=chosen), prediction or said(), gate, default_rules(), POLICY)


def test_a_choice_that_agrees_with_the_model_clears_the_gate() -> None:
    before, after = decided(), decided(("tier", "L2"))
    assert before.targets["tier"].automation is Automation.SUGGESTED
    assert (after.tier, after.targets["tier"].automation) == ("L2", Automation.AUTOMATIC)
    odds = 0.7 / 0.3 * CHOICES["tier"].weight
    assert after.targets["tier"].confidence == pytest.approx(odds / (1 + odds))
    assert after.targets["category"] == before.targets["category"]


def test_a_choice_against_the_model_decides_nothing() -> None:
    after = decided(("tier", "L3"), prediction=said(tier=0.9)).targets["tier"]
    assert after.automation is Automation.SUGGESTED and after.label == "L3"


def test_the_last_choice_of_a_target_counts_once() -> None:
    assert decided(("tier", "L3"), ("tier", "L2"), ("tier", "L2")).targets == decided(("tier", "L2")).targets


def test_an_answer_does_not_talk_away_what_must_not_be_missed() -> None:
    gate = replace(GATE, targets={**GATE.targets, "category": TargetGate(0.95, guards={"email": 0.2})})
    assert decided(("category", "software"), gate=gate).targets["category"] == decided(gate=gate).targets["category"]
    assert decided(("category", "software")).targets["category"].automation is Automation.AUTOMATIC


def test_what_reviews_changed_is_weighed_as_well_as_the_model_alone() -> None:
    doubted = replace(said(0.97), unreviewed={"tier": (Score("L2", 0.4), Score("L3", 0.6))})
    assert decided(("tier", "L2"), prediction=doubted).targets["tier"].automation is Automation.SUGGESTED


def test_the_tier_is_offered_first_then_the_category_and_nothing_twice() -> None:
    first = decided().questions[0]
    assert first.startswith(CHOICES["tier"].ask) and CHOICES["tier"].statements[2].says in first
    second = decided(("tier", "L2")).questions
    assert second[0] == "Which of these is it about? Desktop and mobile software / Mail and collaboration"
    third = decided(("tier", "L2"), ("category", "software")).questions
    assert not any(one.startswith(tuple(choice.ask for choice in POLICY.choices)) for one in third)


def test_at_most_five_labels_are_offered_and_a_label_that_the_policy_lacks_is_not() -> None:
    scores = [Score("of another desk", 0.5), *(Score(label, 0.05) for label in POLICY.labels("category"))]
    question = choice_question(POLICY, "category", scores) or ""
    assert len(question.split(" / ")) == MOST_OFFERED and "another desk" not in question
    assert choice_question(POLICY, "category", scores[:2]) is None  # one label is no choice


@pytest.mark.parametrize("language", [None, *POLICY.translations])
def test_every_label_is_recognised_as_it_is_offered_in_every_language(language: str | None) -> None:
    for target in CHOICES:
        for label in POLICY.labels(target):
            other = next(one for one in POLICY.labels(target) if one != label)
            question = choice_question(POLICY, target, [Score(label, 0.6), Score(other, 0.4)], language) or ""
            offered = question.replace("? ", "? / ", 1).split(" / ")[1]
            assert chosen_label(POLICY, question, f" {offered.upper()} ") == (target, label)
            if language:
                assert offered in POLICY.translations[language].values()


def test_what_chooses_nothing_is_text() -> None:
    assert chosen_label(POLICY, CHOICES["tier"].ask, "the one in the cellar") is None
    assert chosen_label(POLICY, "Since when?", "L2") is None
    assert chosen_label(POLICY, "tier", "l2") == ("tier", "L2") and chosen_label(POLICY, "category", "L2") is None


@given(st.lists(st.floats(0.001, 1.0), min_size=2, max_size=5), st.integers(0, 4))
def test_probabilities_stay_probabilities_and_the_chosen_one_gains(shares: list[float], place: int) -> None:
    total, labels = sum(shares), POLICY.labels("tier")
    scores = tuple(Score(label, share / total) for label, share in zip(labels, shares, strict=False))
    label = scores[place % len(scores)].label
    found = with_chosen(POLICY, Prediction({"tier": scores}), [("tier", label)], Gate()).probabilities["tier"]
    assert sum(one.probability for one in found) == pytest.approx(1.0)
    assert list(found) == sorted(found, key=lambda one: -one.probability)
    after = {one.label: one.probability for one in found}
    assert all((after[one.label] >= one.probability - 1e-9) == (one.label == label) or one.probability > 0.999
               for one in scores if abs(after[one.label] - one.probability) > 1e-9)  # fmt: skip


def test_a_choice_leaves_it_to_costs_which_tier_is_named() -> None:
    choice = replace(CHOICES["tier"], right=0.51)
    policy = replace(POLICY, decide_by_cost=True, cost_under=9.0, choices=(choice,))
    scores = policy.rank("tier", (Score("L1", 0.7), Score("L2", 0.3)))
    assert [one.label for one in scores] == ["L2", "L1"]
    found = with_chosen(policy, Prediction({"tier": scores}, unreviewed={"tier": scores}), [("tier", "L1")], Gate())
    for table in (found.probabilities, found.unreviewed):
        assert table["tier"][0].label == "L2" and table["tier"][0].probability == pytest.approx(0.17, abs=0.01)


def test_the_likely_labels_were_measured_without_answers() -> None:
    scores = {"tier": (Score("L1", 0.6), Score("L2", 0.4)), "category": (Score("software", 1.0),)}
    prediction = Prediction(scores, sets={"tier": ("L1",), "category": ("software",)})
    found = with_chosen(POLICY, prediction, [("tier", "L2")], Gate())
    assert found.probabilities["tier"][0].label == "L2" and found.sets == {"category": ("software",)}
    guarded = Gate({"tier": TargetGate(0.5, guards={"L2": 0.1})})
    assert with_chosen(POLICY, prediction, [("tier", "L2")], guarded).sets == prediction.sets


def test_a_remembered_answer_is_not_that_of_another_choice() -> None:
    memory, triager = AnswerMemory(), Triager()
    plain, chose = Ticket("T", body=TEXT), Ticket("T", body=TEXT, chosen=(("tier", "L2"),))
    memory.put(triager, plain, triager.decide([plain])[0], begun=memory.forgotten, explain=False, clearance=0)
    assert memory.get(triager, plain, explain=False, clearance=0) is not None
    assert memory.get(triager, chose, explain=False, clearance=0) is None


def test_choices_are_written_down_and_read_again() -> None:
    assert parse_policy(dump_policy(POLICY)).choices == POLICY.choices


FAULTS = {
    'target = "tier"\nask = "?"\nright = 0.4': "between 0.5 and 1",
    'target = "tier"\nask = "?"\nright = true': "is not a number",
    'target = "mood"\nask = "?"': "no labels",
    'target = "tier"\nask = "?"\nstatements = [{label = "X", says = "x"}]': "'X', which is not listed",
    'target = "tier"\nask = "?"\nstatements = [{label = "A", says = "x"}, {label = "B", says = "X"}]': "say the same",
    'target = "tier"\nask = "?"\n[[choice]]\ntarget = "tier"\nask = "!"': "listed twice",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_choice_that_cannot_work_is_named(fault: str) -> None:
    with pytest.raises(InvalidPolicy, match=FAULTS[fault]):
        parse_policy(f'[[tiers]]\nlabel = "A"\n[[tiers]]\nlabel = "B"\n[[choice]]\n{fault}')
