"""The shipped tickets: schema, labels, balance, no twins, no shortcuts, nothing that could belong to somebody."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.multiclass import OneVsRestClassifier
from sklearn.tree import DecisionTreeClassifier

from triage.defaults import default_policy, default_rules
from triage.ticket import Ticket

FILE = Path(__file__).parents[2] / "datasets" / "tickets.jsonl"
FRESH = Path(__file__).parent / "fresh_tickets.jsonl"
FIELDS = [
    "id", "organisation", "channel", "opened_at", "subject", "body", "language", "tier", "category", "resolver_group",
    "resolution", "sensitive",
]  # fmt: skip
CUSTOMER_DESKS = {"norrfjord", "lumio", "notewell", "pennypath", "shiplane"}
RESERVED_NETWORKS = ("192.0.2.", "198.51.100.", "203.0.113.")


@pytest.fixture(scope="module")
def rows() -> list[dict[str, Any]]:
    return [json.loads(line) for line in FILE.read_text("utf-8").splitlines()]


def written(row: dict[str, Any]) -> str:
    return f"{row['subject']} {row['body']}"


def words_to_tier() -> OneVsRestClassifier:
    return OneVsRestClassifier(LogisticRegression(solver="liblinear"))


def test_every_row_has_the_same_fields_and_a_unique_id(rows: list[dict[str, Any]]) -> None:
    assert len(rows) >= 2400
    assert all(list(row) == FIELDS for row in rows)
    assert len({row["id"] for row in rows}) == len(rows)
    for row in rows:
        Ticket(row["id"], row["subject"], row["body"], row["channel"])
        assert isinstance(row["sensitive"], bool) and row["resolution"].strip() and row["body"].strip()


def test_labels_are_those_of_the_policy_and_make_legal_routes(rows: list[dict[str, Any]]) -> None:
    policy = default_policy()
    groups = {group.name: group for group in policy.groups}
    for row in rows:
        assert row["tier"] in policy.labels("tier") and row["category"] in policy.labels("category")
        assert (row["tier"], row["category"]) not in policy.illegal
        restricted = (
            row["category"] in policy.sensitive_categories
        )  # the label says who can solve it, the route who may
        reached = policy.cleared_tier(row["tier"]) if not policy.may_see(row["tier"], restricted) else row["tier"]
        assert policy.is_legal(reached, row["category"])
        assert groups[row["resolver_group"]].tier == row["tier"]


def test_the_mix_is_that_of_a_desk(rows: list[dict[str, Any]]) -> None:
    share = {tier: count / len(rows) for tier, count in Counter(row["tier"] for row in rows).items()}
    for tier, wanted in {"L0": 0.18, "L1": 0.30, "L2": 0.25, "L3": 0.17, "L4": 0.10}.items():
        assert share[tier] == pytest.approx(wanted, abs=0.04), tier
    categories = Counter(row["category"] for row in rows)
    assert len(categories) == 11 and min(categories.values()) >= 0.05 * len(rows)
    organisations = {row["organisation"] for row in rows}
    assert len(organisations) >= 14 and organisations >= CUSTOMER_DESKS and len(organisations - CUSTOMER_DESKS) >= 8
    assert {row["channel"] for row in rows} >= {"email", "portal", "chat", "phone", "social", "sms"}
    assert {row["language"] for row in rows} >= {"en", "de", "fr", "es"}


def test_time_runs_over_fifteen_months(rows: list[dict[str, Any]]) -> None:
    months = {datetime.fromisoformat(row["opened_at"]).strftime("%Y-%m") for row in rows}
    assert len(months) >= 15


def test_under_half_a_percent_of_tickets_has_a_twin(rows: list[dict[str, Any]]) -> None:
    def grams(row: dict[str, Any]) -> set[tuple[str, ...]]:
        words = re.findall(r"\w+", written(row).lower())
        return set(zip(words, words[1:], words[2:], strict=False))

    vectors = CountVectorizer(analyzer=lambda row: grams(row), binary=True, dtype=np.float32).fit_transform(rows)
    sizes = np.asarray(vectors.sum(axis=1)).ravel()
    shared = (vectors @ vectors.T).tocoo()
    jaccard = shared.data / np.maximum(1, sizes[shared.row] + sizes[shared.col] - shared.data)
    twins = {
        int(row) for row, col, value in zip(shared.row, shared.col, jaccard, strict=True) if row != col and value > 0.8
    }
    assert len(twins) < 0.005 * len(rows)


def test_length_alone_does_not_give_the_tier_away(rows: list[dict[str, Any]]) -> None:
    tiers = [row["tier"] for row in rows]
    lengths = np.array([[len(written(row)), len(written(row).split()), len(row["subject"])] for row in rows])
    for model in (DecisionTreeClassifier(max_depth=4, min_samples_leaf=30, random_state=0), words_to_tier()):
        features = np.log1p(lengths)
        assert cross_val_score(model, features, tiers, cv=5).mean() < 0.38


@pytest.mark.slow
def test_the_first_three_words_do_not_give_the_tier_away(rows: list[dict[str, Any]]) -> None:
    tiers = [row["tier"] for row in rows]
    for openings in (
        [" ".join(written(row).split()[:3]) for row in rows],
        [" ".join(row["body"].split()[:3]) for row in rows],
    ):
        features = CountVectorizer(ngram_range=(1, 3)).fit_transform(openings)
        assert cross_val_score(words_to_tier(), features, tiers, cv=5).mean() < 0.45


def test_addresses_and_numbers_are_from_reserved_ranges(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        text = f"{written(row)} {row['resolution']}"
        for address in re.findall(r"\b\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}\b", text):
            assert address.startswith(RESERVED_NETWORKS), (row["id"], address)
        for domain in re.findall(r"[\w.+-]+@([\w-]+(?:\.[\w-]+)+)", text) + re.findall(
            r"https?://([^/\s:\"<>]+)", text
        ):
            assert re.search(r"(^|\.)example(\.(com|org|net))?\.?$", domain), (row["id"], domain)
        for number in re.findall(r"\+\d[\d ()-]{7,}\d", text):
            digits = re.sub(r"\D", "", number)
            assert re.search(r"55501\d\d$|^1\d{3}55501\d\d$|^4420794609\d\d|^44207946\d{4}", digits), (
                row["id"],
                number,
            )


def test_rules_alone_beat_the_majority_clearly(rows: list[dict[str, Any]]) -> None:
    rules = default_rules()
    for target, floor in (("tier", 0.45), ("category", 0.55)):
        right = 0
        for row in rows:
            ticket = Ticket(row["id"], row["subject"], row["body"], row["channel"])
            rule = rules.bypass(ticket, target) or rules.fallback(ticket, target) or rules.catch_all
            right += rule.names(target) == row[target]
        majority = max(Counter(row[target] for row in rows).values()) / len(rows)
        assert right / len(rows) >= max(floor, majority + 0.1), target


def test_bypass_rules_are_right_nearly_every_time(rows: list[dict[str, Any]]) -> None:
    rules = default_rules()
    hits = []
    for row in rows:
        rule = rules.bypass(Ticket(row["id"], row["subject"], row["body"]), "tier")
        if rule is not None:
            hits.append(rule.tier == row["tier"])
    assert len(hits) >= 5 and sum(hits) / len(hits) >= 0.85


def test_every_pattern_of_the_default_fallback_rules_is_found_in_five_tickets_of_two_organisations() -> None:
    script = Path(__file__).parents[2] / "scripts" / "rule_support.py"
    found = subprocess.run([sys.executable, "-P", str(script)], capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout


def test_organisations_are_dated_in_order(rows: list[dict[str, Any]]) -> None:
    for earlier, later in pairwise(rows):
        if earlier["organisation"] == later["organisation"]:
            assert earlier["opened_at"] <= later["opened_at"] and earlier["id"] < later["id"]


def test_the_fresh_tickets_carry_labels_of_the_default_policy_and_repeat_no_shipped_one(
    rows: list[dict[str, Any]],
) -> None:
    fresh = [json.loads(line) for line in FRESH.read_text("utf-8").splitlines()]
    policy = default_policy()
    assert len(fresh) >= 150 and len({row["id"] for row in fresh}) == len(fresh)
    assert {row["tier"] for row in fresh} == set(policy.labels("tier"))
    assert {row["category"] for row in fresh} == set(policy.labels("category"))
    assert not {row["text"] for row in fresh} & {row["body"] for row in rows}
