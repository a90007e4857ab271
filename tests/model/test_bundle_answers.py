"""What a bundle answers: the same however asked, explained to the last logit, silent about what one may not see."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from models.bundle.bundle import Bundle, load_bundle
from models.encoder import Encoder
from models.explain import Attribution, rule_contribution, towards
from models.triager import Triager
from training.data.labelled_ticket import LabelledTicket
from training.gate.gate import calibration_scores_of
from training.pipeline import train
from training.task import Trained, TrainSettings
from triage.policy import Policy
from triage.ticket import Ticket

Write = Callable[[Path, list[dict[str, object]]], Path]


@pytest.fixture(scope="module")
def tickets(shipped: list[dict[str, object]]) -> list[Ticket]:
    return [
        Ticket(id=str(row["id"]), subject=str(row["subject"]), body=str(row["body"]), channel=str(row["channel"]))
        for row in shipped[::12][:40]
    ]


def test_a_ticket_has_the_same_answer_alone_and_in_any_company(bundle: Bundle, tickets: list[Ticket]) -> None:
    together = bundle.predict(tickets)
    for ticket, expected in zip(tickets[:10], together, strict=False):
        (alone,) = bundle.predict([ticket])
        for target, scores in expected.probabilities.items():
            told = {score.label: score.probability for score in alone.probabilities[target]}
            assert all(abs(told[score.label] - score.probability) < 1e-5 for score in scores)
        assert abs(alone.novelty - expected.novelty) < 1e-5


def test_predictions_are_probabilities_ranked_and_sets_hold_the_top_label(
    bundle: Bundle, tickets: list[Ticket]
) -> None:
    for prediction in bundle.predict(tickets):
        for target, scores in prediction.probabilities.items():
            values = [score.probability for score in scores]
            assert values == sorted(values, reverse=True)
            assert abs(sum(values) - 1) < 1e-6
            assert prediction.sets[target][0] == scores[0].label


def test_a_loaded_bundle_decides_as_the_saved_one(trained: Trained, encoder: Encoder, tickets: list[Ticket]) -> None:
    again = load_bundle(trained.path, encoder=encoder)
    assert Triager(again).decide(tickets, explain=True) == Triager(trained.bundle).decide(tickets, explain=True)


def test_same_data_and_seed_give_the_same_digest(
    encoder: Encoder, tmp_path: Path, shipped: list[dict[str, object]], write: Write
) -> None:
    data = write(tmp_path / "tickets.jsonl", shipped[:180])
    made = [
        train(TrainSettings((data,), tmp_path / name, seed=seed), encoder=encoder, log=lambda _: None).bundle.digest
        for name, seed in (("a", 3), ("b", 3), ("c", 4))
    ]
    assert made[0] == made[1] != made[2]


def test_contributions_of_words_and_fields_add_up_to_the_sparse_part_of_the_logit(
    bundle: Bundle, tickets: list[Ticket]
) -> None:
    model = bundle.model
    for ticket in tickets[:10]:
        vectors = bundle.encoder.encode([ticket.text])
        rows = model.features([ticket], vectors).sparse
        for head in model.heads.values():
            columns = np.arange(model.vectorizer.size + len(model.fields.names), dtype=np.int32)
            each = [head.lexical_margin(columns, direction) for direction in np.eye(len(head.labels))]
            logits = rows.dot(np.stack(each, axis=1).astype(np.float32))[0]
            first = towards(len(head.labels), {0: 1.0})
            owned = Attribution.of(model.vectorizer, model.fields, ticket, rows)
            pushed = owned.contributions(head, first).sum()
            assert pushed == pytest.approx(float(logits[0] - logits.mean()), abs=1e-3)


def test_the_rule_that_votes_is_credited_with_what_its_vote_adds_to_the_logits(
    bundle: Bundle, tickets: list[Ticket]
) -> None:
    model, seen = bundle.model, 0
    features = model.features(tickets, bundle.encoder.encode([ticket.text for ticket in tickets]))
    nothing = features._replace(rule_matches=np.zeros_like(features.rule_matches))
    for head in model.heads.values():
        voting, silent = (
            head.stacking.logits(np.concatenate([estimator.scores(one) for estimator in head.estimators], axis=1))
            for one in (features, nothing)
        )
        for row, added in enumerate(voting - silent):
            pushed = rule_contribution(
                model.rules, head, features.rule_matches[row], towards(len(head.labels), {0: 1.0}, {1: 1.0})
            )
            seen += bool(pushed)
            assert sum(pushed.values()) == pytest.approx(added[0] - added[1], abs=1e-4)
    assert seen > len(tickets) / 4


def test_the_labels_that_are_decided_are_explained(bundle: Bundle, tickets: list[Ticket]) -> None:
    own = bundle.policy
    dear = replace(own, decide_by_cost=True, cost_under=9.0)
    for policy in (own, dear, replace(own, folding={"L0": "L1"}), replace(own, folding={"L1": "L2"})):
        triager = Triager(bundle, policy=policy)
        for ticket in tickets[:10]:
            (before,) = triager.decide([ticket], explain=True)
            rival = before.targets["tier"].alternatives[1].label
            (after,) = triager.decide([replace(ticket, chosen=(("tier", rival),))], explain=True)
            for one in (before, after):
                ranked = [score.label for score in one.targets["tier"].alternatives[:2]]
                assert [one.explanation.target, one.explanation.label, one.explanation.rival] == ["tier", *ranked]
            if after.explanation.label == rival:
                spoken = {term.term: term.weight for term in before.explanation.terms}
                assert {term.term: term.weight for term in after.explanation.terms} != spoken
    alone = replace(own, folding=dict.fromkeys(own.labels("tier")[:-1], own.labels("tier")[-1]))
    (folded,) = Triager(bundle, policy=alone).decide(tickets[:1], explain=True)
    assert folded.explanation.terms and folded.explanation.rival is None and folded.explanation.against == ()


def test_deleting_the_words_that_counted_hurts_more_than_deleting_others(bundle: Bundle, tickets: list[Ticket]) -> None:
    triager = Triager(bundle)
    drops: dict[str, list[float]] = {"strongest": [], "weakest": []}
    for ticket in tickets:
        (decision,) = triager.decide([ticket], explain=True)
        top = decision.targets["tier"].alternatives[0]
        words = ticket.text.split()
        terms = [term.term for term in decision.explanation.terms if term.weight > 0 and " " not in term.term][:3]
        chosen = {"strongest": terms, "weakest": [w.lower() for w in words if w.lower() not in terms][: len(terms)]}
        for name, gone in chosen.items():
            left = " ".join(word for word in words if word.lower().strip(".,!?:;()") not in gone)
            if gone and left:
                (after,) = triager.decide([replace(ticket, subject="", body=left)])
                told = {s.label: s.probability for s in after.targets["tier"].alternatives}
                drops[name].append(top.probability - told[top.label])
    assert np.mean(drops["strongest"]) > np.mean(drops["weakest"]) + 0.02


def test_sensitive_tickets_are_not_even_searched_below_their_clearance(bundle: Bundle, tickets: list[Ticket]) -> None:
    history = bundle.model.history
    hidden = np.flatnonzero(history.sensitive)[:50]
    assert len(hidden)
    secret = {history.ids[row] for row in hidden}
    needed = bundle.model.sensitive_clearance
    for row in hidden:
        shown = history.similar(history.vectors[row], 5, may_see_sensitive=False)
        assert len(shown) == 5
        assert not secret & {neighbour.ticket_id for neighbour in shown}
        assert history.titles[row] == "" == history.endings[row]
    low, high = (Triager(bundle).decide(tickets, explain=True, clearance=level) for level in (needed - 1, needed))
    assert not {n.ticket_id for d in low for n in d.explanation.similar} & {
        history.ids[r] for r in np.flatnonzero(history.sensitive)
    }
    assert all(len(decision.explanation.similar) == 5 for decision in high)


def test_what_the_policy_in_use_calls_sensitive_is_not_named_as_similar(bundle: Bundle, tickets: list[Ticket]) -> None:
    def named(policy: Policy, clearance: int) -> set[str]:
        decided = Triager(bundle, policy=policy).decide(tickets, explain=True, clearance=clearance)
        return {str(near.labels.get("category")) for one in decided for near in one.explanation.similar}

    shown, own = named(bundle.policy, 0), bundle.policy.categories
    hidden = min(shown)
    assert len(shown) > 1
    strict = replace(
        bundle.policy,
        categories=tuple(replace(one, sensitive=one.sensitive or one.label == hidden) for one in own),
        sensitive_clearance=3,
    )
    assert named(strict, 2) == shown - {hidden}
    assert hidden in named(strict, 3)
    unlisted = bundle.model.shown_under(
        replace(bundle.policy, categories=tuple(one for one in own if one.label != hidden))
    ).history
    [row, *_] = [row for row, label in enumerate(unlisted.written["category"]) if label == hidden]
    near = unlisted.similar(unlisted.vectors[row], 5, may_see_sensitive=False)
    assert len(near) == 5 and not any(one.labels.get("category") == hidden for one in near)


def test_what_is_not_a_ticket_of_this_desk_is_held_back(bundle: Bundle) -> None:
    foreign = Ticket(body="Принтер на третьем этаже не печатает уже второй день, помогите пожалуйста срочно")
    short, unbroken = Ticket(body="hi"), Ticket(body="打印机坏了请派人来看")
    reasons = {
        name: Triager(bundle).decide([ticket])[0].targets["tier"].reason
        for name, ticket in (("foreign", foreign), ("short", short), ("unbroken", unbroken))
    }
    foreign_twice = dict.fromkeys(("foreign", "unbroken"), "unsupported_language")
    assert reasons == {**foreign_twice, "short": "too_short"}


def test_a_text_without_blanks_has_words_where_it_is_certified_and_where_it_is_decided(bundle: Bundle) -> None:
    row = LabelledTicket(Ticket(body="打印机坏了请派人来看"), {"tier": "L1"})
    features = bundle.model.features([row.ticket], bundle.encoder.encode([row.ticket.text]))
    own = bundle.model.probabilities(features)
    scores = calibration_scores_of([row], own, features, bundle.model)
    [predicted] = bundle.model.predictions([row.ticket], features, own, [False])
    assert scores.words.tolist() == [predicted.words] == [3]


@pytest.mark.parametrize("column", ["tier", "category"])
def test_two_labels_with_ten_tickets_each_and_one_target_are_enough(
    column: str, encoder: Encoder, tmp_path: Path, shipped: list[dict[str, object]], write: Write
) -> None:
    common = {"tier": ("L1", "L3"), "category": ("access", "hardware")}[column]
    rows = [row for label in common for row in [row for row in shipped if row[column] == label][:10]]
    rows = [{"subject": row["subject"], "body": row["body"], column: row[column]} for row in rows]
    rows.append({**rows[0], "body": "something else entirely", column: "L4" if column == "tier" else "email"})
    made = train(
        TrainSettings((write(tmp_path / "few.jsonl", rows),), tmp_path / "out", policy="learn"),
        encoder=encoder,
        log=lambda _: None,
    )
    (decision,) = Triager(made.bundle).decide([Ticket(body="I cannot log in any more, my account is locked")])
    assert set(decision.targets) == {column}
    assert {score.label for score in decision.targets[column].alternatives} == set(common)
    assert decision.automation == "suggested"
    facts = made.bundle.manifest["targets"][column]
    assert list(facts["excluded"].values()) == [1]
    assert made.bundle.manifest["gate"]["refitted"][column]["threshold"] is None
