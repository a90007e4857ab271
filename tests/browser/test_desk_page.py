"""The pages in Chromium: a queue worked by keyboard, two people at once, and nothing that is pasted comes alive."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe

from models.knowledge import KnowledgeFolder
from models.toml_files import dump_policy
from triage.defaults import default_policy
from triage.knowledge import SCRIPT, Proposal

PAGES = ("/", "/try", "/overview")
VPN = "The VPN drops every ten minutes since the update. Restarting did not help."
PAYLOADS = [
    "<img src=x onerror=alert(1)>",
    "</script><script>alert(1)</script>",
    "<svg onload=alert(1)>",
    "<svg><script>alert(1)</script></svg>",
    "javascript:alert(1)",
    '"><img src=x onerror=alert(1)>',
    "'><iframe src=javascript:alert(1)>",
    "</textarea><script>alert(1)</script>",
    "</pre><img src=//example.com/x.png>",
    "<a href=javascript:alert(1)>click</a>",
    "<style>@import url(//example.com/x.css)</style>",
    "<link rel=stylesheet href=//example.com/x.css>",
    "<body onload=alert(1)>",
    "<details open ontoggle=alert(1)>",
    "<input autofocus onfocus=alert(1)>",
    "<video><source onerror=alert(1)>",
    "<math><mi xlink:href=javascript:alert(1)>",
    "<base href=//example.com/>",
    "<meta http-equiv=refresh content=0;url=//example.com>",
    "<object data=javascript:alert(1)>",
    "<embed src=javascript:alert(1)>",
    "<form action=//example.com><button>x",
    "{{7*7}}",
    "{% raw %}{{ config }}{% endraw %}",
    "${7*7}",
    "`${alert(1)}`",
    "<!--<script>alert(1)</script>-->",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "\u202e<script>alert(1)</script>",
    "<ScRiPt>alert(1)</sCrIpT>",
]
pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def desk(
    tmp_path_factory: pytest.TempPathFactory,
    run_service: Callable[..., AbstractContextManager[Any]],
    make_bundle: Callable[..., Path],
) -> Iterator[Any]:
    home = tmp_path_factory.mktemp("desk")
    with run_service(
        home, "--open-loopback", "--bundle", make_bundle(), ready="/readyz", TRIAGE_REQUEST_DEADLINE_S="15"
    ) as service:
        yield service


@pytest.fixture
def page(chromium: Any, desk: Any) -> Iterator[Any]:
    """An empty page that notes dialogs, errors and requests that leave the service."""
    context = chromium.new_context(base_url=desk.url)
    page = context.new_page()
    page.set_default_timeout(15_000)
    page.noted = []
    page.on("dialog", lambda dialog: (page.noted.append("dialog"), dialog.dismiss()))
    page.on("pageerror", lambda error: page.noted.append(str(error)))
    page.on("console", lambda said: said.type == "error" and page.noted.append(said.text))
    page.on("request", lambda sent: sent.url.startswith(desk.url) or page.noted.append(sent.url))
    yield page
    context.close()


def suggest(page: Any, body: str, subject: str = "") -> None:
    """Type a ticket and have it decided; each preview is waited for, since leaving the page would cut it off."""
    page.goto("/try")
    for field, text in (("#subject", subject), ("#body", body)):
        if text:
            with page.expect_request_finished(lambda sent: sent.url.endswith("/try/preview")):
                page.fill(field, text)
    page.click("#suggest")
    wait_until_loaded(page, ".ticket-page")


def words(text: str) -> str:
    return " ".join(text.split())


def wait_until_loaded(page: Any, selector: str) -> None:
    """Wait for a page that a key led to, and for its script: a key that comes before it is lost, as for anybody."""
    page.wait_for_selector(selector)
    page.wait_for_load_state()


def try_predict(page: Any) -> str:
    """Send the first example of `POST /v1/predict` from the documentation page, and return what it shows."""
    operation = page.locator(".opblock", has=page.locator("[data-path='/v1/predict']")).first
    operation.locator(".opblock-summary-control").click()
    operation.locator("button.execute").click()
    operation.locator(".live-responses-table .response-col_status", has_text="200").wait_for()
    return str(operation.locator(".live-responses-table").inner_text())


def test_from_words_to_correction_and_back(page: Any) -> None:
    suggest(page, VPN, "VPN drops")
    here = page.url
    said = page.inner_text("main")
    assert "network" in said and "%" in said and "Ask the requester".upper() in said.upper()
    assert page.locator(".decision .meter").count() >= 2 and page.locator(".terms li").count() > 0
    assert page.locator(".words mark.for").count() > 0
    page.click("button[name=accept]")
    assert "VPN drops accepted" in words(page.inner_text(".told"))
    page.click(".told button")
    assert page.url.split("?")[0] == here.split("?")[0] and page.locator("button[name=accept]").count() == 1
    page.click("summary:has-text('Correct')")
    page.select_option("#right-tier", "L3")
    page.click("button[name=correct]")
    assert page.url.split("?")[0] == here.split("?")[0] and page.locator(".told").count() == 0  # asks for a reason
    page.fill("#reason", "needs rights that we lack")
    page.click("button[name=correct]")
    assert "corrected to L3 / network" in words(page.inner_text(".told"))
    page.goto(here)
    told = page.inner_text(".feedback")
    assert "Corrected to" in told and "L3" in page.inner_text(".decision h2") and "needs rights" in told
    page.click(".feedback button:has-text('Undo')")
    page.click("button[name=unsure]")
    page.goto(here)
    assert "unsure" in page.inner_text(".feedback")
    assert page.noted == []


def test_the_decision_changes_as_one_types_and_nothing_is_kept(page: Any, desk: Any) -> None:
    before = len(desk.client.get("/v1/decisions").json()["decisions"])
    page.goto("/try")
    page.locator("#body").press_sequentially("the printer prints blank pages", delay=5)
    page.wait_for_selector("#result .decision h2:has-text('printing')")
    page.fill("#body", VPN)
    page.wait_for_selector("#result .decision h2:has-text('network')")
    assert page.locator("#result mark").count() > 0
    assert len(desk.client.get("/v1/decisions").json()["decisions"]) == before
    page.focus("#body")
    page.keyboard.press("Control+Enter")
    wait_until_loaded(page, ".ticket-page")
    assert page.noted == []


def test_a_mail_that_is_longer_than_what_is_read_is_taken_whole_and_its_cut_told(page: Any) -> None:
    page.goto("/try")
    mail = ("the weekly report of all that was done on floor two " * 600)[:24_000] + " the server room is on fire"
    with page.expect_request_finished(lambda sent: sent.url.endswith("/try/preview")):
        page.focus("#body")
        page.keyboard.insert_text(mail)  # as pasted: what a field refuses is cut off
    assert page.input_value("#body") == mail
    page.wait_for_selector("#result .decision")
    said = page.inner_text("#result")
    assert "Not read: over long" in said and "the server room is on fire" in page.inner_text("#result .body.read")


def test_what_cannot_be_read_is_told_on_the_page(page: Any) -> None:
    page.goto("/try")
    page.fill("#body", "   ")
    page.click("#suggest")
    page.wait_for_load_state()
    said = page.inner_text("main")
    assert "This is empty, no ticket" in said and "No suggestion" in said


def test_forty_tickets_are_triaged_without_the_mouse(page: Any, desk: Any) -> None:
    for number in range(40):
        text = f"{VPN} {number}" if number % 2 else f"printer {number} prints blank pages"
        assert desk.predict(id=f"KEYS-{number}", subject=f"keys {number}", body=text).status_code == 200
    page.goto("/?q=keys")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    wait_until_loaded(page, ".ticket-page")
    for number in range(40):
        here = page.url.split("?")[0]
        if number % 4 == 3:
            page.keyboard.press("t")
            page.keyboard.type("L1" if "L2" in page.inner_text(".decision h2") else "L2")
            page.keyboard.press("Enter")
            page.keyboard.press("1")
        else:
            page.keyboard.press("n" if number % 4 == 2 else "a")
        try:
            page.wait_for_url(lambda url, here=here: url.split("?")[0] != here)
        except Exception:
            raise AssertionError(f"{number}: {page.inner_text('main')[:900]}") from None
    assert page.url.split("?")[0] == f"{desk.url}/" and "Nothing matches" in page.inner_text("main")
    said = [row["standing"] for row in desk.client.get("/v1/decisions?q=keys&limit=200").json()["decisions"]]
    verdicts = [one["verdict"] for one in said if one]
    assert len(verdicts) == 40
    assert (verdicts.count("accepted"), verdicts.count("corrected"), verdicts.count("unsure")) == (20, 10, 10)
    assert {one["reason"] for one in said if one["verdict"] == "corrected"} == {"another team owns this service"}
    page.keyboard.press("u")
    wait_until_loaded(page, ".ticket-page")
    page.keyboard.press("?")
    assert page.locator("dialog[open]").count() == 1
    page.keyboard.press("Escape")
    page.keyboard.press("q")
    wait_until_loaded(page, ".list")
    assert "keys" in page.inner_text(".list") and page.noted == []


def test_the_help_of_keys_names_them_in_a_narrow_window(chromium: Any, desk: Any) -> None:
    context = chromium.new_context(base_url=desk.url, viewport={"width": 390, "height": 800})
    page = context.new_page()
    page.goto("/")
    page.keyboard.press("?")
    keys = page.locator("dialog[open] kbd")
    assert keys.count() > 5 and all(key.is_visible() for key in keys.all())
    assert page.locator("main kbd:visible").count() == 0
    context.close()


def test_a_key_that_is_held_down_judges_nothing(page: Any, desk: Any) -> None:
    suggest(page, "Please order a keyboard with large letters for the front desk.")
    here = page.url
    page.evaluate(
        "for (let n = 0; n < 5; n += 1) document.body.dispatchEvent("
        "new KeyboardEvent('keydown', {key: 'a', repeat: true, bubbles: true}))"
    )
    page.wait_for_timeout(300)
    decision = urlsplit(here).path.rpartition("/")[2]
    assert page.url == here and desk.client.get(f"/v1/decisions/{decision}").json()["standing"] is None
    page.keyboard.press("a")
    page.wait_for_selector("text=accepted:")
    assert desk.client.get(f"/v1/decisions/{decision}").json()["standing"]["verdict"] == "accepted"


def test_the_search_form_finds_what_was_typed_with_every_filter_left_open(page: Any) -> None:
    suggest(page, "The turnstile in the lobby does not read my badge.")
    page.goto("/?view=all")
    page.fill("input[type=search]", "turnstile")
    page.keyboard.press("Enter")
    page.wait_for_selector("tr:has-text('turnstile')")
    assert page.locator("a.open").count() == 1
    page.select_option("select[name=sort]", "oldest")
    page.click("form.find button")
    page.wait_for_selector("tr:has-text('turnstile')")


def test_a_new_ticket_appears_by_itself_and_focus_stays(page: Any, desk: Any) -> None:
    assert desk.predict(id="LIVE-1", subject="live one", body="printer prints blank pages").status_code == 200
    page.goto("/?q=live")
    page.focus("a.open")
    assert desk.predict(id="LIVE-2", subject="live two", body=VPN).status_code == 200
    page.wait_for_selector("a.open:has-text('live two')")
    assert page.evaluate("document.activeElement.classList.contains('open')") and page.noted == []


def test_what_is_typed_while_a_ticket_arrives_is_kept_and_is_no_command(page: Any, desk: Any) -> None:
    suggest(page, VPN, "typed one")
    page.click("button[name=accept]")
    page.goto("/?view=all")
    page.click("#facets-tier summary")
    page.focus("input[type=search]")
    page.keyboard.type("printer q")
    assert desk.predict(id="TYPED-2", subject="typed two", body=VPN).status_code == 200
    page.wait_for_selector("a.open:has-text('typed two')")
    page.keyboard.type("ueue")
    assert page.input_value("input[type=search]") == "printer queue" and "view=all" in page.url
    assert not page.locator("#facets-tier").evaluate("one => one.open")
    page.focus("#view-all")
    assert desk.predict(id="TYPED-3", subject="typed three", body=VPN).status_code == 200
    page.wait_for_selector("a.open:has-text('typed three')")
    assert page.evaluate("document.activeElement.id") == "view-all" and page.noted == []
    counted = page.inner_text("#waiting .count"), page.inner_text("#view-waiting .count")
    assert counted[0] == counted[1] and f"({counted[0]})" in page.title()


def test_answers_of_the_requester_move_the_decision(page: Any) -> None:
    suggest(page, "it does not print and the vpn drops", "please help")
    page.locator(".ask input[name=answer]").first.fill("the vpn drops, network down, vpn tunnel, vpn client")
    page.wait_for_selector("#moved .moves")
    assert "With these answers" in page.inner_text("#moved") and page.noted == []


def test_answers_are_kept_by_keyboard_and_the_page_shows_where_they_led(page: Any, desk: Any) -> None:
    body = "it does not print and the vpn drops"
    assert desk.predict(id="KEEP-1", subject="please help", body=body).status_code == 200
    page.goto("/tickets?id=KEEP-1")
    page.keyboard.press("w")
    page.keyboard.type("the vpn drops, network down, vpn tunnel")
    page.wait_for_selector("#moved .moves")
    page.keyboard.press("Control+Enter")
    wait_until_loaded(page, ".told")
    assert "answers are kept" in page.inner_text(".told")
    assert "With everything written since".upper() in page.inner_text(".decision").upper()
    assert "The requester answered" in page.inner_text(".timeline") and "vpn tunnel" in page.inner_text(".timeline")
    assert page.noted == []


def test_a_met_criterion_moves_a_ticket_with_one_key_and_the_packet_is_copied_with_another(
    page: Any, desk: Any
) -> None:
    body = f"{VPN} All of us in the whole company are affected, everybody."
    assert desk.predict(id="MOVE-1", subject="all of us", body=body).status_code == 200
    at = datetime.now(UTC).isoformat()
    for number in range(2):
        tried = {"id": f"e{number}", "kind": "attempt", "outcome": "failed", "at": at, "text": "reset the client"}
        assert desk.client.post("/v1/tickets/MOVE-1/events", json=tried).status_code == 200
    page.goto("/tickets?id=MOVE-1")
    assert "move to" in page.inner_text(".sides") and "reset the client" in page.inner_text(".criteria")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.keyboard.press("p")
    page.wait_for_selector("button:has-text('Copied')")
    assert page.evaluate("navigator.clipboard.readText()").startswith("Hand-over ")
    page.keyboard.press("e")
    wait_until_loaded(page, ".told")
    assert "Moved by a person" in page.inner_text(".decision") and "Status" in page.inner_text(".timeline")
    page.keyboard.press("a")
    page.wait_for_selector(".told:has-text('accepted')")
    assert desk.client.get("/v1/tickets/MOVE-1").json()["route"]["by"] == "person"
    assert page.noted == []


def test_similar_tickets_open_on_the_page(page: Any) -> None:
    suggest(page, VPN, "VPN drops")
    page.locator(".similar summary").first.click()
    assert page.locator(".similar .ended").first.is_visible() and page.noted == []


def test_reading_and_verdicts_need_no_script(chromium: Any, desk: Any) -> None:
    assert desk.predict(id="PLAIN-1", subject="plain one", body=VPN).status_code == 200
    context = chromium.new_context(base_url=desk.url, java_script_enabled=False)
    page = context.new_page()
    page.goto("/?q=plain")
    page.click("a.open")
    assert "VPN" in page.inner_text(".words")
    page.click("summary:has-text('Correct')")
    page.select_option("#right-tier", "L1")
    page.check("input[name=reason][value='']")
    page.click("button[name=correct]")
    assert "a correction needs a reason" in page.inner_text("[role=alert]")
    assert page.input_value("#right-tier") == "L1"
    page.check("input[name=reason] >> nth=2")
    page.click("button[name=correct]")
    assert "corrected to L1" in words(page.inner_text(".told"))
    context.close()


def test_a_reason_is_given_by_keyboard_in_ones_own_words_too(page: Any, desk: Any) -> None:
    for number in range(3):
        body = f"{VPN} , attempt {number}"
        assert desk.predict(id=f"WHY-{number}", subject=f"why {number}", body=body).status_code == 200
    page.goto("/?q=why&sort=oldest")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    wait_until_loaded(page, ".ticket-page")
    here = page.url.split("?")[0]
    page.keyboard.press("t")
    page.keyboard.type("L3")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.dataset.pick") == "1" and page.url.split("?")[0] == here
    page.keyboard.press("a")  # accepts nothing while a correction is being made
    page.keyboard.press("c")
    assert page.evaluate("document.activeElement.id") == "right-category"
    page.keyboard.press("Enter")
    page.keyboard.press("7")
    page.keyboard.press("Enter")  # nothing is written: the browser says so
    assert page.url.split("?")[0] == here and page.evaluate("document.activeElement.id") == "reason"
    page.keyboard.type("1 of our own, see #7")
    page.keyboard.press("Enter")
    page.wait_for_url(lambda url: url.split("?")[0] != here)
    for keys in (("ArrowDown", "ArrowDown", "Enter"), ("Enter",)):
        here = page.url.split("?")[0]
        page.keyboard.press("t")
        page.keyboard.type("L3")
        page.keyboard.press("Enter")
        for key in keys:
            page.keyboard.press(key)
        page.wait_for_url(lambda url, here=here: url.split("?")[0] != here)
    said = desk.client.get("/v1/decisions?q=why&view=corrected&sort=oldest").json()["decisions"]
    assert [one["standing"]["reason"] for one in said] == [
        *("1 of our own, see #7", "can be solved at first contact", "another team owns this service")
    ]
    assert page.noted == []


CONTRAST = """key => {
    const shades = text => text.match(/[\\d.]+/g).map(Number);
    const light = rgb => rgb.map(one => one / 255)
        .map(one => one <= .04045 ? one / 12.92 : ((one + .055) / 1.055) ** 2.4)
        .reduce((sum, one, place) => sum + one * [.2126, .7152, .0722][place], 0);
    let opacity = 1, under = null;
    for (let at = key; at; at = at.parentElement) {
        const style = getComputedStyle(at), shade = shades(style.backgroundColor);
        if (!under && (shade.length < 4 || shade[3] === 1)) under = shade.slice(0, 3);
        if (!under) opacity *= Number(style.opacity);
    }
    const ink = shades(getComputedStyle(key).color).slice(0, 3)
        .map((one, at) => opacity * one + (1 - opacity) * under[at]);
    const [high, low] = [light(ink), light(under)].sort((one, other) => other - one);
    return (high + .05) / (low + .05);
}"""
"""Contrast of a key's letter and what lies under it; axe leaves single letters out."""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_letters_of_keys_can_be_read(chromium: Any, desk: Any, scheme: str) -> None:
    assert desk.predict(id="LETTERS-1", subject="letters", body=VPN).status_code == 200
    found = desk.client.get("/v1/decisions?ticket_id=LETTERS-1").json()["decisions"][0]["decision_id"]
    context = chromium.new_context(base_url=desk.url, color_scheme=scheme)
    page = context.new_page()
    for path in ("/", "/try", f"/decisions/{found}"):
        page.goto(path)
        contrasts = [key.evaluate(CONTRAST) for key in page.locator("kbd:visible").all()]
        assert contrasts and min(contrasts) >= 4.5, path
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_page_has_a_serious_fault_of_accessibility(chromium: Any, desk: Any, scheme: str) -> None:
    assert desk.predict(id="AXE-1", subject="axe one", body=f"{VPN} Nobody can work.").status_code == 200
    found = desk.client.get("/v1/decisions?ticket_id=AXE-1").json()["decisions"][0]["decision_id"]
    context = chromium.new_context(base_url=desk.url, color_scheme=scheme, bypass_csp=True)
    page = context.new_page()
    serious = []
    version = desk.client.get("/v1/model").json()["model_version"]
    paths = (*PAGES, f"/decisions/{found}", "/decisions/nothing", "/?q=nothingmatches", "/?view=disputed", "/sign-in")
    for path in (*paths, f"/overview/models/{version}"):
        page.goto(path)
        serious += [
            f"{path}: {one['id']} {[node['target'] for node in one['nodes']][:3]}"
            for one in Axe().run(page).response["violations"]
            if one["impact"] in ("serious", "critical")
        ]
    assert serious == []
    context.close()


def test_errors_are_pages_with_a_way_back(page: Any) -> None:
    for path in ("/decisions/nothing", "/?nonsense=1", "/tickets?id=nothing"):
        page.goto(path)
        said = page.inner_text("main")
        assert "GET /" not in said and "/docs" not in said and "see " not in said  # nobody is sent to a manual
        assert page.locator("header nav a").count() == 7
        page.click("text=Back to the queue")
        page.wait_for_selector("#list-title")


@pytest.mark.parametrize("width", [320, 360, 768, 1280, 1920])
def test_it_fits_every_screen(page: Any, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    suggest(page, f"{VPN} {'unbreakable' * 30}", "S" * 200)
    for path in (page.url, "/docs", *PAGES):
        page.goto(path)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        if width == 1920 and path != "/docs":  # no third of the screen stays empty
            places = page.evaluate(
                "[...document.querySelectorAll('main *')].map((one) => one.getBoundingClientRect().right)"
            )
            assert max(places) >= 1600, path
    assert page.noted == []


def test_nothing_that_is_pasted_comes_alive(page: Any) -> None:
    for start in range(0, len(PAYLOADS), 6):
        part = PAYLOADS[start : start + 6]
        suggest(page, "\n".join(part) + " printer", part[0])
        assert all(payload in page.inner_text(".words .body") for payload in part)
        assert page.title().endswith("Triage") and page.locator("main iframe, main script, main form form").count() == 0
        page.goto("/?view=all&sort=newest")
        assert page.locator("main iframe, main script, main form form").count() == 0
    assert page.noted == []


def test_the_documentation_is_complete_loads_nothing_from_elsewhere_and_tries_a_request(page: Any) -> None:
    page.goto("/docs")
    for path in ("/v1/predict", "/v1/predict/batch", "/v1/decisions", "/v1/model", "/readyz"):
        page.wait_for_selector(f".opblock-summary-path[data-path='{path}']")
    assert "decision_id" in try_predict(page) and page.noted == []


def test_agents_sign_in_with_a_key_and_out_again(
    chromium: Any,
    tmp_path: Path,
    serve: Callable[..., AbstractContextManager[Any]],
) -> None:
    key = make_key(tmp_path)
    with serve(home=tmp_path, TRIAGE_RULES_ONLY="1", TRIAGE_REQUEST_DEADLINE_S="15") as service:
        context = chromium.new_context(base_url=service.url)
        page = context.new_page()
        page.goto("/")
        assert page.url.endswith("/sign-in")
        page.fill("#agent", "Kim <b>")
        page.fill("#key", "triage_00000000_wrong")
        page.click("button")
        assert "not known" in page.inner_text("[role=alert]")
        page.fill("#agent", "Kim <b>")
        page.fill("#key", key)
        page.click("button")
        assert "Kim <b>" in page.inner_text("header")
        cookie = context.cookies()[0]
        assert cookie["httpOnly"] and cookie["sameSite"] == "Strict" and key not in cookie["value"]
        suggest(page, "printer prints blank pages")
        here = page.url
        page.click("button[name=accept]")
        page.goto(here)
        assert "Kim <b>" in page.inner_text(".feedback")
        forged = context.request.post("/try", form={"body": "forged"})
        assert forged.status == 403
        page.goto("/docs")
        assert "decision_id" in try_predict(page)  # with the session and the page's token, without a key
        page.goto("/")
        page.click("text=Sign out")
        assert page.url.endswith("/sign-in")
        page.goto("/")
        assert page.url.endswith("/sign-in")
        context.close()


def test_every_page_has_an_empty_a_full_and_a_broken_state(
    chromium: Any, tmp_path: Path, serve: Callable[..., AbstractContextManager[Any]]
) -> None:
    with serve("--open-loopback", home=tmp_path, TRIAGE_RULES_ONLY="1", TRIAGE_REQUEST_DEADLINE_S="15") as service:
        page = chromium.new_context(base_url=service.url).new_page()
        page.set_default_timeout(15_000)
        empty = {"/": "Nobody waits", "/overview": "Nothing yet", "/try": "Where should this ticket go?"}
        for path, words_of_it in empty.items():
            page.goto(path)
            assert words_of_it in page.inner_text("main"), path
        decision = service.predict(id="FULL-1", subject="full one", body=VPN).json()["decision_id"]
        full = {"/": "full one", "/overview": "received", f"/decisions/{decision}": "Hand over"}
        for path, words_of_it in full.items():
            page.goto(path)
            assert words_of_it.upper() in page.inner_text("main").upper(), path
        with sqlite3.connect(tmp_path / "store.sqlite") as store:  # the store is away: its tables are
            for name in ("queue_entries", "decisions", "tickets", "feedback"):
                store.execute(f"ALTER TABLE {name} RENAME TO {name}_away")
        broken = (
            "/",
            "/overview",
            f"/decisions/{decision}",
            "/tickets?id=FULL-1",
            "/overview/models/nothing",
        )
        for path in broken:
            answer = page.goto(path)
            said = page.inner_text("main")
            assert answer.status in (200, 404, 503) and ("does not answer" in said or answer.status == 404), (
                path,
                said,
            )
            assert page.locator("a[href='/']").count() >= 1 and "Error" not in said, path
        page.goto("/try")
        page.fill("#body", VPN)
        page.wait_for_selector("#result .decision")  # new tickets are decided all the same
        page.context.close()


def make_key(home: Path) -> str:
    make = [sys.executable, "-P", "-m", "triage", "keys", "create", "desk", "--json"]
    scopes = [part for scope in ("read", "predict", "feedback") for part in ("--scope", scope)]
    made = subprocess.run(
        [*make, *scopes], env={**os.environ, "TRIAGE_HOME": str(home)}, capture_output=True, text=True, check=True
    )
    return str(json.loads(made.stdout)["key"])


def test_two_people_on_one_ticket_see_each_other_and_no_verdict_is_lost(
    chromium: Any, tmp_path: Path, serve: Callable[..., AbstractContextManager[Any]]
) -> None:
    key = make_key(tmp_path)
    with serve(home=tmp_path, TRIAGE_RULES_ONLY="1", TRIAGE_REQUEST_DEADLINE_S="15") as service:
        service.client.headers["X-API-Key"] = key
        decision = service.predict(id="T-1", subject="both", body="printer prints blank pages").json()["decision_id"]
        pages = []
        for name in ("Ana", "Ben"):
            page = chromium.new_context(base_url=service.url).new_page()
            page.set_default_timeout(15_000)
            page.goto("/sign-in")
            page.fill("#agent", name)
            page.fill("#key", key)
            page.click("button")
            page.goto(f"/decisions/{decision}")
            pages.append(page)
        ana, ben = pages
        ana.wait_for_selector("#others:has-text('Ben looks at this too')")
        ana.click("button[name=claim]")
        ben.wait_for_selector("#others:has-text('taken by Ana')")
        ana.click("button[name=accept]")
        ben.wait_for_selector("#others:has-text('Ana has accepted this ticket')")
        ben.click("summary:has-text('Correct')")
        ben.select_option("#right-tier", "L3")
        ben.check("input[name=reason] >> nth=0")
        ben.click("button[name=correct]")
        told = words(ben.inner_text("main"))
        assert "Ben corrected to L3" in told and "Ana accepted it" in told  # not sent on: both words stand here
        said = service.client.get(f"/v1/decisions/{decision}").json()["feedback"]
        assert [(one["agent"], one["verdict"]) for one in said] == [("Ana", "accepted"), ("Ben", "corrected")]
        assert service.client.get("/v1/decisions?view=disputed").json()["decisions"]
        for page in pages:
            page.context.close()


def test_what_cannot_be_looked_up_anew_is_said_and_nothing_of_before_stands_there(
    chromium: Any, tmp_path: Path, serve: Callable[..., AbstractContextManager[Any]]
) -> None:
    key = make_key(tmp_path)
    with serve(home=tmp_path, TRIAGE_RULES_ONLY="1", TRIAGE_REQUEST_DEADLINE_S="15") as service:
        context = chromium.new_context(base_url=service.url)
        page = context.new_page()
        page.set_default_timeout(15_000)
        page.goto("/sign-in")
        page.fill("#agent", "Kim")
        page.fill("#key", key)
        page.click("button")
        page.route("**/live?*", lambda route: route.fulfill(status=401, body=""))
        page.goto("/")
        page.wait_for_selector("#stands-still:has-text('The connection to the service has ended')")
        page.unroute("**/live?*")
        page.wait_for_selector("#stands-still", state="detached")  # it is tried again, and goes on
        page.goto("/try")
        for text, said in ((f"{VPN} {'x' * 300_000}", "too large"), (f"{VPN} again", "signed out")):
            page.fill("#body", VPN)
            page.wait_for_selector("#result .decision")
            if said == "signed out":
                context.clear_cookies()
            page.fill("#body", text)
            page.wait_for_selector(f"#result [role=alert]:has-text('{said}')")
            assert page.locator("#result .decision").count() == 0
        context.close()


def test_after_a_swap_to_other_labels_a_correction_by_keyboard_states_one_label_and_filters_stay(
    chromium: Any, run_service: Callable[..., AbstractContextManager[Any]], tmp_path: Path
) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text(dump_policy(default_policy()))
    options = {"TRIAGE_RULES_ONLY": "1", "TRIAGE_POLICY": str(policy)}
    with run_service(tmp_path, "--open-loopback", ready="/readyz", **options) as service:
        first = service.predict(id="SWAP", subject="swap", body=VPN).json()
        policy.write_text('tiers = [{label = "front"}, {label = "back"}]\ncategories = [{label = "GRP_1"}]')
        assert service.client.post("/v1/model/reload").status_code == 200
        page = chromium.new_context(base_url=service.url).new_page()
        page.set_default_timeout(15_000)
        page.goto(f"/?view=all&category={first['category']}")
        page.select_option("select[name=sort]", "newest")
        page.click("form.find button")
        page.wait_for_url(lambda url: "sort=newest" in url)
        assert page.input_value("select[name=category]") == first["category"] and page.locator("a.open").count() == 1
        page.goto(f"/decisions/{first['decision_id']}?view=all")
        page.wait_for_load_state()
        page.keyboard.press("t")
        page.keyboard.type("back")
        page.keyboard.press("Enter")
        page.keyboard.press("1")
        page.wait_for_selector(".told")
        said = service.client.get(f"/v1/decisions/{first['decision_id']}").json()
        assert said["standing"]["targets"] == {"tier": "back"} and said["category"] == first["category"]
        page.context.close()


def test_long_labels_leave_room_for_what_stands_beside_them(
    chromium: Any, tmp_path: Path, run_service: Callable[..., AbstractContextManager[Any]]
) -> None:
    long = "printing-and-scanning-in-the-branch-offices-of-the-north"
    (tmp_path / "policy.toml").write_text(dump_policy(default_policy()).replace('"printing"', f'"{long}"'))
    proposal = Proposal(
        "k-0123456789", "scanner, cradle", SCRIPT, "L1", "L2", long, ("T1",), {"scanner": 1.0}, bar=0.5,
        precision=1.0, recall=1.0, resolutions=("Reset it.",), per_month=2.5, saved_min=58.0, cover=("the steps",),
    )  # fmt: skip
    KnowledgeFolder(tmp_path / "knowledge").propose([proposal])
    settings = {"TRIAGE_RULES_ONLY": "1", "TRIAGE_POLICY": str(tmp_path / "policy.toml")}
    with run_service(tmp_path, "--open-loopback", **settings) as service:
        decided = service.predict(id="LONG", subject="printer", body="the printer prints blank pages").json()
        place = f"/decisions/{decided['decision_id']}"
        said = {"verdict": "corrected", "category": long, "tier": "L3", "agent": "kim", "reason": "it is theirs"}
        assert service.client.post(f"/v1{place}/feedback", json=said).status_code == 200
        page = chromium.new_context(base_url=service.url).new_page()
        near = (
            f"<ul class='similar'><li><details><summary><span class='name'>It prints no more</span>"
            f"<span class='quiet'>L1 / {long}</span><span class='share'>87 %</span></summary></details></li></ul>"
        )
        for width in (1280, 380):
            page.set_viewport_size({"width": width, "height": 900})
            for path in ("/knowledge", "/?view=all", "/overview", place):
                page.goto(path)
                assert page.evaluate("document.documentElement.scrollWidth") <= width, path
            page.evaluate("near => document.querySelector('.targets').insertAdjacentHTML('afterend', near)", near)
            assert page.locator(".similar .name").bounding_box()["width"] > 180
            assert page.locator(".feedback p").first.bounding_box()["width"] > 240
        page.set_viewport_size({"width": 1280, "height": 900})
        page.goto("/?view=all")
        assert page.locator("td.subject + td + td").first.bounding_box()["width"] > 140
        page.goto("/overview")
        assert page.locator(".chart text:has-text('printing-and-scan…')").count() == 1
        page.context.close()
