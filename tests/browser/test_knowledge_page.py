"""The page of knowledge in Chromium: proposals with evidence are accepted or dismissed, and broken files are named."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe

from api.routes.knowledge.page import SHOWN
from models.knowledge import KnowledgeFolder
from triage.knowledge import SCRIPT, Effect, Proposal, Report

WIDTHS = (360, 1280, 1920)
SCANNER = Proposal(
    id="k-0123456789",
    title="scanner, <b>cradle</b>",
    kind=SCRIPT,
    tier="L1",
    from_tier="L2",
    category="hardware",
    tickets=("K-1", "K-2", "OLD-3"),
    words={"scanner": 0.6, "cradle": 0.4},
    bar=0.5,
    precision=1.0,
    recall=0.9,
    resolutions=("Reset the cradle.",),
    per_month=2.5,
    saved_min=58.0,
    cover=("the steps",),
)
pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def desk(
    tmp_path_factory: pytest.TempPathFactory, run_service: Callable[..., AbstractContextManager[Any]]
) -> Iterator[Any]:
    """A service by rules alone, and the folder of its knowledge."""
    home = tmp_path_factory.mktemp("knowledge")
    with run_service(home, "--open-loopback", TRIAGE_RULES_ONLY="1") as service:
        service.folder = KnowledgeFolder(home / "knowledge")
        yield service


@pytest.fixture(scope="module")
def page(chromium: Any, desk: Any) -> Any:
    page: Any = chromium.new_context(base_url=desk.url).new_page()
    page.set_default_timeout(20_000)
    page.noted = []
    page.on("pageerror", lambda error: page.noted.append(str(error)))
    page.on("console", lambda said: said.type == "error" and page.noted.append(said.text))
    return page


def looks_right(page: Any) -> None:
    page.set_viewport_size({"width": 1280, "height": 900})
    found = [one["id"] for one in Axe().run(page).response["violations"] if one["impact"] in ("serious", "critical")]
    assert found == []
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.set_viewport_size({"width": 1280, "height": 900})


def test_an_empty_page_says_how_proposals_are_found(page: Any) -> None:
    page.goto("/")
    page.click("nav >> text=Knowledge")
    page.wait_for_url("**/knowledge")
    said = page.inner_text("main")
    assert "triage knowledge propose" in said and "None yet" in said


def test_a_proposal_shows_its_evidence_and_becomes_an_entry(page: Any, desk: Any) -> None:
    desk.folder.propose([SCANNER, replace(SCANNER, id="k-00ff", title="other", per_month=0.1)])
    for ticket in SCANNER.tickets[:2]:
        assert desk.predict(id=ticket, text="the scanner is dead again").status_code == 200
    page.goto("/knowledge")
    first = page.locator("#k-0123456789")
    assert "scanner, <b>cradle</b>" in first.inner_text()
    first.locator("summary", has_text="Evidence").click()
    evidence = first.inner_text()
    assert "Reset the cradle." in evidence and "90 %" in evidence and "OLD-3" in evidence
    assert first.locator("details a").all_inner_texts() == ["K-1", "K-2"]  # nothing was decided about the third one
    looks_right(page)
    first.locator("a", has_text="K-1").click()
    page.wait_for_url("**/decisions/*")
    assert "the scanner is dead again" in page.inner_text("main")
    page.goto("/knowledge")
    page.click("#k-0123456789 summary:has-text('Write and accept')")
    page.fill("#title-k-0123456789", "Scanner that does not read")
    page.fill("#text-k-0123456789", "# Scanner\n\nHold the cradle for ten seconds.")
    page.click("#k-0123456789 button.primary")
    assert "Accepted" in page.inner_text("[role=status]")
    entry = desk.folder.entry("k-0123456789")
    assert (entry.version, entry.accepted_by, entry.title) == (1, "agent", "Scanner that does not read")
    assert entry.body.strip().endswith("ten seconds.") and "\r" not in entry.body
    fitting = desk.client.get("/v1/tickets/K-1/knowledge").json()["entries"]
    assert [one["entry"]["title"] for one in fitting] == ["Scanner that does not read"]


def test_an_entry_says_what_it_did_and_gets_versions(page: Any, desk: Any) -> None:
    page.goto("/knowledge")
    assert "not counted yet" in page.inner_text("main")
    effect = Effect("k-0123456789", "x", 20, 0.25, 10, 0.75, stayed_low=5.0, low=2.0, high=8.0, saved_min=290.0)
    desk.folder.put_report(Report("2026-11-01T00:00:00+00:00", (effect,)))
    page.goto("/knowledge")
    said = page.inner_text("section[aria-labelledby=accepted]")
    assert "About 5 tickets stayed low" in said and "5.0 tickets stayed low (2.0 to 8.0" in said and "290 min" in said
    page.click("text=Write the next version")
    page.click("text=Accept version 2")
    assert "Version 2" in page.inner_text("section[aria-labelledby=accepted]")
    looks_right(page)


def test_a_dismissed_proposal_can_be_brought_back(page: Any, desk: Any) -> None:
    page.goto("/knowledge")
    page.click("[aria-label='Dismiss other']")
    assert "Nothing waits" in page.inner_text("main") and desk.folder.dismissed()["k-00ff"].by == "agent"
    page.click("[aria-label='Bring back other']")
    assert page.locator("#k-00ff").count() == 1 and desk.folder.dismissed() == {}


def test_without_javascript_the_page_does_the_same(chromium: Any, desk: Any) -> None:
    context = chromium.new_context(base_url=desk.url, java_script_enabled=False)
    page = context.new_page()
    page.goto("/knowledge")
    page.click("[aria-label='Dismiss other']")
    assert "Dismissed" in page.inner_text("[role=status]")
    page.click("[aria-label='Bring back other']")
    page.click("#k-00ff summary:has-text('Write and accept')")
    page.click("#k-00ff button.primary")
    assert "Reset the cradle." in desk.folder.entry("k-00ff").body
    context.close()


def test_a_proposal_that_is_gone_or_accepted_is_said(page: Any, desk: Any) -> None:
    csrf = page.locator("input[name=csrf_token]").first.get_attribute("value") or ""
    ask = {"form": {"csrf_token": csrf}, "max_redirects": 0}
    assert page.request.post("/knowledge/k-0123456789/dismiss", **ask).status == 409
    gone = page.request.post("/knowledge/k-abcdef/accept", **ask)
    assert gone.status == 404 and "no longer there" in gone.text()


def test_what_was_typed_for_a_proposal_that_is_gone_is_given_back(page: Any, desk: Any) -> None:
    late = replace(SCANNER, id="k-0aaa", tickets=("L-1",), title="late")
    desk.folder.propose([late])
    page.goto("/knowledge")
    page.click("#k-0aaa summary:has-text('Write and accept')")
    page.fill("#text-k-0aaa", "An hour of work.")
    desk.folder.propose([replace(late, id="k-0bbb")])
    page.click("#k-0aaa button.primary")
    assert "no longer there" in page.inner_text("[role=alert]")
    assert page.input_value("#written-text") == "An hour of work."
    looks_right(page)
    assert page.input_value("#written-instead") == ""  # nobody has chosen yet what it is for
    page.select_option("#written-instead", "k-0bbb")
    page.click("section[aria-labelledby=written] button")
    assert "Accepted" in page.inner_text("[role=status]") and desk.folder.entry("k-0bbb").body == "An hour of work."
    page.noted.clear()  # the browser notes the 404


def test_an_entry_is_withdrawn_and_brought_back(page: Any, desk: Any) -> None:
    page.goto("/knowledge")
    page.click("[aria-label='Withdraw late']")
    assert "Withdrawn" in page.inner_text("[role=status]") and desk.folder.entry("k-0bbb") is None
    looks_right(page)
    page.click("[aria-label='Bring back late']")
    assert desk.folder.entry("k-0bbb").accepted_by == "agent"
    desk.folder.withdraw("k-0bbb", "Ada", "2026-11-01T00:00:00+00:00", erase=True)


def test_many_proposals_are_turned_over(page: Any, desk: Any) -> None:
    many = [
        replace(SCANNER, id=f"k-{number:04x}", tickets=(f"N-{number}",), per_month=float(number))
        for number in range(1, SHOWN + 6)
    ]
    long = replace(many[-1], tickets=tuple(f"TICKET-{number:05}" for number in range(400)), title="w" * 300)
    desk.folder.propose([*many[:-1], long])
    page.goto("/knowledge")
    assert page.locator("ol.persons > li").count() == SHOWN
    page.locator("summary", has_text="Evidence").first.click()
    assert "and 340 more" in page.inner_text("main")
    looks_right(page)
    page.click("nav.pages a")
    assert page.locator("ol.persons > li").count() == 5
    page.goto("/knowledge?start=4000")
    assert "No proposal is that far down" in page.inner_text("main")


def test_a_broken_file_is_named_and_hides_nothing_else(page: Any, desk: Any) -> None:
    place = desk.folder.path
    (place / "proposals" / "k-0bad.json").write_text("{", "utf-8")
    typed = json.loads((place / "proposals" / "k-0001.json").read_text("utf-8")) | {"tickets": 3}
    (place / "proposals" / "k-0001.json").write_text(json.dumps(typed), "utf-8")
    (place / "entries" / "k-00ff" / "2.md").write_text("no head", "utf-8")
    (place / "report.json").write_text("[]", "utf-8")
    assert page.goto("/knowledge").status == 200
    alarms = " ".join(page.locator("[role=alert]").all_inner_texts())
    for name in ("k-0bad.json", "k-0001.json", "k-00ff/2.md", "report.json"):
        assert name in alarms
    assert page.locator("ol.persons > li").count() == SHOWN and "Scanner that does not read" in page.inner_text("main")
    looks_right(page)
    assert page.noted == []


def test_who_may_not_judge_sees_no_buttons(desk: Any, chromium: Any, tmp_path: Path) -> None:
    from api.security.api_keys import create_key
    from api.store.repository import open_repository

    store = open_repository(desk.folder.path.parent)
    key = create_key(store, "reads", ["read"], clearance=0)[0]
    store.close()
    context = chromium.new_context(base_url=desk.url, extra_http_headers={"Authorization": f"Bearer {key}"})
    reading = context.new_page()
    assert reading.goto("/knowledge").status == 200 and "k-0bad.json" in reading.inner_text("main")
    assert reading.locator("main button").count() == 0
    assert reading.request.post("/knowledge/k-0002/dismiss").status == 403
    context.close()
