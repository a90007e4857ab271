"""People in Chromium: the first admin signs in, makes an account, and ends its session; errors lead back."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe

PASSWORD = "four words in a row"
WIDTHS = (360, 1280, 1920)
pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def desk(
    tmp_path_factory: pytest.TempPathFactory, run_service: Callable[..., AbstractContextManager[Any]]
) -> Iterator[Any]:
    """A service by rules alone, open on loopback, whose first account is made while it runs."""
    home = tmp_path_factory.mktemp("people")
    with run_service(home, "--open-loopback", TRIAGE_RULES_ONLY="1") as service:
        service.home = home
        yield service


def make_admin(home: Path) -> None:
    from api.security.passwords import hash_password
    from api.store.people.users import Rights
    from api.store.repository import open_repository

    store = open_repository(home)
    if store.user("anna") is None:
        store.add_user("anna", Rights(["admin"]), hash_password(PASSWORD))
    store.close()


def sign_in(page: Any, name: str, password: str) -> None:
    page.goto("/sign-in")
    page.fill("#name", name)
    page.fill("#password", password)
    page.click("main button.primary")


def test_from_an_open_desk_to_people_who_sign_in(chromium: Any, desk: Any) -> None:
    context = chromium.new_context(base_url=desk.url)
    page = context.new_page()
    page.set_default_timeout(20_000)
    assert page.goto("/people").status == 200 and "Nobody has an account yet" in page.inner_text("main")
    make_admin(desk.home)
    page.wait_for_timeout(2500)
    page.goto("/")
    assert page.url.endswith("/sign-in")
    sign_in(page, "anna", "not the password")
    assert "do not belong together" in page.inner_text("[role=alert]")
    sign_in(page, "anna", PASSWORD)
    page.wait_for_url("**/")
    page.goto("/people")
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    found = [one["id"] for one in Axe().run(page).response["violations"] if one["impact"] in ("serious", "critical")]
    assert found == []
    assert "Change the account of anna" in page.locator(".persons summary").first.text_content()
    page.fill("#new-name", "<img src=x onerror=alert(1)>")
    page.click("text=Make it")
    password = page.inner_text(".told code")
    assert "<img" in page.inner_text(".told")
    other = chromium.new_context(base_url=desk.url)
    theirs = other.new_page()
    sign_in(theirs, "<img src=x onerror=alert(1)>", password)
    theirs.wait_for_url("**/")
    assert theirs.goto("/people").status == 200 and "anna" not in theirs.inner_text("main")
    page.goto("/people")
    page.click(".session:has-text('<img') button")
    assert "The session has ended" in page.inner_text("main")
    theirs.wait_for_timeout(2500)
    theirs.goto("/")
    assert theirs.url.endswith("/sign-in")
    assert page.goto("/no/such/page").status == 404
    page.click("text=Back to the queue")
    page.wait_for_url("**/")
    other.close()
    context.close()


def test_the_command_line_makes_lists_and_disables_accounts(tmp_path: Path) -> None:
    import json
    import os

    code = "from api.cli.users import users; import sys; sys.exit(users(sys.argv[1:]))"

    def triage(*words: str, stdin: str = "") -> Any:
        done = subprocess.run(
            [sys.executable, "-P", "-c", code, *words], input=stdin, text=True, capture_output=True,
            env={**os.environ, "TRIAGE_HOME": str(tmp_path)}, timeout=60,
        )  # fmt: skip
        return done.returncode, json.loads(done.stdout) if "--json" in words and done.stdout else done.stdout

    status, made = triage("create", "anna", "--role", "admin,lead", "--json")
    assert status == 0 and made["roles"] == ["admin", "lead"] and len(made["password"]) >= 12
    assert triage("create", "kim", "--password-file", "-", "--json", stdin=PASSWORD + "\n")[1].get("password") is None
    changed = triage("roles", "kim", "--role", "lead", "--clearance", "2", "--group", "network", "--json")[1]
    assert changed["groups"] == ["network"]
    assert [one["name"] for one in triage("list", "--json")[1]["users"]] == ["anna", "kim"]
    assert triage("disable", "kim")[0] == 0 and "disabled" in triage("list")[1]
