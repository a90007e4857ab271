"""What the gate is made of: strangers by distance, rules by what they add, floors, and whom the promise is for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from models.reference.novelty import StrangerCurve
from training.data.dataset import LabelledTicket
from training.gate.first_stage import FirstAnswers
from training.gate.gate import CalibrationScores, RiskTarget, build_gate, certificate_facts, unlearned_shares
from training.gate.rule_precision import fallback_floors, lower_bound
from training.gate.strangers import fit_strangers
from triage.decision import Reason
from triage.gate import Gate, Promise, TargetGate
from triage.policy import Category, Policy
from triage.prediction import Prediction, Score
from triage.rules import parse_rules
from triage.ticket import Ticket


def clusters(spread: float, labels: int = 12, rows: int = 60) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Draw unit vectors around one direction for each label."""
    rng = np.random.default_rng(3)
    centres = rng.normal(size=(labels, 64))
    vectors = np.repeat(centres, rows, axis=0) + spread * rng.normal(size=(labels * rows, 64))
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit.astype(np.float32), np.repeat(np.arange(labels), rows)


def test_a_ticket_far_from_all_labels_is_a_stranger_and_one_among_its_like_is_none() -> None:
    vectors, labels = clusters(0.5)
    found = fit_strangers(vectors, np.arange(len(labels)), {"category": labels}, 0.05)
    assert found is not None
    near, far = found.probability(np.array([0.15, 0.95]))
    assert near < 0.01 and far > 0.9


def test_where_labels_overlap_distance_says_nothing_about_strangers() -> None:
    vectors, labels = clusters(30.0)
    found = fit_strangers(vectors, np.arange(len(labels)), {"category": labels}, 0.05)
    assert found is None or found.probability(np.array([0.3, 0.8])).max() < 0.15


@pytest.mark.parametrize(("labels", "rows", "share"), [(4, 100, 0.05), (12, 10, 0.05), (12, 60, 0.0)])
def test_too_few_labels_or_rows_or_no_share_learn_no_curve(labels: int, rows: int, share: float) -> None:
    vectors, label_ids = clusters(0.5, labels, rows)
    assert fit_strangers(vectors, np.arange(len(label_ids)), {"category": label_ids}, share) is None


def test_a_ticket_as_near_as_others_is_no_stranger_whatever_share_is_expected() -> None:
    assert StrangerCurve(10.0, -5.0, 0.2).probability(np.array([0.5, 0.4])).tolist() == [0.0, 0.0]


BOOK = parse_rules(
    """
[[rule]]
name = "agrees"
kind = "fallback"
any = ["print"]
category = "a"
[[rule]]
name = "contradicts"
kind = "fallback"
any = ["mail"]
category = "b"
[[rule]]
name = "rest"
kind = "fallback"
category = "a"
"""
)


POLICY = Policy("p", categories=(Category("a"), Category("b")))


def scores_of(rows: list[LabelledTicket], probabilities: list[list[float]]) -> CalibrationScores:
    n = len(rows)
    return CalibrationScores(
        rows=rows,
        probabilities={"category": np.array(probabilities)},
        labels={"category": ("a", "b")},
        novelty=np.zeros(n),
        excluded={"category": np.zeros(n)},
        languages=["en"] * n,
        written=[()] * n,
        words=np.full(n, 5),
        stranger=np.zeros(n),
    )


@pytest.mark.parametrize(
    ("groups", "grouped", "promise"),
    [(20, True, Promise.NEW_GROUP), (10, True, Promise.NONE), (10, False, Promise.NEW_ROWS)],
)
def test_the_gate_says_whom_its_promise_is_for(groups: int, grouped: bool, promise: Promise) -> None:
    rows = [
        LabelledTicket(Ticket(f"{group}-{place}", body="the mail is slow today"), {"category": "a"}, group=f"g{group}")
        for group in range(groups)
        for place in range(30)
    ]
    gate, _, certificates = build_gate(
        scores_of(rows, [[0.97, 0.03]] * len(rows)), POLICY, frozenset(),
        RiskTarget(target_risk=0.05, confidence=0.95, grouped=grouped),
    )  # fmt: skip
    assert gate.targets["category"].promise is promise
    assert (gate.targets["category"].threshold is None) is (promise is Promise.NONE)
    facts = certificate_facts(certificates)["category"]
    assert facts["promise"] == promise.value
    assert facts["more_groups"] == ((9 if groups == 10 else 0) if grouped else None)


def test_tickets_below_the_floor_do_not_count_for_the_certificate() -> None:
    """Half of the tickets are coin tosses that happen to be right: they would carry the average, and may not."""
    rows = [LabelledTicket(Ticket(str(place), body="the mail is slow"), {"category": "a"}) for place in range(400)]
    probabilities = [[0.97, 0.03]] * 200 + [[0.56, 0.44]] * 200
    gate, _, certificates = build_gate(
        scores_of(rows, probabilities), POLICY, frozenset(), RiskTarget(target_risk=0.10, confidence=0.95)
    )
    assert certificates["category"].whole.kept == 200
    assert gate.max_ticket_risk("category") == pytest.approx(0.3)


def test_a_rule_is_measured_only_where_it_contradicts_a_model_that_abstains() -> None:
    """60 tickets where the rule and the model agree, 20 where they differ, 30 that the model decides."""
    rows, probabilities = [], []
    for place in range(110):
        agree, decided = place < 60, place >= 80
        right = place % 4 == 0  # the rule is right about one in four where it contradicts
        label = "a" if agree or not right else "b"
        text = "print" if agree else "mail"
        rows.append(LabelledTicket(Ticket(str(place), body=f"the {text} is slow today"), {"category": label}))
        probabilities.append([0.99, 0.01] if decided else [0.6, 0.4])
    scores = scores_of(rows, probabilities)
    gate = Gate({"category": TargetGate(0.9, certified_risk=0.1)})
    floors = fallback_floors(BOOK, POLICY, scores, gate)
    assert floors["agrees"]["category"] == 0.0
    assert floors["contradicts"]["category"] == lower_bound(5, 20, 0.05) < 0.25


GUARDED = Policy("p", categories=(Category("security", min_recall=0.9), Category("ordinary")))


def staged(
    labels: list[str], full: tuple[float, float], first: tuple[float, float], stranger: float = 0.0
) -> tuple[CalibrationScores, list[Prediction]]:
    """Tickets of these labels that the first stage answers, as the certificate and as the service see them.

    Args:
        labels: Of each ticket.
        full: The full model's probabilities of security and ordinary.
        first: Those of the first stage.
        stranger: What the first stage holds the probability to be that a ticket belongs to no label.
    """
    rows = [LabelledTicket(Ticket(str(place), body="the mail"), {"category": one}) for place, one in enumerate(labels)]
    ranked = sorted((Score("security", first[0]), Score("ordinary", first[1])), key=lambda one: -one.probability)
    served = [Prediction({"category": tuple(ranked)}, words=5, stranger=stranger, by_first_stage=True)] * len(rows)
    answered = FirstAnswers.of(served, Gate(), GUARDED).above(0.01)
    assert answered.passed.all()
    found = replace(scores_of(rows, [list(full)] * len(rows)), labels={"category": ("security", "ordinary")})
    return replace(found, taken=answered), served


def test_a_guard_is_certified_with_what_the_stage_says_that_answers() -> None:
    """The full model would have kept back every security ticket; the first stage, which answers, keeps back none."""
    scores, served = staged(["security"] * 100 + ["ordinary"] * 900, full=(0.4, 0.6), first=(0.0005, 0.9995))
    gate, _, found = build_gate(scores, GUARDED, frozenset(), RiskTarget(target_risk=0.2, confidence=0.95))
    guard = found["category"].guards["security"]
    missed = sum(gate.reason("category", one) is Reason.CONFIDENT for one in served[:100])
    assert missed <= guard.bound * 100 or not guard.limit
    assert missed == 0 and guard.limit == 0.0


def test_a_guard_of_both_stages_keeps_back_what_the_first_one_thinks_likely() -> None:
    scores, served = staged(["ordinary"] * 900 + ["security"] * 100, full=(0.001, 0.999), first=(0.2, 0.8))
    gate, _, found = build_gate(scores, GUARDED, frozenset(), RiskTarget(target_risk=0.2, confidence=0.95))
    limit = found["category"].guards["security"].limit
    assert 0 < limit <= 0.2 and found["category"].whole.kept == 0
    assert gate.reason("category", served[0]) is not Reason.CONFIDENT


@pytest.mark.parametrize(
    ("first", "stranger"),
    [((0.46, 0.54), 0.0), ((0.3, 0.7), 0.0), ((0.2, 0.8), 0.15)],
    ids=["margin", "single ticket", "stranger"],
)
def test_floors_hold_for_what_the_first_stage_answers(first: tuple[float, float], stranger: float) -> None:
    """Its tickets are right, but below a floor of the gate: they are never decided, and so they are not kept."""
    labels = ["security"] * 200 + ["ordinary"] * 200
    scores, served = staged(labels, full=(0.01, 0.99), first=first[::-1], stranger=stranger)
    assert scores.taken is not None
    scores.taken.passed[200:] = False  # the full model answers these
    bare = replace(GUARDED, categories=(Category("security"), Category("ordinary")))
    gate, _, found = build_gate(scores, bare, frozenset(), RiskTarget(target_risk=0.05, confidence=0.95))
    assert (found["category"].whole.kept, found["category"].whole.wrong) == (200, 0)
    assert gate.reason("category", served[0]) is not Reason.CONFIDENT


def predicting(own: float, corrected: float, label: str = "a") -> Prediction:
    """A prediction of two labels, and what reviews made of it."""

    def scores(first: str, probability: float) -> tuple[Score, ...]:
        return Score(first, probability), Score("b" if first == "a" else "a", 1.0 - probability)

    return Prediction({"tier": scores(label, corrected)}, words=9, unreviewed={"tier": scores("a", own)})


@pytest.mark.parametrize(
    ("prediction", "reason"),
    [
        (predicting(0.95, 0.99), Reason.CONFIDENT),
        (predicting(0.85, 0.99), Reason.LOW_CONFIDENCE),
        (predicting(0.95, 0.85), Reason.LOW_CONFIDENCE),
        (predicting(0.95, 0.95, "b"), Reason.LOW_CONFIDENCE),
    ],
    ids=["both are sure", "the model alone is not", "the reviews are not", "another label"],
)
def test_reviews_withdraw_automatic_decisions_and_never_add_one(prediction: Prediction, reason: Reason) -> None:
    assert Gate({"tier": TargetGate(0.9)}).reason("tier", prediction) is reason


def expecting(unlearned: float) -> Policy:
    """A policy that expects this share of tickets to have a label that the model has not learned."""
    rest = (1 - unlearned) / 2
    return Policy("p", categories=(Category("a", expected_share=rest), Category("b", expected_share=rest),
                                   Category("new", expected_share=unlearned)))  # fmt: skip


@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize(("share", "rows_of_it", "is_open"), [(0.0, 0, True), (0.02, 0, True), (0.2, 0, False),
                                                              (0.2, 8, False), (0.2, 300, True)])  # fmt: skip
def test_a_label_that_was_not_learned_takes_its_expected_share_of_errors(
    share: float, rows_of_it: int, is_open: bool, grouped: bool
) -> None:
    """Its tickets are below any threshold where there are any; where there are none, the worst is taken."""
    rows, probabilities = [], []
    for place in range(1200 + rows_of_it):
        label = ("a", "b")[place % 2] if place < 1200 else "new"
        ticket = Ticket(str(place), body="the mail is slow")
        rows.append(LabelledTicket(ticket, {"category": label}, group=f"g{place % 30}"))
        sure = 0.97 if label != "new" else 0.55
        probabilities.append([sure, 1 - sure] if label != "b" else [1 - sure, sure])
    for per_class in (False,) if grouped else (False, True):
        wanted = RiskTarget(target_risk=0.10, confidence=0.95, grouped=grouped, per_class=per_class)
        gate, _, found = build_gate(scores_of(rows, probabilities), expecting(share), frozenset(), wanted)
        assert gate.targets["category"].decides_nothing is not is_open
        assert set(found["category"].by_label) == {"a", "b"}
    said = unlearned_shares({"category": ("a", "b")}, expecting(share))
    assert [line.partition(":")[0] for line in said] == (["category"] if share else [])


def test_the_certificate_bounds_the_error_rate_of_traffic_with_labels_that_were_not_learned() -> None:
    """Drawn again and again: the error rate of all that is decided, the new label's tickets among it."""
    draw, broken = np.random.default_rng(5), 0
    shares = Policy("p", categories=(Category("a", expected_share=0.05), Category("b", expected_share=0.90),
                                     Category("new", expected_share=0.05)))  # fmt: skip

    def tickets(number: int) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """How sure the model is of b, and whether it is that."""
        sure = draw.uniform(0.5, 1.0, number)
        return sure, draw.random(number) < sure**0.3

    everybody, is_b = tickets(200_000)
    for _ in range(40):
        sure, right = tickets(900)
        rows = [
            LabelledTicket(Ticket(str(place), body="the mail is slow"), {"category": "b" if one else "a"})
            for place, one in enumerate(right)
        ]
        wanted = RiskTarget(target_risk=0.10, confidence=0.95)
        found = scores_of(rows, np.stack([1 - sure, sure], axis=1).tolist())
        threshold = build_gate(found, shares, frozenset(), wanted)[0].targets["category"].threshold
        if threshold is not None:
            kept = {label: float(np.mean(everybody[is_b == (label == "b")] >= threshold)) for label in "ab"}
            wrong = 0.05 * kept["a"] + 0.05  # all that is of the new label is decided
            broken += wrong / (wrong + 0.90 * kept["b"]) > 0.10
    assert broken <= 5
