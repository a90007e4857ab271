"""Hot swaps: two bundles in turn under load, every answer from exactly one; `python bench/swap.py --bundle DIR`."""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import shutil
import tempfile
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

from wire import Answer, Client, Running, quantile, running, tell, ticket

from models.bundle.bundle import Bundle, load_bundle, save_bundle
from models.local_store import CHAMPION, LocalModelStore
from triage.gate import Gate, TargetGate

CLIENTS = 4
PROBES = 40


def two_versions(source: Path, home: Path) -> dict[str, str]:
    """Put a bundle on a shelf twice: as it is, and with a shut gate and another policy; returns digest by version."""
    local_store, first = LocalModelStore(home), load_bundle(source)
    gate = Gate({target: TargetGate(None) for target in first.gate.targets}, languages=first.gate.languages)
    other = Bundle(first.model, first.encoder, gate, replace(first.policy, version="other"), first.rules)
    with tempfile.TemporaryDirectory() as folder:
        save_bundle(Path(folder) / "b", other, {"settings": {}}, encoder_files=source / "encoder")
        local_store.add(source, "1")
        local_store.add(Path(folder) / "b", "2")
    digests = {version: load_bundle(local_store.path(version)).digest for version in ("1", "2")}
    local_store.point(CHAMPION, "1", digests["1"])
    return digests


def essence(decision: dict[str, Any]) -> str:
    """Return what must not vary between two answers of the same model to the same ticket."""
    told = ("tier", "category", "automation", "reason", "policy_version", "targets")
    return json.dumps([decision[name] for name in told], sort_keys=True)


async def golden(port: int) -> dict[int, str]:
    """Return each probe's answer by the model in use."""
    client = Client(port)
    answers = [await client.request("POST", "/v1/predict", ticket(number)) for number in range(PROBES)]
    client.close()
    return {number: essence(_ok(answer).json()) for number, answer in enumerate(answers)}


def _ok(answer: Answer) -> Answer:
    if answer.status != 200:
        raise SystemExit(f"a probe was answered with {answer.status}")
    return answer


async def point_and_wait(port: int, home: Path, version: str, digest: str) -> float:
    """Point the champion to a version and return how long it takes to be in use, in seconds."""
    LocalModelStore(home).point(CHAMPION, version, digest)
    client, began = Client(port), time.monotonic()
    while time.monotonic() - began < 60:
        model = (await client.request("GET", "/v1/model")).json()
        if model["model_version"] == digest[:12]:
            client.close()
            return time.monotonic() - began
        await asyncio.sleep(0.02)
    raise SystemExit(f"version {version} was not taken into use")


async def ask(port: int, seen: list[tuple[int, Answer]], numbers: itertools.count[int], over: list[bool]) -> None:
    """Send probes until told to stop."""
    client = Client(port)
    while not over[0]:
        number = next(numbers) % PROBES
        seen.append((number, await client.request("POST", "/v1/predict", ticket(number))))
    client.close()


async def measure(server: Running, digests: dict[str, str], swaps: int) -> dict[str, object]:
    """Swap again and again under load, and compare every answer with what its model answers in calm."""
    answers: dict[str, dict[int, str]] = {}
    for version in ("2", "1"):
        await point_and_wait(server.port, server.home, version, digests[version])
        answers[digests[version][:12]] = await golden(server.port)
    seen: list[tuple[int, Answer]] = []
    over, numbers = [False], itertools.count()
    clients = [asyncio.create_task(ask(server.port, seen, numbers, over)) for _ in range(CLIENTS)]
    waits, memory = [], []
    for swap in range(swaps):
        version = "21"[swap % 2]
        waits.append(await point_and_wait(server.port, server.home, version, digests[version]))
        memory.append(server.rss_mb())
    over[0] = True
    await asyncio.gather(*clients)
    told = [(number, answer.json()) for number, answer in seen if answer.status == 200]
    wrong = sum(answers[decision["model_version"]][number] != essence(decision) for number, decision in told)
    early = memory[min(4, len(memory) - 1)]
    return {
        "swaps": swaps,
        "answers": len(seen),
        "statuses": dict(Counter(answer.status for _, answer in seen)),
        "answers by version": dict(Counter(decision["model_version"] for _, decision in told)),
        "answers unlike their version's": wrong,
        "p95 under swaps, s": quantile([answer.seconds for _, answer in seen], 0.95),
        "slowest answer, s": max(answer.seconds for _, answer in seen),
        "p95 until in use, s": quantile(waits, 0.95),
        "memory after swap 5, MB": early,
        "memory after the last, MB": memory[-1],
        "memory grown, share": memory[-1] / early - 1,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bundle", type=Path, help="bundle to serve, in two versions")
    parser.add_argument("--swaps", type=int, default=200)
    chosen = parser.parse_args()
    if chosen.bundle is None:
        print("  needs --bundle DIR: skipped")
        return
    home = Path(tempfile.mkdtemp(prefix="triage-swap-"))
    try:
        digests = two_versions(chosen.bundle, home)
        with running(home=home, TRIAGE_POLL_S="0.1", TRIAGE_REQUEST_DEADLINE_S="10") as server:
            tell(asyncio.run(measure(server, digests, chosen.swaps)))
    finally:
        shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    main()
