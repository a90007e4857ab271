"""Load: capacity, then five times as much, then back to normal; `python bench/load.py [--bundle DIR]`."""

from __future__ import annotations

import argparse
import asyncio
import itertools
import time
from collections import Counter

from wire import Answer, Client, Running, quantile, running, tell, ticket

CLIENTS = 4
CONNECTIONS = 400


async def closed_loop(port: int, clients: int, seconds: float, numbers: itertools.count[int]) -> list[Answer]:
    """Let clients ask one ticket after another."""
    until = time.monotonic() + seconds

    async def ask() -> list[Answer]:
        client, answers = Client(port), []
        while time.monotonic() < until:
            answers.append(await client.request("POST", "/v1/predict", ticket(next(numbers))))
        client.close()
        return answers

    return [answer for answers in await asyncio.gather(*(ask() for _ in range(clients))) for answer in answers]


async def open_loop(port: int, rate: float, seconds: float, numbers: itertools.count[int]) -> tuple[list[Answer], int]:
    """Send tickets at a rate, answered or not; returns the answers and how many got none."""
    idle: list[Client] = []
    answers: list[Answer] = []
    lost = 0

    async def ask(number: int) -> None:
        nonlocal lost
        client = idle.pop() if idle else Client(port)
        try:
            answers.append(await client.request("POST", "/v1/predict", ticket(number)))
            idle.append(client)
        except (OSError, asyncio.IncompleteReadError, TimeoutError):
            client.close()
            lost += 1

    began, tasks = time.monotonic(), set()
    for count in itertools.count():
        due = began + count / rate
        if due - began >= seconds:
            break
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        if len(tasks) < CONNECTIONS:
            task = asyncio.create_task(ask(next(numbers)))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
    await asyncio.gather(*tasks)
    for client in idle:
        client.close()
    return answers, lost


async def health_under(port: int, until: list[bool]) -> list[float]:
    """Ask /livez again and again until told to stop."""
    client, seconds = Client(port), []
    while not until[0]:
        seconds.append((await client.request("GET", "/livez")).seconds)
        await asyncio.sleep(0.1)
    return seconds


async def measure(server: Running, seconds: float, factor: float, warm_s: float) -> dict[str, object]:
    """Run the three phases and return the figures."""
    numbers = itertools.count()
    await closed_loop(server.port, CLIENTS, 2, numbers)
    calm = [answer for answer in await closed_loop(server.port, CLIENTS, warm_s, numbers) if answer.status == 200]
    capacity = len(calm) / warm_s
    before = quantile([answer.seconds for answer in calm], 0.95)
    memory, over = server.rss_mb(), [False]
    health = asyncio.create_task(health_under(server.port, over))
    answers, lost = await open_loop(server.port, factor * capacity, seconds, numbers)
    over[0] = True
    livez = await health
    grown = server.rss_mb() - memory
    statuses = Counter(answer.status for answer in answers)
    refused = [answer for answer in answers if answer.status != 200]
    back = await recovery(server.port, before, numbers)
    return {
        "capacity C, tickets/s": capacity,
        "p50 at C, s": quantile([answer.seconds for answer in calm], 0.5),
        "p95 at C, s": before,
        f"offered, {factor:g} x C, tickets/s": factor * capacity,
        "answers": len(answers),
        "statuses": dict(sorted(statuses.items())),
        "without an answer": lost,
        "slowest answer, s": max(answer.seconds for answer in answers),
        "goodput, share of C": statuses[200] / seconds / capacity,
        "p50 of refusals, s": quantile([answer.seconds for answer in refused], 0.5),
        "refusals without Retry-After": sum(not answer.headers.get("retry-after", "").isdigit() for answer in refused),
        "slowest /livez, s": max(livez),
        "memory before, MB": memory,
        "memory grown, MB": grown,
        "p95 back to normal after, s": back,
    }


async def recovery(port: int, normal: float, numbers: itertools.count[int]) -> float:
    """Return after how many seconds of calm a second's p95 is normal again, within half as much again."""
    began = time.monotonic()
    while time.monotonic() - began < 30:
        answers = await closed_loop(port, CLIENTS, 1, numbers)
        if quantile([answer.seconds for answer in answers], 0.95) <= max(1.5 * normal, normal + 0.05):
            return time.monotonic() - began
    return float("inf")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bundle", help="bundle to serve; without one, the rules answer")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--warm", type=float, default=20, help="seconds over which the capacity is measured")
    parser.add_argument("--factor", type=float, default=5)
    parser.add_argument("--workers", default="1")
    chosen = parser.parse_args()
    arguments = ["--workers", chosen.workers, *(["--bundle", chosen.bundle] if chosen.bundle else [])]
    with running(*arguments) as server:
        tell(asyncio.run(measure(server, chosen.seconds, chosen.factor, chosen.warm)))
        print(f"  exit status after SIGTERM        {server.stop()}")


if __name__ == "__main__":
    main()
