"""The figures of the overview: counts that add up, and an interval that holds at all times at once."""

from __future__ import annotations

import random
import re
from datetime import date, timedelta

import pytest

from api.console.intervals import confidence_sequence
from api.console.overview import days, funnel, minutes, realised_error, reasons, reasons_by_day, rules
from api.pages import render
from api.store.work.figures import Cell, Day
from triage.errors import InvalidPolicy
from triage.policy import Effort, parse_policy
from triage.wording import phrase_of

CELLS = [
    Cell("L1", "access", "automatic", "confident", None, "accepted", by_model=True, count=6),
    Cell("L1", "network", "suggested", "low_confidence", "vpn", "corrected", by_model=True, count=3),
    Cell("L2", "network", "suggested", "rule", "vpn", "accepted", by_model=False, count=1),
    Cell(None, None, "blank", "model_unavailable", None, None, by_model=False, count=2),
]


def test_the_funnel_counts_every_decision_once() -> None:
    table = funnel("funnel-tier", "by tier", CELLS, lambda cell: cell.tier)
    assert table.rows == (("L1", 9, 9, 6, 6, 3, 0), ("L2", 1, 0, 0, 1, 0, 0), ("–", 2, 0, 0, 0, 0, 0))
    assert table.columns[1:3] == ("received", "with_model") and "which people may have chosen" in table.meaning
    assert sum(int(row[1] or 0) for row in reasons(CELLS).rows) == 6
    assert rules(CELLS).rows == (("vpn", 4, round(4 / 12, 4), 4, 0.25),)


def test_what_is_saved_follows_from_the_figures_of_the_policy() -> None:
    cells = [*CELLS, Cell("L1", "access", "automatic", "confident", None, None, by_model=True, count=10)]
    rows = {row[0]: row[1:] for row in minutes(cells, Effort(4.0, 1.0, 15.0), wrong=0.1).rows}
    assert rows["decided alone, nobody looked"] == (10, 2.5, 25)
    assert rows["decided alone, found right"] == (6, 3.0, 18) and rows["suggestion corrected"] == (3, -1.0, -3)
    assert rows["together"] == (20, round(43 / 20, 2), 43)
    assert minutes([], Effort(), wrong=0.1).rows == ()
    tiers = '[[tiers]]\nlabel = "A"\n'
    assert parse_policy(f"{tiers}[effort]\ncheck_min = 2").effort == Effort(check_min=2.0)
    for wrong in ("[effort]\ncheck_min = -1", "[effort]\nhours = 1", "[effort]\ncheck_min = 'x'"):
        with pytest.raises(InvalidPolicy, match="effort"):
            parse_policy(tiers + wrong)


def test_a_ticket_that_was_drawn_for_a_check_is_no_reason_to_be_sure() -> None:
    drawn = Cell("L1", "access", "suggested", "confident", None, None, by_model=True, count=2, audit=True)
    unearned = Cell("L1", "access", "suggested", "not_earned", None, None, by_model=True, count=1, audit=True)
    counted = {row[0]: row[1] for row in reasons([*CELLS, drawn, unearned]).rows}
    assert counted["drawn at random for a person to check"] == 2 and phrase_of("confident") not in counted
    assert counted[phrase_of("not_earned")] == 1
    table = reasons_by_day([Day("d1", "suggested", "confident", None, 3, audit=True)])
    assert table.columns[1] == "drawn at random for a person to check" and table.rows == (("d1", 3, 0),)


def test_days_are_drawn_by_the_highest_of_those_that_are_shown() -> None:
    first = date(2026, 1, 1)
    counts = [900, *[20] * 60]
    came = [f"{first + timedelta(number):%F}" for number in range(len(counts))]
    found = [Day(day, "automatic", "confident", None, count) for day, count in zip(came, counts, strict=True)]
    table = days(found)
    page = render("overview.html", here="overview", autonomy={}, tables={table.name: table})
    [chart] = re.findall(r'<svg class="chart"[^>]*Decisions by day.*?</svg>', page, re.DOTALL)
    assert '<text x="0" y="20">20</text>' in chart and "2026-01-02</text>" in chart
    assert chart.count('class="track"') == 60 == len(re.findall(r'class="track"[^>]*height="95.0"', chart))


def test_reasons_are_counted_by_day() -> None:
    counted = [Day("d1", "suggested", "ambiguous", None, 2), Day("d1", "automatic", "confident", None, 9)]
    counted += [Day("d2", "blank", f"other-{number}", None, 1) for number in range(7)]
    table = reasons_by_day(counted)
    assert table.rows[0][:2] == ("d1", 2) and sum(int(value or 0) for value in table.rows[1][1:]) == 7
    assert len(table.columns) == 7 == len(table.rows[0])


def test_the_interval_misses_the_rate_hardly_ever_however_often_one_looks() -> None:
    draw, missed = random.Random(7), 0
    for _ in range(300):
        errors = 0
        for reviews in range(1, 301):
            errors += draw.random() < 0.05
            low, high = confidence_sequence(errors, reviews)
            if not low <= 0.05 <= high:
                missed += 1
                break
    assert missed <= 0.05 * 300


def test_the_interval_shrinks_and_holds_what_was_seen() -> None:
    rows = realised_error("tier", [place % 20 == 0 for place in range(1000)]).rows
    widths = [float(row[4] or 0) - float(row[3] or 0) for row in rows]
    assert widths[-1] < 0.06 and widths[-1] < widths[0] and len(rows) <= 130
    assert all(float(row[3] or 0) <= float(row[2] or 0) <= float(row[4] or 0) for row in rows)
