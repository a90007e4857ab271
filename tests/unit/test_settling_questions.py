"""The question that settles it: the most telling one, never one that is answered, never to a machine, at most three."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.question_weights import with_told, with_weights
from triage.decide import decide
from triage.defaults import default_policy, default_rules
from triage.errors import InvalidPolicy
from triage.escalation.questions import MOST, MOST_TOLD, answered, chance_told, gain, settling_questions, unanswered
from triage.gate import Gate, TargetGate
from triage.policy import Option, Question, parse_policy
from triage.prediction import Prediction, Score
from triage.screening.reading import plain
from triage.ticket import Ticket

POLICY = default_policy()
GATE = Gate({"tier": TargetGate(0.9), "category": TargetGate(0.9)})
TELLING = Question("t", "telling?", (Option("yes", ("yes sir",), {"L1": 0.9, "L2": 0.1}),))
VAGUE = Question("v", "vague?", (Option("yes", ("quite so",), {"L1": 0.5, "L2": 0.45}),))


def doubtful(tier: str = "L1", rival: str = "L2", language: str = "en") -> Prediction:
    return Prediction(
        {"tier": (Score(tier, 0.5), Score(rival, 0.5)), "category": (Score("software", 0.6), Score("email", 0.4))},
        words=10,
        language=language,
    )


def asked(text: str, prediction: Prediction, **more: str) -> tuple[str, ...]:
    return decide(Ticket("T", body=text, **more), prediction, GATE, default_rules(), POLICY).questions  # type: ignore[arg-type]


def test_the_most_telling_question_comes_first() -> None:
    policy = replace(POLICY, catalogue=(VAGUE, TELLING))
    found = settling_questions(policy, (Score("L1", 0.5), Score("L2", 0.5)), "the mouse moves")
    assert [one.id for one in found] == ["t"]  # the other one tells next to nothing
    even = dict.fromkeys(("L1", "L2"), 0.5)
    assert gain(TELLING, even) > gain(VAGUE, even)


@given(st.lists(st.floats(0.0, 1.0), min_size=5, max_size=5).filter(lambda shares: sum(shares) > 0.1))
def test_a_gain_is_never_negative_nor_more_than_what_is_unknown(shares: list[float]) -> None:
    prior = dict(zip(POLICY.labels("tier"), shares, strict=True))
    for question in POLICY.catalogue:
        assert 0.0 <= gain(question, prior) <= 1.61  # ln 5


def test_what_the_ticket_answers_is_not_asked() -> None:
    text = "The spreadsheet macro greets me in Latin"
    first = asked(text, doubtful("L2", "L1"))
    assert 1 <= len(first) <= MOST
    tried = next(one for one in POLICY.catalogue if one.id == "tried")
    assert tried.ask in first
    assert tried.ask not in asked(f"{text}. I restarted and reinstalled it, all as before.", doubtful("L2", "L1"))
    assert answered(tried, plain("I RESTARTED it")) is tried.options[0]


def test_questions_differ_by_what_is_in_doubt() -> None:
    text = "The spreadsheet macro greets me in Latin"
    outside = next(one.ask for one in POLICY.catalogue if one.id == "outside")
    assert asked(text, doubtful("L4", "L3"))[1] == outside  # after the choice among the likeliest tiers
    assert asked(text, doubtful("L4", "L3"))[1] != asked(text, doubtful("L1", "L2"))[1]


def test_what_settled_more_often_is_asked_before_what_tells_more() -> None:
    often = replace(VAGUE, options=(Option("yes", (), {"L1": 0.6, "L2": 0.2}),), settles={"L1": 0.3})
    policy = replace(POLICY, catalogue=(replace(TELLING, settles={"L1": 0.1}), often))
    assert [one.id for one in settling_questions(policy, (Score("L1", 0.6), Score("L2", 0.4)), "hm")] == ["v", "t"]


def test_machines_are_asked_nothing_and_people_in_their_language() -> None:
    assert asked("The spreadsheet macro greets me in Latin", doubtful(), channel="monitoring") == ()
    german = asked("Die Tabelle antwortet auf Latein", doubtful(language="de"))
    known = set(POLICY.translations["de"].values())
    assert german and all(one in known for one in german[1:])
    choice, *offered = german[0].replace("? ", "? / ", 1).split(" / ")
    assert {choice, *offered} <= known and len(offered) == 2


def test_every_question_of_the_default_policy_is_translated() -> None:
    for language, known in POLICY.translations.items():
        assert not [one.ask for one in POLICY.catalogue if one.ask not in known], language


def test_weights_are_learned_from_tickets() -> None:
    policy = replace(POLICY, catalogue=(Question("t", "telling?", (Option("yes", ("yes sir",)),)),))
    rest, first = Ticket(body="It is slow. Yes sir. Bye."), Ticket(body="Yes sir. It is slow. Bye.")
    tickets = [rest] * 8 + [first] * 5 + [Ticket(body="It is slow. Bye.")] * 10
    [learned] = with_weights(policy, tickets, ["L1"] * 13 + ["L2"] * 10).catalogue
    shares = dict(learned.options[0].tier)
    assert (shares["L1"], shares["L2"]) == (0.89, 0.075)  # who says so at first is never asked
    assert {shares[tier] for tier in ("L0", "L3", "L4")} == {0.45}  # of which no ticket says anything: as usual


FAULTS = {
    "tier = {A = 0.5, B = 0.5}": "changes nothing",
    "tier = {A = 0.5, C = 0.5}": "tier 'C', which is not listed",
    "tier = {A = 1.5, B = 0.5}": "do not lie in",
    "any = ['(']\ntier = {A = 0.5}": "does not compile",
}
TOLD_FAULTS = {"{mood = 1.0}": "a weight for 'mood'", "{bias = true}": "is not a number"}


@pytest.mark.parametrize("fault", TOLD_FAULTS)
def test_a_weight_of_what_is_told_that_cannot_work_is_named(fault: str) -> None:
    text = '[[tiers]]\nlabel = "A"\n[[tiers]]\nlabel = "B"\n[[question]]\nid = "q"\nask = "?"\n'
    options = '[[question.options]]\nanswer = "yes"\ntier = {A = 0.5, B = 0.1}'
    with pytest.raises(InvalidPolicy, match=TOLD_FAULTS[fault]):
        parse_policy(f"{text}told = {fault}\n{options}")


@pytest.mark.parametrize("fault", FAULTS)
def test_a_question_that_cannot_work_is_named(fault: str) -> None:
    text = '[[tiers]]\nlabel = "A"\n[[tiers]]\nlabel = "B"\n[[question]]\nid = "q"\nask = "?"\n[[question.options]]\n'
    with pytest.raises(InvalidPolicy, match=FAULTS[fault]):
        parse_policy(f'{text}answer = "yes"\n{fault}')


def test_what_is_probably_answered_in_other_words_is_not_asked() -> None:
    question = replace(TELLING, told={"bias": -6.0, "words": 1.0, "v": 5.0})
    policy = replace(POLICY, catalogue=(question, VAGUE))
    scores = (Score("L1", 0.5), Score("L2", 0.5))
    assert [one.id for one in settling_questions(policy, scores, "the mouse moves")] == ["t"]
    assert settling_questions(policy, scores, "the mouse moves " * 40) == ()  # a long ticket tells more than is found
    assert settling_questions(policy, scores, "the mouse moves, quite so") == ()  # so does one that answers another one


def test_what_is_told_unseen_is_learned_from_tickets_that_somebody_read() -> None:
    policy = replace(POLICY, catalogue=(TELLING, VAGUE))
    short, long = ["it stopped"] * 20, ["it stopped " * 60] * 20
    told = [["v"]] * 20 + [["t", "v"]] * 20
    learned, always = with_told(policy, [*short, *long], told).catalogue
    assert chance_told(learned, 2, ()) < 0.1 < 0.9 < chance_told(learned, 120, ())
    assert always.told == {}  # every ticket answers it: nothing tells which do not
    found = with_told(policy, ["yes sir"] * 5 + short, [["t"]] * 5 + [[]] * 20).catalogue[0]
    assert found.told == {}  # a pattern finds all of them


@given(
    st.lists(
        st.sampled_from(
            [
                "I",
                "restarted",
                "it",
                "all",
                "as",
                "before",
                "since",
                "Monday",
                "only",
                "me",
                "status",
                "page",
                "says",
                "down",
            ]
        )
    )
)
def test_what_is_listed_is_asked_as_the_whole_catalogue_would_be(words: list[str]) -> None:
    said = " ".join(words).lower()
    given_ones = {one.id for one in POLICY.catalogue if answered(one, said)}
    left = [
        one.ask
        for one in POLICY.catalogue
        if one.id not in given_ones and chance_told(one, len(words), given_ones) <= MOST_TOLD
    ]
    for asks in ([one.ask] for one in POLICY.catalogue):
        assert unanswered(POLICY, asks, said) == tuple(ask for ask in asks if ask in left)
