"""Take the pictures of the docs: a service of its own, at the day of an organisation that the model has never seen.

`make run` has trained the model; two thirds of the day are reviewed as people did then, the rest waits in the queue.

    python scripts/screenshots.py [BUNDLE]
"""

import io
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

day: Any = import_module("sample_day")  # beside this file
IMAGES = Path(__file__).parents[1] / "docs" / "images"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
QUALITY, MAX_KB = 76, 150
REVIEWED = 2 / 3
WRITTEN = (
    "The client drops the tunnel every ten minutes since Monday, restarting twice did not help. All of us in Leeds."
)


@contextmanager
def serving(bundle: Path) -> Iterator[str]:
    """Run the service in a home of its own."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryDirectory() as home:
        command = [sys.executable, "-P", "-m", "triage", "serve", "--port", str(port), "--open-loopback"]
        settings = {"TRIAGE_HOME": home, "TRIAGE_REQUEST_DEADLINE_S": "20"}
        with open(Path(home) / "log", "w", encoding="utf-8") as log:
            process = subprocess.Popen(
                [*command, "--bundle", str(bundle)], env={**os.environ, **settings}, stdout=log, stderr=log
            )
        try:
            wait_for(url)
            yield url
        finally:
            process.terminate()
            process.wait(40)


def wait_for(url: str, within_s: float = 300) -> None:
    """Wait until the service answers."""
    began = time.monotonic()
    while time.monotonic() - began < within_s:
        try:
            day.call(f"{url}/readyz")
            return
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.5)
    sys.exit("the service did not start")


def work_through(url: str) -> None:
    """Have the day decided as a desk's own: the first part with its reviews, the rest left to wait."""
    with tempfile.TemporaryDirectory() as folder:
        day.hold_out(Path(folder))
        rows = [json.loads(line) for line in (Path(folder) / day.DAY).read_text("utf-8").splitlines()]
    rows.sort(key=lambda row: str(row["opened_at"]))
    reviewed = round(len(rows) * REVIEWED)
    for place, row in enumerate(rows[:reviewed]):
        day.review(url, row, day.AGENTS[place % len(day.AGENTS)], requester="kim")
    for row in rows[reviewed:]:
        ticket = {name: row[name] for name in ("id", "channel", "language", "subject", "body") if row.get(name)}
        day.call(f"{url}/v1/predict", ticket)


def ticket_to_show(url: str) -> str:
    """Return the address of a ticket on which the page has most to say: one that may move, with similar tickets."""
    listed = day.call(f"{url}/v1/decisions?view=waiting&sort=unsure&limit=40")["decisions"]

    def telling(one: dict[str, Any]) -> tuple[bool, bool, int]:
        address = f"{url}/v1/tickets/{one['ticket_id']}"
        verdict, packet = day.call(f"{address}/escalation", {}), day.call(f"{address}/packet")
        quoted = verdict["verdict"] == "move" and any(part["met"] and part["quote"] for part in verdict["criteria"])
        ended = sum(bool(near["ending"]) for near in one["explanation"]["similar"])
        is_short = one["language"] == "en" and bool(one["ticket"]["subject"]) and 120 < len(one["ticket"]["body"]) < 450
        return is_short, quoted, ended + 2 * sum(bool(entry["quotes"]) for entry in packet["entries"])

    return f"/decisions/{max(listed, key=telling)['decision_id']}"


def take(page: Page, name: str) -> None:
    """Keep what the window shows as a picture."""
    picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    path = IMAGES / f"{name}.webp"
    picture.save(path, "WEBP", quality=QUALITY, method=6)
    size = path.stat().st_size // 1024
    print(f"{path.relative_to(IMAGES.parents[1])}  {picture.width} × {picture.height}  {size} KB")
    if size > MAX_KB:
        sys.exit(f"{path.name} has {size} KB: {MAX_KB} are allowed")


def window(browser: Browser, url: str, width: int, height: int, scheme: Any = "light") -> Page:
    """Open a window."""
    page = browser.new_context(
        base_url=url, viewport={"width": width, "height": height}, color_scheme=scheme, locale="en-GB"
    ).new_page()
    page.set_default_timeout(60_000)
    return page


def pictures(browser: Browser, url: str) -> None:
    """Take every picture."""
    ticket = ticket_to_show(url)
    wide = window(browser, url, 1600, 1000)
    wide.goto("/")
    take(wide, "queue")
    wide.goto(ticket)
    wide.locator(".similar summary").first.click()
    wide.evaluate("window.scrollTo(0, 0)")
    wide.set_viewport_size({"width": 1600, "height": 1280})
    take(wide, "ticket")
    wide.set_viewport_size({"width": 1600, "height": 1000})
    wide.goto("/overview")
    take(wide, "overview")
    wide.goto("/try")
    wide.fill("#body", WRITTEN)
    wide.wait_for_selector("#result .decision")
    take(wide, "try")
    dark = window(browser, url, 1600, 1000, "dark")
    dark.goto(ticket)
    take(dark, "ticket-dark")
    phone = window(browser, url, 390, 800, "dark")
    phone.goto("/")
    take(phone, "queue-phone")


def main() -> None:
    """Serve, work through the day, and take the pictures."""
    default = Path(os.environ.get("TRIAGE_HOME", ".triage")) / "first-bundle"
    bundle = Path(sys.argv[1]) if len(sys.argv) > 1 else default
    if not bundle.is_dir():
        sys.exit(f"there is no model in {bundle}: make run trains it")
    with serving(bundle.resolve()) as url, sync_playwright() as driver:
        work_through(url)
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--no-first-run"])
        pictures(browser, url)
        browser.close()


if __name__ == "__main__":
    main()
