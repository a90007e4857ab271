"""What the pages are made of: vendored scripts as they were published, words found in a text, and no inline script."""

from __future__ import annotations

import hashlib
import re
import tracemalloc
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.pages import render, static, templates
from api.pages.highlight import pieces
from api.store.work.jobs import JobRow

ROOT = Path(__file__).parents[2]
PAGES = ROOT / "api" / "pages"


def test_vendored_scripts_are_those_that_were_published() -> None:
    rows = re.findall(r"^([0-9a-f]{64})  (\S+)$", (PAGES / "static" / "vendored.txt").read_text("utf-8"), re.M)
    listed = {name: digest for digest, name in rows}
    assert set(listed) == {path.name for path in (PAGES / "static").glob("*.min.js")}
    for name, digest in listed.items():
        found = static(name)
        assert found is not None and hashlib.sha256(found[0]).hexdigest() == digest


def test_nothing_is_remembered_of_names_that_no_file_has() -> None:
    assert static("nothing.css") is None
    tracemalloc.start()
    try:
        assert {static(f"{number} {'x' * 2000}") for number in range(500)} == {None}
        assert tracemalloc.get_traced_memory()[0] < 100_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("agree", "reviews", "said"),
    [(0, 1, "0 of 1 review of similar tickets says L2"), (1, 1, "1 of 1 review of similar tickets says L2"),
     (1, 3, "1 of 3 reviews of similar tickets says L2"), (2, 3, "2 of 3 reviews of similar tickets say L2")],
)  # fmt: skip
def test_what_reviews_say_is_said_in_the_number_that_fits(agree: int, reviews: int, said: str) -> None:
    votes = [{"target": "resolver_group", "label": "L2", "agree": agree, "reviews": reviews}]
    macros = templates().get_template("decision.html").module
    shown = macros.explained({"explanation": {"terms": (), "against": (), "reviews": votes, "similar": ()}})  # type: ignore[attr-defined]
    assert f"Resolver group: {said}." in shown


@pytest.mark.parametrize(
    ("holds", "obstacles", "said"),
    [
        ([True], (), "holds up against version 1"),
        ([False], ("tier: only 3 tickets are new to both",), "does not hold up"),
        ([True], ("tier: only 3 tickets are new to both",), "not compared enough"),
        ([], ("tier: only 3 tickets are new to both",), "not compared enough"),
    ],
)
def test_what_was_not_compared_enough_is_not_called_worse(
    holds: list[bool], obstacles: tuple[str, ...], said: str
) -> None:
    check = {"what": "tier", "champion": 0.5, "challenger": 0.5, "low": None}
    checks = [{**check, "passed": passed} for passed in holds]
    comparison = {"passed": not obstacles and all(holds), "checks": checks, "obstacles": obstacles, "common": 3}
    result = {"version": "2", "before": "1", "comparison": comparison}
    now = datetime.now(UTC)
    job = JobRow("7", "retrain", "Training", "done", "", result, None, "kim", now, now)
    page = render("jobs.html", csrf="", jobs=[job], running=True, trains=True)
    assert [one for one in ("holds up", "does not hold up", "not compared enough") if one in page] == [
        next(one for one in ("holds up", "does not hold up", "not compared enough") if one in said)
    ]
    assert ("1 check<" in page) == bool(holds) and "once it has ended" in page and page.count("disabled") == 2


def test_no_template_has_a_script_or_a_style_of_its_own() -> None:
    for path in (PAGES / "templates").glob("*.html"):
        text = path.read_text("utf-8")
        assert not re.search(r"<script(?![^>]*\ssrc=)|<style|\sstyle=|\son[a-z]+=|hx-on|javascript:", text), path.name
        assert not re.search(r"(src|href)=\"(https?:)?//", text), path.name


@given(st.text(max_size=80), st.dictionaries(st.text(max_size=6), st.floats(-2, 2), max_size=5), st.text(max_size=5))
def test_pieces_are_the_text(text: str, terms: dict[str, float], alarm: str) -> None:
    assert "".join(piece.text for piece in pieces(text, terms, [alarm])) == text


def test_words_pairs_and_alarms_are_found_whatever_their_case_and_accents() -> None:
    found = pieces("Über VPN drops, on fire!", {"uber": 0.5, "vpn drops": -1.0}, ["on fire"])
    assert [(one.text, one.kind) for one in found if one.kind] == [
        ("Über", "for"),
        ("VPN drops", "against"),
        ("on fire", "alarm"),
    ]


def test_a_ticket_that_may_belong_to_no_label_says_why_it_risks_more_than_its_confidence() -> None:
    block = templates().get_template("decision.html").module.target_block  # type: ignore[attr-defined]

    def said(risk: float) -> str:
        verdict: dict[str, object] = {
            "label": "L2", "automation": "suggested", "source": "model", "reason": "out_of_distribution", "rule": None,
            "confidence": 0.57, "ticket_risk": risk, "certified_risk": 0.05, "audit": False, "likely": [],
            "alternatives": [],
        }  # fmt: skip
        return str(block("Tier", verdict, {}))

    assert "right about 57 times in 100" in said(0.51)
    assert "51 %, since it may also belong to none of the labels, which the figure above leaves out." in said(0.51)
    assert "43 %. On average" in said(0.43)
