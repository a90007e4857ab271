"""Far more than can be answered: refused at once and told when to come back, while health stays well."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

pytestmark = pytest.mark.slow
CONNECTIONS, SECONDS, DEADLINE_S = 60, 3.0, 2.0
Answer = tuple[int, dict[str, str], float]


async def ask(streams: tuple[asyncio.StreamReader, asyncio.StreamWriter], path: str, document: object = None) -> Answer:
    """Send one request on a connection; returns status, headers and seconds."""
    reader, writer = streams
    body = b"" if document is None else json.dumps(document).encode()
    kind = "Content-Type: application/json\r\n" if body else ""
    head = (
        f"{'POST' if body else 'GET'} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{kind}Content-Length: {len(body)}\r\n\r\n"
    )
    began = time.monotonic()
    writer.write(head.encode() + body)
    lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:] if line)}
    await reader.readexactly(int(headers["content-length"]))
    return int(lines[0].split()[1]), headers, time.monotonic() - began


async def storm(port: int) -> tuple[list[Answer], list[Answer]]:
    """Send tickets on many connections as fast as they are answered, and look at /livez meanwhile."""
    until, tickets, health = time.monotonic() + SECONDS, list[Answer](), list[Answer]()

    async def client(name: int) -> None:
        streams = await asyncio.open_connection("127.0.0.1", port)
        while time.monotonic() < until:
            tickets.append(await ask(streams, "/v1/predict", {"text": f"printer {name} {len(tickets)}"}))
        streams[1].close()

    async def look() -> None:
        streams = await asyncio.open_connection("127.0.0.1", port)
        while time.monotonic() < until:
            health.append(await ask(streams, "/livez"))
            await asyncio.sleep(0.05)
        streams[1].close()

    async with asyncio.timeout(60):
        await asyncio.gather(look(), *(client(name) for name in range(CONNECTIONS)))
    return tickets, health


def test_a_storm_is_refused_in_time_and_passes(serve: Callable[..., Any]) -> None:
    few = {"TRIAGE_QUEUE_SIZE": "8", "TRIAGE_SCORE_BATCH": "2", "TRIAGE_REQUEST_DEADLINE_S": str(DEADLINE_S)}
    with serve("--open-loopback", TRIAGE_RULES_ONLY="1", **few) as service:
        tickets, health = asyncio.run(storm(service.port))
        statuses = Counter(status for status, _, _ in tickets)
        assert set(statuses) == {200, 503}, statuses
        for status, headers, _ in tickets:
            if status == 503:
                assert headers["content-type"] == "application/problem+json" and int(headers["retry-after"]) >= 1
        assert max(seconds for _, _, seconds in tickets) < 1.1 * DEADLINE_S + 1  # a second for a machine that is busy
        assert {status for status, _, _ in health} == {200} and max(seconds for _, _, seconds in health) < 2
        assert service.predict(text="the printer jams").status_code == 200
        refused = [line for line in service.client.get("/metrics").text.splitlines() if "refused_total{" in line]
        assert sum(float(line.split()[-1]) for line in refused) == statuses[503]
