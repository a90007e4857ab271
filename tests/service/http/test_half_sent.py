"""Half-sent requests take nobody's place: neither in the queue nor on the way to health."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.server.unfinished import MOST_BYTES, UnfinishedBodies

SOCKETS, SECONDS = 300, 5.0
HALF = (
    b"POST /v1/predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    b'Content-Length: 2000\r\n\r\n{"text": "the'
)


async def half_sent(port: int, until: float, told: list[int]) -> None:
    """Send half a request and wait, again and again."""
    while time.monotonic() < until:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(HALF)
        try:
            async with asyncio.timeout(max(0.1, until - time.monotonic())):
                told.append(int((await reader.readline()).split()[1]))
        except (TimeoutError, OSError, IndexError):
            pass
        finally:
            writer.close()
        await asyncio.sleep(0.2)


async def seconds_of(client: httpx.AsyncClient, method: str, path: str, document: object = None) -> float:
    """Send a request that must be answered with 200, and return how long that took."""
    began = time.monotonic()
    body = b"" if document is None else json.dumps(document).encode()
    answer = await client.request(method, path, content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 200, (path, answer.status_code, answer.text)
    return time.monotonic() - began


async def ask(url: str, until: float) -> dict[str, list[float]]:
    """Predict and look at health until a time."""
    took: dict[str, list[float]] = {"/v1/predict": [], "/livez": [], "/readyz": []}
    async with httpx.AsyncClient(base_url=url, timeout=10) as client:
        while time.monotonic() < until:
            took["/v1/predict"].append(await seconds_of(client, "POST", "/v1/predict", {"text": "the printer jams"}))
            for path in ("/livez", "/readyz"):
                took[path].append(await seconds_of(client, "GET", path))
            await asyncio.sleep(0.02)
    return took


async def storm(url: str, port: int) -> tuple[dict[str, list[float]], dict[str, list[float]], list[int]]:
    """Ask in peace, then among half-sent requests."""
    told: list[int] = []
    before = await ask(url, time.monotonic() + 1.0)
    until = time.monotonic() + SECONDS
    senders = [asyncio.create_task(half_sent(port, until, told)) for _ in range(SOCKETS)]
    await asyncio.sleep(0.5)
    during = await ask(url, until)
    await asyncio.gather(*senders)
    return before, during, told


@pytest.mark.slow
def test_everybody_is_answered_while_bodies_are_held_back(serve: Callable[..., Any]) -> None:
    few = {"TRIAGE_QUEUE_SIZE": "8", "TRIAGE_SCORE_BATCH": "2"}
    with serve("--open-loopback", TRIAGE_RULES_ONLY="1", **few) as service:
        _, during, told = asyncio.run(storm(service.url, service.port))
        assert len(during["/v1/predict"]) >= 20
        for path, most in (("/v1/predict", 1.0), ("/livez", 0.5), ("/readyz", 0.5)):
            assert sorted(during[path])[int(0.95 * len(during[path]))] < most, path
        assert set(told) <= {408}
        assert told, "nobody was given up, though more bodies were held back than one address may have under way"


def test_of_one_owner_the_oldest_unfinished_body_is_given_up() -> None:
    bodies, given_up = UnfinishedBodies(most_of_one=2, most=4), list[int]()

    def add(number: int, *owners: str) -> None:
        bodies.add(number, owners, lambda: given_up.append(number))

    add(1, "a", "key")
    add(2, "a")
    add(3, "a")
    assert (given_up, len(bodies)) == ([1], 2)
    bodies.remove(2)
    add(4, "a")
    add(5, "b", "key")
    add(6, "c", "key")
    assert (given_up, len(bodies)) == ([1], 4)
    add(7, "d", "key")
    assert given_up == [1, 5]
    add(8, "e")
    assert given_up == [1, 5, 3]
    for number in range(10):
        bodies.remove(number)
    assert len(bodies) == 0 and bodies._of_one == {}


def test_of_one_owner_who_holds_too_much_the_oldest_large_body_is_given_up() -> None:
    bodies, given_up = UnfinishedBodies(), list[int]()
    for number in range(80):
        bodies.add(number, ["a", "key", "a"], lambda number=number: given_up.append(number))  # type: ignore[misc]
        bodies.hold(number, 1000 if number % 2 else 4 << 20)
    assert given_up == list(range(0, 80, 2))[: len(given_up)] and len(given_up) == 25
    bodies.add("other", ["b"], lambda: given_up.append(-1))
    bodies.hold("other", 4 << 20)
    bodies.hold(given_up[0], 1 << 40)  # what came of it before its connection was closed
    assert -1 not in given_up
    for name in [*range(80), "other"]:
        bodies.remove(name)
    assert bodies._held_bytes == 0 and not bodies._held_bytes_of and not bodies._of_one


def test_everybody_together_holds_no_more_than_the_process_has_room_for() -> None:
    bodies, given_up = UnfinishedBodies(largest_bytes=1 << 20), list[int]()
    for number in range(200):
        bodies.add(number, [number], lambda number=number: given_up.append(number))  # type: ignore[misc]
        bodies.hold(number, 1 << 20)
    assert given_up == list(range(200 - (MOST_BYTES >> 20)))


def head(path: str, *headers: str) -> bytes:
    """Return the head of a request whose body, of a size that only images may have, does not come."""
    stated = ("Host: 127.0.0.1", "Content-Type: application/json", "Content-Length: 4000000", *headers)
    return "\r\n".join([f"POST {path} HTTP/1.1", *stated, "", ""]).encode()


DESKS = """
[helpdesks.rt]
secrets = ["RT_SECRET"]

[helpdesks.rt.ticket]
id = "id"
body = "text"
"""


def test_strangers_are_refused_before_the_body_of_their_webhook_is_read(
    serve: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "desks.toml").write_text(DESKS)
    stated = {"TRIAGE_HELPDESKS": str(tmp_path / "desks.toml"), "RT_SECRET": "s" * 32, "TRIAGE_RULES_ONLY": "1"}
    signed = ("X-Triage-Signature: sha256=00", "X-Triage-Timestamp: 1800000000")
    with serve("--open-loopback", **stated) as service:
        for path, headers, answers in (
            ("/v1/webhooks/nobody", signed, True),
            ("/v1/webhooks/rt", (), True),
            ("/v1/webhooks/rt", signed[:1], True),
            ("/v1/webhooks/rt", signed, False),
        ):
            with socket.create_connection(("127.0.0.1", service.port), timeout=2) as connection:
                connection.sendall(head(path, *headers) + b'{"text": "the')
                if answers:
                    assert b" 401 " in connection.recv(4096).split(b"\r\n")[0], (path, headers)
                else:
                    with pytest.raises(TimeoutError):
                        connection.recv(4096)
