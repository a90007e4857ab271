"""Webhooks to their committed answer: capacity of a closed loop, then the times at half of it.

python -m bench.webhooks [--bundle DIR] [--seconds 30]
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx

from api.helpdesks.signatures import PRESETS

SECRET = "a secret of sixteen or more"
FILE = """
[helpdesks.rt]
secrets = ["RT_SECRET"]
ticket = { when = { event = "created" }, id = "id", subject = "subject", body = "text" }
"""
TEXTS = (
    "The printer on the third floor is jammed again, I have tried to turn it off and on",
    "My VPN drops every ten minutes since the update of yesterday, restarting did not help",
    "I forgot my password and cannot sign in to the portal any more",
    "Outlook shows an old calendar, colleagues see the right one",
)


async def send(client: httpx.AsyncClient, number: int) -> float:
    """Send a webhook, and return the seconds until its decision was committed."""
    body = json.dumps(
        {"event": "created", "id": f"W-{number}", "subject": f"Ticket {number}", "text": TEXTS[number % len(TEXTS)]}
    ).encode()
    now = f"{time.time():.0f}"
    headers = {"X-Triage-Timestamp": now, "X-Triage-Signature": PRESETS["triage"].of(SECRET.encode(), body, now)}
    began = time.perf_counter()
    answer = await client.post("/v1/webhooks/rt", content=body, headers=headers)
    assert answer.status_code == 200 and answer.json()["outcome"] == "decided", answer.text
    return time.perf_counter() - began


async def measure(url: str, seconds: float) -> None:
    numbers = itertools.count()
    async with httpx.AsyncClient(base_url=url, timeout=30, limits=httpx.Limits(max_connections=200)) as client:
        until, answered = time.monotonic() + seconds, 0

        async def ask() -> None:
            nonlocal answered
            while time.monotonic() < until:
                await send(client, next(numbers))
                answered += 1

        await asyncio.gather(*(ask() for _ in range(4)))
        capacity = answered / seconds
        began, tasks = time.monotonic(), []
        for count in range(int(seconds * capacity / 2)):
            await asyncio.sleep(max(0.0, began + count / (capacity / 2) - time.monotonic()))
            tasks.append(asyncio.create_task(send(client, next(numbers))))
        times = sorted(await asyncio.gather(*tasks))
    ranks = {
        name: times[min(len(times) - 1, int(share * len(times)))] for name, share in (("median", 0.5), ("p95", 0.95))
    }
    print(f"capacity {capacity:.0f} webhooks a second; at half of it {len(times)} webhooks, all committed")
    print(", ".join(f"{name} {1000 * value:.0f} ms" for name, value in ranks.items()) + f", slowest {times[-1]:.2f} s")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--bundle")
    parser.add_argument("--seconds", type=float, default=30.0)
    options = parser.parse_args()
    room = Path(tempfile.mkdtemp(prefix="webhooks-"))
    (room / "desks.toml").write_text(FILE)
    environment = os.environ | {
        "TRIAGE_HOME": str(room / "home"), "TRIAGE_HELPDESKS": str(room / "desks.toml"), "RT_SECRET": SECRET,
    }  # fmt: skip
    model = ["--bundle", options.bundle] if options.bundle else []
    environment |= {} if model else {"TRIAGE_RULES_ONLY": "1"}
    command = [sys.executable, "-P", "-m", "triage", "serve", "--open-loopback", "--port", "0", *model]
    log = room / "log"
    with log.open("w") as sink, subprocess.Popen(command, env=environment, stdout=sink, stderr=sink) as process:
        try:
            url = address(log)
            asyncio.run(measure(url, options.seconds))
        finally:
            process.terminate()


def address(log: Path) -> str:
    """Return where the service says that it is, once it answers."""
    for _ in range(600):
        words = log.read_text().split()
        url = next((word.rstrip("/") for word in words if word.startswith("http://")), "")
        try:
            if url and httpx.get(f"{url}/livez", timeout=2).status_code == 200:
                return url
        except httpx.HTTPError:
            pass
        time.sleep(0.1)
    raise AssertionError(log.read_text())


if __name__ == "__main__":
    main()
