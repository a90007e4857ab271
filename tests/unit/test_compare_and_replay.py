"""Challenger against champion on paired answers, and rules on labelled tickets."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from models.triager import Triager
from training.data.dataset import Dataset, LabelledTicket, row_digest
from training.data.labels import resolve_labels
from training.evaluation.champion import Champion
from training.evaluation.compare import LEAST_COMMON, Decided, compare
from training.evaluation.predictions import ask, record_of
from training.evaluation.record import Fact, Outcome, Record, short, strings
from training.evaluation.rules_replay import precisions, replay
from training.evaluation.seen import Seen
from training.evaluation.slices import confused_pairs, slices
from triage.errors import BundleMismatch
from triage.policy import parse_policy
from triage.rules import parse_rules
from triage.ticket import Ticket

ORDER = ("L0", "L1", "L2", "L3")


def record(
    accuracy: float, count: int = 400, *, seed: int = 0, severe: bool = False, start: int = 0, sure: float = 0.9
) -> Record:
    """Answers of a made-up model: right with the accuracy given, on tickets numbered from `start`."""
    rng = np.random.default_rng(seed)
    true = [ORDER[number % 4] for number in range(start, start + count)]
    right = rng.random(count) < accuracy
    wrong = [ORDER[(ORDER.index(label) + (2 if severe else 1)) % 4] for label in true]
    top = [label if ok else other for label, ok, other in zip(true, right, wrong, strict=True)]
    confidence = np.where(right, sure, sure - 0.2) + rng.random(count) * 0.05
    facts = [Fact(str(n), ("en", "de")[n % 2], "email", 5 + n % 60) for n in range(start, start + count)]
    outcome = Outcome(
        "tier", np.arange(count), strings(true), strings(top), confidence, confidence > 0.85, strings(top),
        confidence > 0.85, ORDER,
    )  # fmt: skip
    return Record({"targets": {"tier": {}}}, facts, {"tier": outcome}, ORDER)


def test_the_same_model_is_non_inferior_to_itself() -> None:
    found = compare(record(0.8), record(0.8))
    assert found.passed and found.common == 400
    accuracy = found.checks[0]
    assert (accuracy.low, accuracy.high) == (0.0, 0.0)


def test_a_better_model_passes_and_a_worse_one_is_refused() -> None:
    assert compare(record(0.7), record(0.9, seed=1)).passed
    worse = compare(record(0.9), record(0.7, seed=1))
    assert not worse.passed
    assert not worse.checks[0].passed and worse.checks[0].high is not None and worse.checks[0].high < 0


def test_severe_errors_count_even_where_accuracy_is_equal() -> None:
    found = compare(record(0.85), record(0.85, severe=True))
    failed = {check.what for check in found.checks if not check.passed}
    assert failed == {"tier severe errors"}


def test_calibration_and_latency_are_compared() -> None:
    found = compare(record(0.85, sure=0.87), record(0.85, sure=0.6), latencies_ms=(10, 100))
    failed = {check.what for check in found.checks if not check.passed}
    assert {"tier ECE", "milliseconds of processor time for one ticket"} <= failed
    assert compare(record(0.8), record(0.8), latencies_ms=(10, 25)).passed


@pytest.mark.parametrize(
    ("decided", "passed"),
    [
        (Decided(0.4, 0.31, promised=0.3), True),
        (Decided(0.99, 0.0, promised=0.3), False),
        (Decided(0.99, 0.0, promised=0.01), True),  # the champion breaks its promise: to decide less is right
        (Decided(0.99, 0.0), False),
        (Decided(0.0, 0.0), True),
    ],
)
def test_a_challenger_that_would_decide_much_less_is_refused(decided: Decided, passed: bool) -> None:
    same = record(0.85, sure=1.06)  # all are kept, 0.15 of them wrong
    found = compare(same, same, decided={"tier": decided})
    assert found.passed is passed
    assert {check.what for check in found.checks if not check.passed} <= {"tier decided where it serves"}


def deciding(one: Record, kept: float) -> Record:
    """The same answers, of which the surest are decided."""
    outcome = one.outcomes["tier"]
    least = np.quantile(outcome.confidence, 1 - kept) if kept else 2.0
    return replace(one, outcomes={"tier": replace(outcome, kept=outcome.confidence >= least)})


def test_a_champion_that_decides_nothing_is_no_measure_of_how_often_decisions_may_be_wrong() -> None:
    shut, decides = deciding(record(0.9), 0), deciding(record(0.9), 0.95)  # 0.08 of them wrong
    for allowed, passed in ((0.1, True), (0.08, True), (0.02, False)):
        found = compare(shut, decides, decided={"tier": Decided(0.0, 0.95, None, allowed)})
        assert found.passed is passed
        check = next(one for one in found.checks if "risk of automatic" in one.what)
        assert check.challenger == pytest.approx(0.08, abs=0.01) and f"promise of {allowed:g}" in check.rule
    assert compare(shut, shut, decided={"tier": Decided(0.0, 0.0, None, None)}).passed
    worse = compare(deciding(record(0.9), 0.5), decides, decided={"tier": Decided(0.5, 0.95, 0.08, 0.08)})
    assert not worse.passed  # a champion that decides enough is the measure


def test_each_side_is_judged_in_its_own_words() -> None:
    theirs = record(0.9)
    outcome = theirs.outcomes["tier"]
    true, top = (strings(f"Level {label}" for label in labels.tolist()) for labels in (outcome.true, outcome.top))
    order = tuple(f"Level {label}" for label in ORDER)
    other = replace(theirs, outcomes={"tier": replace(outcome, true=true, top=top, named=top)}, ordered_tiers=order)
    found = compare(theirs, other)
    assert found.passed and {check.champion - check.challenger for check in found.checks} == {0.0}


THINGS = ("printer", "screen", "dock", "badge", "phone", "share", "folder", "cable", "order", "mail", "vpn", "bill")


def test_a_champion_is_judged_in_its_own_words_in_the_training_of_its_challenger() -> None:
    """A level that the challenger is the first to learn, an alias, and groups that have come to another tier."""
    tiers = '[[tiers]]\nlabel = "L1"\n[[tiers]]\nlabel = "L2"\n[[categories]]\nlabel = "IT > Hardware"\n'
    before = parse_policy(f'{tiers}[aliases.tier]\n"Line 2" = "L2"\n[[groups]]\nname = "desk"\ntier = "L1"\n')
    after = parse_policy(
        f'{tiers}[[categories]]\nlabel = "IT > Hardware > Dock"\n[aliases.tier]\n"Line 2" = "L2"\n'
        '[[groups]]\nname = "desk"\ntier = "L2"\n'
    )
    read = [
        LabelledTicket(
            Ticket(str(number), body=f"the {word} is broken"),
            {"category": "IT > Hardware > Dock"},
            resolver_group="desk",
            written={"category": " IT > Hardware > Dock"},
        )
        for number, word in enumerate(THINGS)
    ]
    read = [
        *(replace(row, labels={**row.labels, "tier": "Line 2"}, written={**row.written, "tier": "Line 2"})
          for row in read[:6]),
        *read[6:],
    ]  # fmt: skip
    rows = resolve_labels(Dataset(read, ("tier", "category"), "d"), after).rows
    assert {row.labels["category"] for row in rows} == {"IT > Hardware > Dock"}
    champion = Champion(Triager(policy=before, rules=RULES), "digest", Seen.of([]))
    files, facts = champion.answers(rows)
    kept = Record.from_document(json.loads(files["champion.json"]))
    assert facts["champion"]["asked"] == 12 and set(kept.outcomes["category"].true.tolist()) == {"IT > Hardware"}
    assert kept.outcomes["tier"].true.tolist() == ["L2"] * 6 + ["L1"] * 6
    assert [fact.digest for fact in kept.facts] == [short(row_digest(row)) for row in rows]  # paired with the other's
    off, _ = champion.answers([replace(row, labels={"category": row.labels["category"]}) for row in rows])
    assert set(Record.from_document(json.loads(off["champion.json"])).outcomes) == {"category"}


def test_only_tickets_that_both_were_asked_are_compared() -> None:
    found = compare(record(0.8), record(0.8, start=300))
    assert found.common == 100
    few = compare(record(0.8), record(0.8, start=400 - LEAST_COMMON + 1))
    assert not few.passed and few.obstacles and not few.checks


def test_a_challenger_without_a_head_of_the_champion_is_refused() -> None:
    found = compare(record(0.8), Record({}, (), {}))
    assert not found.passed and "the champion decides tier and the challenger does not" in found.obstacles[0]
    json.dumps(found.to_document(), allow_nan=False)


def test_a_record_survives_being_written_and_read() -> None:
    before = record(0.8, 50)
    after = Record.from_document(json.loads(json.dumps(before.to_document(), allow_nan=False)))
    assert after.facts == tuple(before.facts)
    assert (after.outcomes["tier"].top == before.outcomes["tier"].top).all()
    assert (after.outcomes["tier"].kept == before.outcomes["tier"].kept).all()
    with pytest.raises(BundleMismatch):
        Record.from_document({"format": 99})


def test_slices_come_worst_first_and_small_ones_not_at_all() -> None:
    found = slices(record(0.7), "tier")
    assert [part.gap for part in found] == sorted(part.gap for part in found)
    assert all(part.rows >= 10 for part in found)
    assert {part.by for part in found} == {"language", "length", "true tier"}
    pairs = confused_pairs(record(0.7).outcomes["tier"])
    assert pairs[0]["rows"] >= pairs[-1]["rows"] and all(pair["true"] != pair["named"] for pair in pairs)


RULES = parse_rules(
    """
    [[rule]]
    name = "breach"
    kind = "bypass"
    any = ["breach"]
    tier = "L2"
    [[rule]]
    name = "password"
    kind = "fallback"
    any = ["password"]
    tier = "L1"
    [[rule]]
    name = "reset"
    kind = "fallback"
    any = ["reset"]
    tier = "L2"
    [[rule]]
    name = "rest"
    kind = "fallback"
    tier = "L1"
    """
)
POLICY = parse_policy('[[tiers]]\nlabel = "L1"\n[[tiers]]\nlabel = "L2"')


def test_replay_says_how_often_a_rule_speaks_and_is_right() -> None:
    texts = [("a breach", "L2"), ("password reset", "L1"), ("password", "L2"), ("reset", "L2"), ("else", "L1")]
    lines = {
        line["name"]: line["targets"]["tier"]
        for line in replay(RULES, POLICY, [LabelledTicket(Ticket(body=text), {"tier": tier}) for text, tier in texts])
    }
    assert (lines["breach"]["spoke"], lines["breach"]["precision"]) == (1, 1.0)
    assert (lines["password"]["matched"], lines["password"]["precision"]) == (2, 0.5)
    assert (lines["reset"]["matched"], lines["reset"]["spoke"], lines["reset"]["precision"]) == (2, 1, 1.0)
    assert lines["rest"]["spoke"] == 2
    assert lines["password"]["coverage"] == pytest.approx(0.4)


def test_measured_precision_goes_back_into_the_rules() -> None:
    rows = [LabelledTicket(Ticket(body="password"), {"tier": "L1"})] * 4
    found = precisions(replay(RULES, POLICY, rows), least=2)
    assert found["password"] == {"tier": 1.0} and found["breach"] == {}
    assert RULES.measured(found).rules[1].precision == {"tier": 1.0}


def in_clusters(one: Record, size: int, by: str) -> Record:
    """The same answers, each `size` times over: near-duplicates, or the tickets of a group."""
    outcome, count = one.outcomes["tier"], len(one.facts)
    times = np.repeat(np.arange(count), size).tolist()
    facts = [
        replace(
            one.facts[number],
            digest=f"{number}-{place}",
            **({"cluster": number} if by == "cluster" else {"group": f"site {number}"} if by == "group" else {}),
        )
        for place, number in enumerate(times)
    ]
    every = {
        name: getattr(outcome, name)[times] for name in ("true", "top", "confidence", "kept", "named", "automatic")
    }
    return replace(one, facts=facts, outcomes={"tier": replace(outcome, rows=np.arange(len(times)), **every)})


@pytest.mark.parametrize("by", ["cluster", "group"])
def test_intervals_know_that_near_duplicates_and_groups_are_right_or_wrong_together(by: str) -> None:
    both = [record(0.85, 100, seed=seed) for seed in (1, 2)]
    once = compare(*both)
    known = compare(*(in_clusters(one, 20, by) for one in both))
    alone = compare(*(in_clusters(one, 20, "nothing") for one in both))
    for plain, clustered, rows in zip(once.checks, known.checks, alone.checks, strict=False):
        if plain.what == "tier accuracy" or "ECE" in plain.what:
            assert None not in (clustered.low, clustered.high, rows.low, rows.high)
            assert (clustered.low, clustered.high) == pytest.approx((plain.low, plain.high), abs=0.03)
            assert clustered.high - clustered.low > 2 * (rows.high - rows.low)  # type: ignore[operator]


@pytest.mark.parametrize("by", ["cluster", "group"])
def test_a_label_that_is_one_message_stands_against_nothing(by: str) -> None:
    """The alert of a monitor, or what one site alone writes: its tickets are right or wrong together."""
    both = [record(0.85, seed=seed) for seed in (1, 2)]
    alone = [number if number % 4 != 2 else -1 for number in range(400)]
    facts = [
        replace(fact, cluster=number) if by == "cluster" else replace(fact, group=f"site {number}")
        for number, fact in zip(alone, both[0].facts, strict=True)
    ]
    found = compare(*(replace(one, facts=facts) for one in both))
    compared = {check.what for check in found.checks}
    assert {f"tier {label}: recall" for label in ("L0", "L1", "L3")} < compared and "tier L2: recall" not in compared
    assert [note for note in found.notes if note.startswith("tier L2: recall is not compared, as its 100 tickets")]


def test_copies_of_a_few_tickets_are_no_comparison() -> None:
    for different in (1, 9):
        same = record(0.85)
        facts = [replace(fact, cluster=number % different) for number, fact in enumerate(same.facts)]
        same = replace(same, facts=facts)
        found = compare(same, same)
        assert not found.passed and f"copies of {different}, 10 different ones" in found.obstacles[0]


def test_one_error_is_no_broken_promise() -> None:
    theirs = record(1.0, 60, sure=1.06)  # all are decided
    outcome = theirs.outcomes["tier"]
    top = outcome.top.copy()
    top[0] = "L1"
    theirs = replace(theirs, outcomes={"tier": replace(outcome, top=top, named=top)})
    shut = deciding(theirs, 0)
    served = {"tier": Decided(0.9, 0.0, promised=0.01)}
    check = next(one for one in compare(theirs, shut, decided=served).checks if "where it serves" in one.what)
    assert not check.passed
    # a message that came thirty times and was wrong each time is one observation, too
    many = [in_clusters(one, 30, "cluster") for one in (theirs, shut)]
    check = next(one for one in compare(*many, decided=served).checks if "where it serves" in one.what)
    assert not check.passed


def test_an_answer_is_kept_with_its_cluster_of_near_duplicates() -> None:
    texts = ["the disk of server 17 is full", "the disk of server 23 is full", "my badge opens no door"]
    rows = [LabelledTicket(Ticket(str(n), body=text), {"tier": "L1"}) for n, text in enumerate(texts * 8)]
    rows = [*rows, *(LabelledTicket(Ticket(f"x{n}", body=f"{word} is lost"), {"tier": "L1"}) for n, word in enumerate(
        ("pen", "bag", "key", "hat", "mug", "cup", "car", "cat", "dog", "pan", "pot", "box")))]  # fmt: skip
    triager = Triager()
    answers = ask(triager, rows)
    facts = record_of(triager, answers, {"targets": {}}).facts
    assert facts[0].cluster == facts[1].cluster != facts[2].cluster
    kept = Record.from_document(json.loads(json.dumps(Record({"targets": {}}, facts).to_document())))
    assert [fact.cluster for fact in kept.facts] == [fact.cluster for fact in facts]
    old = {**kept.to_document(), "facts": [["a", None, None, 3, None]]}
    assert Record.from_document(old).facts[0].cluster is None
