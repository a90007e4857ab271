"""A policy is data: it reads back as it was written, folds tiers, and says where it contradicts itself."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.toml_files import dump_policy
from tests.unit.spoilt import spoilt
from training.cli.options import DataOptions
from training.evaluation.traffic_shares import Shares, shares_left_out, with_shares
from triage.defaults import default_policy
from triage.errors import InvalidPolicy, InvalidRequest, UnknownLabel
from triage.policy import Category, Policy, ResolverGroup, Tier, parse_policy, read_policy
from triage.prediction import Score

THREE_TIERS = Policy("three", tiers=tuple(map(Tier, ("L0", "L1", "L2", "L3", "L4"))), folding={"L0": "L1", "L4": "L3"})

words = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=1, max_size=12).filter(
    str.strip
)


@given(st.lists(words, min_size=1, max_size=5, unique=True), st.lists(words, max_size=4, unique=True), words)
def test_a_policy_reads_back_as_it_was_written(tiers: list[str], categories: list[str], version: str) -> None:
    policy = Policy(
        version,
        tiers=tuple(Tier(label, questions=(version,)) for label in tiers),
        categories=tuple(Category(label, sensitive=True) for label in categories),
        groups=(ResolverGroup("g", tiers[0], tuple(categories)),),
        settling={frozenset(tiers[:2]): ("why?",)} if len(tiers) > 1 else {},
        illegal=frozenset((tiers[0], category) for category in categories[:1]),
    )
    assert parse_policy(dump_policy(policy)) == policy


def test_the_default_policy_reads_back_and_names_a_group_for_every_route() -> None:
    policy = default_policy()
    assert parse_policy(dump_policy(policy)) == policy
    assert policy.labels("tier") == ("L0", "L1", "L2", "L3", "L4")
    assert all(policy.resolver_group(t, c) for t in policy.labels("tier") for c in policy.labels("category"))


@pytest.mark.parametrize(
    ("text", "evidence"),
    [
        ("", "neither tiers nor categories"),
        ("[[tiers]]\nname = 'x'", "lacks label"),
        ("[[tiers]]\nlabel = 'L1'\n[[tiers]]\nlabel = 'L1'", "listed twice"),
        ("[[tiers]]\nlabel = 'L1'\n[folding]\nL0 = 'L1'", "'L0', which is not listed"),
        (
            "[[tiers]]\nlabel = 'A'\n[[tiers]]\nlabel = 'B'\n[[tiers]]\nlabel = 'C'\n[folding]\nA = 'B'\nB = 'C'",
            "folded itself",
        ),
        ("[[tiers]]\nlabel = 'L1'\ncolour = 'red'", "unknown keys colour"),
        ("[[tiers]]\nlabel = 'L1'\n[[groups]]\nname = 'g'\ntier = 'L7'", "group 'g' names tier 'L7'"),
        ("[[tiers]]\nlabel = 'L1'\nexpected_share = 1.5", "expected_share"),
        ("[policy]\ncost_under = -1\n[[tiers]]\nlabel = 'L1'", "negative"),
        ("[policy]\nordinal = 'yes'\n[[tiers]]\nlabel = 'L1'", "is not true or false"),
        ("[[tiers]]\nlabel = 'L1'\n[folding.category]\nL0 = 'L1'", "[folding] category = {'L0': 'L1'} is not text"),
        ("[[tiers]]\nlabel = 'L1'\ntime_budget_min = nan", "is not a number"),
        ("tiers = ['L1']", "[[tiers]] number 1 = 'L1' is not a table"),
        ("[[tiers]]\nlabel = 'L1'\n[[settling]]\nask = ['?']", "lacks between"),
        ("[[tiers]]\nlabel = 'L1'\n[typo]\nx = 1", "unknown tables typo"),
        ("[gate]\nmax_ticket_risk_multiple = 0.5\n[[tiers]]\nlabel = 'L1'", "below 1"),
        ("[gate]\nmin_margin = 2\n[[tiers]]\nlabel = 'L1'", "min_margin"),
        ("[gate]\nmin_margin = 'wide'\n[[tiers]]\nlabel = 'L1'", "not a number"),
        ("[gate]\nfloor = 0.5\n[[tiers]]\nlabel = 'L1'", "unknown keys floor"),
        ("not toml", "not TOML"),
    ],
)
def test_a_wrong_policy_says_what_is_wrong(text: str, evidence: str) -> None:
    with pytest.raises(InvalidPolicy) as caught:
        parse_policy(text, where="mine.toml")
    assert evidence in str(caught.value) and "mine.toml" in str(caught.value)


EVERY_KEY = """
[policy]
version = "1"
ordinal = true
cost_under = 1.5
sensitive_clearance = 2
suggest_only = ["category"]
ask_when_vague = ["What?"]
[gate]
min_margin = 0.1
[effort]
check_min = 1.0
[folding]
L0 = "L1"
[aliases.tier]
first = "L1"
[not_a_ticket]
thanks = "close"
[translations.de]
"What?" = "Was?"
[escalation]
attempts = 2
owner = "lead"
timezone = "UTC"
holidays = ["2026-12-25"]
no_procedure = ["no procedure"]
priority = { critical = 0.25 }
skills = [{ name = "logs", tier = "L2", any = ["logs"], categories = ["vpn"] }]
scopes = [{ name = "several", tier = "L2", any = ["all of us"] }]
[[tiers]]
label = "L0"
[[tiers]]
label = "L1"
name = "First"
time_budget_min = 30
hours = "always"
clearance = 2
automate = true
expected_share = 0.5
questions = ["Which?"]
staff = 3
min_recall = 0.5
[[tiers]]
label = "L2"
[[categories]]
label = "vpn"
parent = "net"
sensitive = false
[[categories]]
label = "net"
[[groups]]
name = "desk"
tier = "L2"
categories = ["vpn"]
[[targets.priority]]
label = "high"
[[illegal]]
tier = "L1"
category = "vpn"
[[illegal]]
priority = "high"
category = "vpn"
[[legal]]
resolver_group = "desk"
tier = ["L2"]
[[never_automatic]]
tier = "L2"
category = "vpn"
[[settling]]
between = ["L1", "L2"]
ask = ["Which?"]
[[attention]]
kind = "safety"
group = "desk"
tier = "L1"
any = ["smoke"]
[[question]]
id = "device"
ask = "Which device?"
settles = { L1 = 0.5 }
told = { bias = 0.1 }
options = [{ answer = "mine", any = ["mine"], tier = { L1 = 0.2, L2 = 0.6 } }, { answer = "all" }]
[[choice]]
target = "tier"
ask = "Which?"
right = 0.9
statements = [{ label = "L1", says = "one" }]
"""


def test_a_value_of_any_kind_in_any_place_is_taken_or_refused_by_name() -> None:
    """And what is taken can be written down and read again."""
    whole = parse_policy(EVERY_KEY)
    assert parse_policy(dump_policy(whole)) == whole
    refused = 0
    for text in spoilt(EVERY_KEY):
        try:
            policy = parse_policy(text)
        except InvalidPolicy:
            refused += 1
        else:
            written = dump_policy(policy)
            assert dump_policy(parse_policy(written)) == written, text
    assert refused > 300


@given(st.lists(st.floats(0.01, 1), min_size=5, max_size=5))
def test_folding_adds_up_and_never_names_a_folded_tier(weights: list[float]) -> None:
    scores = [Score(f"L{i}", weight / sum(weights)) for i, weight in enumerate(weights)]
    ranked = THREE_TIERS.rank("tier", scores)
    assert {score.label for score in ranked} == {"L1", "L2", "L3"}
    assert sum(score.probability for score in ranked) == pytest.approx(1.0)
    assert ranked == tuple(sorted(ranked, key=lambda score: -score.probability))


def test_costs_move_the_choice_where_the_policy_says_so() -> None:
    tiers = tuple(map(Tier, ("L1", "L2", "L3")))
    scores = [Score("L1", 0.45), Score("L2", 0.2), Score("L3", 0.35)]
    assert Policy("p", tiers=tiers).rank("tier", scores)[0].label == "L1"
    dear = Policy("p", tiers=tiers, cost_under=3.0, cost_over=1.0, decide_by_cost=True)
    assert dear.rank("tier", scores)[0].label == "L3"
    assert dear.cost("L1", "L3") == 2.0 and dear.cost("L3", "L1") == 6.0 and dear.cost("L2", "L2") == 0.0


def test_aliases_are_resolved_and_every_unknown_label_is_named() -> None:
    policy = default_policy()
    assert policy.resolve("tier", ["Level 1", "L2"]) == ["L1", "L2"]
    with pytest.raises(UnknownLabel) as caught:
        policy.resolve("category", ["netwrok", "acces", "email"])
    assert caught.value.labels == ("acces", "netwrok")


def test_the_question_that_settles_the_tier_comes_first() -> None:
    policy = default_policy()
    settling = policy.settling[frozenset({"L1", "L2"})][0]
    assert policy.questions("L1", "network", rival="L2")[0] == settling
    assert settling not in policy.questions("L1", "network")


def test_shares_that_some_labels_lack_are_told_since_none_of_them_counts() -> None:
    tiers = (Tier("L0", expected_share=0.6), Tier("L1"), Tier("L2", expected_share=0.1))
    policy = Policy("1", tiers=tiers)
    assert policy.without_share("tier") == ["L1"] and policy.expected_shares("tier") == {}
    [said] = shares_left_out(policy)
    assert "expected_share of tier" in said and "lacking for L1" in said
    assert shares_left_out(Policy("1", tiers=(Tier("L0"), Tier("L1")))) == []


def test_shares_that_are_learned_count_where_tiers_are_folded() -> None:
    folded = Policy("1", tiers=(Tier("L0"), Tier("L1"), Tier("L2")), folding={"L0": "L1"})
    traffic = {"L0": 0.2, "L1": 0.5, "L2": 0.3}
    stated = with_shares(folded, {"tier": Shares(traffic, traffic)})
    assert stated.expected_shares("tier") == traffic and shares_left_out(stated) == []


@pytest.mark.parametrize(
    "targets",
    [["novelty"], ["tier_top"], ["priority", "priority_reason"], ["topics"], ["vectors"], ["sensitive"]],
    ids=lambda targets: targets[-1],
)
def test_a_target_whose_name_a_scored_file_or_bundle_has_already_is_refused(targets: list[str], tmp_path: Path) -> None:
    """One in the policy of a bundle made before is read all the same; a reason of nothing else is a fine name."""
    file = tmp_path / "policy.toml"
    file.write_text("\n".join(f"[[targets.{target}]]\nlabel = 'x'" for target in targets))
    with pytest.raises(InvalidPolicy, match=f"'{targets[-1]}' cannot be a target: a (scored file|bundle) "):
        read_policy(file)
    assert set(read_policy(file, of_bundle=True).targets) == set(targets)
    with pytest.raises(InvalidRequest, match="cannot be a target"):
        THREE_TIERS.with_labels({target: ["x"] for target in targets})
    options = DataOptions(data=[file], target=[f"{target}=Column" for target in targets])
    with pytest.raises(InvalidRequest, match="cannot be a target"):
        _ = options.roles
    assert THREE_TIERS.with_labels({"closing_reason": ["x"]}).further
