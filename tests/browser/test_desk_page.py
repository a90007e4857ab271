"""The agent page in Chromium: from paste to correction, signed in or not, and nothing that is pasted comes alive."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from shutil import which
from typing import Any

import pytest

CHROMIUM = which("chromium") or which("chromium-browser") or which("google-chrome")
FLAGS = ["--no-sandbox", "--disable-background-networking", "--disable-component-update", "--no-first-run"]
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
pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


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
    page.noted = []
    page.on("dialog", lambda dialog: (page.noted.append("dialog"), dialog.dismiss()))
    page.on("pageerror", lambda error: page.noted.append(str(error)))
    page.on("console", lambda said: said.type == "error" and page.noted.append(said.text))
    page.on("request", lambda sent: sent.url.startswith(desk.url) or page.noted.append(sent.url))
    yield page
    context.close()


def suggest(page: Any, body: str, subject: str = "") -> None:
    page.goto("/")
    page.fill("#subject", subject)
    page.fill("#body", body)
    page.click("#suggest")
    page.wait_for_selector(".decision")


def try_predict(page: Any) -> str:
    """Send the first example of `POST /v1/predict` from the documentation page, and return what it shows."""
    operation = page.locator(".opblock", has=page.locator("[data-path='/v1/predict']")).first
    operation.locator(".opblock-summary-control").click()
    operation.locator("button.execute").click()
    operation.locator(".live-responses-table .response-col_status", has_text="200").wait_for()
    return str(operation.locator(".live-responses-table").inner_text())


def test_from_paste_to_correction_and_back(page: Any) -> None:
    suggest(page, VPN, "VPN drops")
    said = page.inner_text(".decision")
    assert "network" in said and "%" in said and "Ask the requester".upper() in said.upper()
    assert page.locator(".decision .meter").count() >= 2 and page.locator(".terms li").count() > 0
    assert "VPN drops" in page.inner_text(".latest")
    page.click("button[name=accept]")
    assert "Accepted" in page.inner_text(".feedback") and "accepted" in page.inner_text(".latest tr.current")
    page.click("text=Undo")
    assert page.locator("button[name=accept]").count() == 1
    page.click("text=Correct")
    page.select_option("#right-tier", "L3")
    page.click("button[name=correct]")
    assert "Corrected to" in page.inner_text(".feedback") and "L3" in page.inner_text(".latest tr.current")
    page.click("text=Undo")
    page.click("button[name=unsure]")
    assert "unsure" in page.inner_text(".feedback")
    assert page.noted == []


def test_the_keyboard_is_enough(page: Any) -> None:
    page.goto("/")
    page.focus("#body")
    page.keyboard.type("printer prints blank pages")
    page.keyboard.press("Control+Enter")
    page.wait_for_selector(".decision")
    assert page.noted == []


def test_what_cannot_be_read_is_told_on_the_page(page: Any) -> None:
    page.goto("/")
    page.fill("#body", "   ")
    page.click("#suggest")
    assert "nothing to read" in page.inner_text("[role=alert]") and page.locator(".decision").count() == 0


@pytest.mark.parametrize("width", [320, 390, 768, 1440])
def test_it_fits_every_screen(page: Any, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    suggest(page, f"{VPN} {'unbreakable' * 30}", "S" * 200)
    for path in (page.url, "/docs"):
        page.goto(path)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.noted == []


def test_nothing_that_is_pasted_comes_alive(page: Any) -> None:
    for start in range(0, len(PAYLOADS), 6):
        part = PAYLOADS[start : start + 6]
        suggest(page, "\n".join(part) + " printer", part[0])
        page.click("text=The ticket")
        assert all(payload in page.inner_text(".ticket pre") for payload in part)
        assert page.title().endswith("Triage") and page.locator("main iframe, main script, main form form").count() == 0
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
    make = [sys.executable, "-P", "-m", "triage", "keys", "create", "desk", "--json"]
    scopes = [part for scope in ("read", "predict", "feedback") for part in ("--scope", scope)]
    made = subprocess.run(
        [*make, *scopes], env={**os.environ, "TRIAGE_HOME": str(tmp_path)}, capture_output=True, text=True, check=True
    )
    key = json.loads(made.stdout)["key"]
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
        page.click("button[name=accept]")
        assert "Kim <b>" in page.inner_text(".feedback")
        forged = context.request.post("/", form={"body": "forged"})
        assert forged.status == 403
        page.goto("/docs")
        assert "decision_id" in try_predict(page)  # with the session and the page's token, without a key
        page.goto("/")
        page.click("text=Sign out")
        assert page.url.endswith("/sign-in")
        page.goto("/")
        assert page.url.endswith("/sign-in")
        context.close()
