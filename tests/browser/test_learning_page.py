"""The learning page in Chromium: what to label, a theme that becomes a category, and training with its comparison."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe

from api.store.repository import open_repository
from models.bundle.manifest import read_manifest
from models.local_store import CHAMPION, LocalModelStore

from ..conftest import CATEGORIES, ROWS, SHIPPED, TIERS, wait_until

WIDTHS = (360, 1280, 1920)
BADGES = [
    f"The badge reader at gate {number} stays red, my badge does not open the {door} any more"
    for number, door in enumerate(("door", "garage", "archive", "lab", "lobby", "canteen", "store", "roof", "yard"))
]
pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def desk(
    tmp_path_factory: pytest.TempPathFactory,
    run_service: Callable[..., AbstractContextManager[Any]],
    make_bundle: Callable[..., Path],
) -> Iterator[Any]:
    """A service that follows the champion, with a history to train on again."""
    home = tmp_path_factory.mktemp("learning")
    store = LocalModelStore(home)
    store.add(make_bundle(), "0")  # the registry counts from 1
    store.point(CHAMPION, "0", str(read_manifest(store.path("0"))["digest"]))
    rows = [json.loads(line) for line in SHIPPED.read_text("utf-8").splitlines()]
    kept = [row for row in rows if row["category"] in CATEGORIES and row["tier"] in TIERS and row["language"] == "en"]
    history = home / "history.jsonl"
    history.write_text("".join(json.dumps(row) + "\n" for row in kept[: ROWS + 120]), "utf-8")
    with run_service(
        home, "--open-loopback", ready="/readyz", TRIAGE_REQUEST_DEADLINE_S="15", TRIAGE_HISTORY=f"'{history}'"
    ) as service:
        yield service


@pytest.fixture(scope="module")
def page(chromium: Any, desk: Any) -> Any:
    page: Any = chromium.new_context(base_url=desk.url).new_page()
    page.set_default_timeout(60_000)
    page.noted = []
    page.on("pageerror", lambda error: page.noted.append(str(error)))
    page.on("console", lambda said: said.type == "error" and page.noted.append(said.text))
    return page


def job_ends(page: Any) -> None:
    page.wait_for_selector(".job:first-child .pill:not(:has-text('running'))", timeout=400_000)
    page.goto("/learning")


def test_an_empty_page_says_so(page: Any) -> None:
    assert page.goto("/learning").status == 200
    said = page.inner_text("main")
    assert "No ticket waits" in said and "Nothing was trained" in said and "None: no three" in said


def test_what_is_worth_labelling_leads_to_its_ticket(page: Any, desk: Any) -> None:
    for number, text in enumerate([*BADGES, "the printer prints blank pages", "the vpn drops every ten minutes"]):
        assert desk.predict(id=f"L-{number}", text=text).status_code == 200
    assert desk.predict(id="L-blank", subject="", body="").status_code == 200
    assert desk.predict(id="L-long", subject="badge" * 60, body="the reader stays red").status_code == 200
    page.goto("/learning")
    titles = page.locator(".learning a.open").all_inner_texts()
    assert all(titles) and "Ticket L-blank" not in titles and any(one.startswith("badgebadge") for one in titles)
    assert page.locator(".learning a.open").count() >= 5
    page.set_viewport_size({"width": 1280, "height": 900})
    found = [one["id"] for one in Axe().run(page).response["violations"] if one["impact"] in ("serious", "critical")]
    assert found == []
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.set_viewport_size({"width": 1280, "height": 900})
    assert "about the category" in page.inner_text(".learning")
    page.click(".choices a:has-text('tier')")
    assert "about the tier" in page.inner_text(".learning") and page.locator(".learning a.open").count() >= 5
    assert " L1 " in f" {page.inner_text('.learning .persons')} " or "L2" in page.inner_text(".learning .persons")
    page.goto("/learning?target=nothing")
    assert "about the category" in page.inner_text(".learning")
    page.click(".learning a.open >> nth=0")
    page.wait_for_selector(".ticket-page")


def test_the_log_of_a_running_job_stays_where_it_is_read(
    chromium: Any, tmp_path: Path, run_service: Callable[..., AbstractContextManager[Any]]
) -> None:
    with run_service(tmp_path, "--open-loopback", TRIAGE_RULES_ONLY="1") as service:
        store = open_repository(tmp_path)
        job = store.begin_job("retrain", "A training", "kim")
        lines = [f"step {number}" for number in range(100)]
        store.hear_job(job, "\n".join(lines))
        page = chromium.new_context(base_url=service.url).new_page()
        page.set_default_timeout(15_000)
        page.goto("/learning")
        page.focus(".joblog")
        for place, stays in (("400", True), ("one.scrollHeight", False)):
            page.eval_on_selector(".joblog", f"one => {{ one.scrollTop = {place}; }}")
            lines.append(f"then step {len(lines)}")
            store.hear_job(job, "\n".join(lines))
            page.wait_for_selector(f".joblog:has-text('{lines[-1]}')")
            at, end = page.eval_on_selector(".joblog", "one => [one.scrollTop, one.scrollHeight - one.clientHeight]")
            assert at == 400 if stays else abs(at - end) <= 1
            assert page.evaluate("document.activeElement.className") == "joblog"
        assert page.inner_text("#jobs-say") == "A training: running"
        store.end_job(job, ok=False, result=None, log="")
        page.wait_for_selector("#jobs-say:has-text('A training: failed')", state="attached")
        assert page.locator("#jobs [aria-live], #jobs[aria-live]").count() == 0
        page.context.close()
        store.close()


def test_retraining_shows_its_log_and_its_comparison_and_can_be_discarded(page: Any) -> None:
    page.goto("/learning")
    page.click("text=Retrain")
    page.wait_for_selector(".job.running")
    assert page.request.post("/learning/retrain", max_redirects=0).status == 409  # one at a time
    job_ends(page)
    said = page.inner_text(".job >> nth=0")
    assert re.search(
        r"Version 1 (holds|does not hold) up against version 0, on \d+ tickets that neither had seen", said
    )
    assert "--data" not in said and page.is_enabled("form[action$=retrain] button")
    page.click(".job >> nth=0 >> summary:has-text('check')")
    assert "processor time" in page.inner_text(".job >> nth=0")
    page.click("text=Discard")
    assert "discarded" in page.inner_text(".job >> nth=0")


def test_a_theme_becomes_a_category_that_serves_and_can_be_taken_back(page: Any, desk: Any) -> None:
    page.goto("/learning")
    theme = page.locator(".theme", has_text="badge").first
    theme.locator("summary").click()
    theme.locator("input[name=label]").fill("badges")
    theme.locator("text=Make it a category").click()
    page.wait_for_selector(".job.running, .job.done")
    job_ends(page)
    assert "badges from" in page.inner_text(".job >> nth=0"), page.inner_text(".job >> nth=0")
    discard = page.get_attribute(".job:first-child form[action$=discard]", "action")
    page.click(".job >> nth=0 >> text=Let it serve")
    page.wait_for_selector(".job:first-child h3:has-text('Letting version')")
    assert page.request.post(discard, max_redirects=0).status == 409  # a page from before has the button still
    job_ends(page)
    assert page.noted == []


def test_without_a_champion_a_failed_job_says_what_to_do(
    tmp_path: Path, run_service: Callable[..., AbstractContextManager[Any]]
) -> None:
    with run_service(tmp_path, "--open-loopback", TRIAGE_RULES_ONLY="1") as service:
        assert service.client.post("/learning/rollback").status_code == 303
        wait_until(lambda: "failed" in service.client.get("/learning").text, 60)
        assert "no earlier version" in service.client.get("/learning").text
