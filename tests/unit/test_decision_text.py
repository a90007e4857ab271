"""A decision as a row of a scored file and as text: no target takes another's column, no word the wrong side."""

from __future__ import annotations

from dataclasses import replace

from models.triager import Triager
from training.reports.decision_text import COLUMNS, as_row, as_text, columns_of
from triage.decision import Decision
from triage.prediction import Explanation, Score, Term
from triage.ticket import Ticket


def decided() -> Decision:
    return Triager().decide([Ticket("T-1", body="please reset my password")])[0]


def test_the_columns_of_a_file_win_over_a_target_of_an_earlier_bundle_that_is_named_like_one() -> None:
    decision = decided()
    odd = replace(decision.targets["tier"], label="odd", alternatives=())
    names = ["tier", "category", "automation", "ticket_id", "tier_top", "priority", "priority_reason"]
    decision = replace(decision, targets={**decision.targets, **dict.fromkeys(names[2:], odd)})
    plain, row = as_row(decided()), as_row(decision, names)
    assert {name: row[name] for name in COLUMNS} == plain
    assert row["target_automation"] == row["target_ticket_id"] == row["target_tier_top"] == row["priority"] == "odd"
    assert row["priority_reason"] == str(odd.reason) and row["target_priority_reason"] == "odd"
    assert set(row) == set(columns_of(names)) and len(columns_of(names)) == len(COLUMNS) + 5 * 5


def test_only_what_speaks_for_a_label_stands_under_it() -> None:
    decision = decided()
    ranked = (Score("L1", 0.8), Score("L2", 0.2))
    terms = (Term("reset", 1.5), Term("please", -0.75), Term("password", 0.5))
    decision = replace(
        decision,
        targets={"tier": replace(decision.targets["tier"], alternatives=ranked)},
        explanation=Explanation("tier", "L1", "L2", terms, (Term("vpn", 0.25),)),
    )
    said = [line.split(": ") for line in as_text(decision).splitlines() if "(" in line and ": " in line]
    assert [(title, words.strip()) for title, words in said] == [
        ("for L1", "reset (+1.50), password (+0.50)"),
        ("against L1", "please (-0.75)"),
        ("for L2", "vpn (+0.25)"),
    ]
    assert "for L1" not in as_text(replace(decision, explanation=Explanation(terms=terms[1:2])))
