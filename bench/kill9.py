"""Durability under `kill -9`; `python bench/kill9.py [--rounds 40] [--postgres-rounds 5]`.

Each round lets eight clients write feedback for a moment, kills the service without warning (with PostgreSQL the
database server as well), starts it again, sends once more what was not acknowledged, and counts: every acknowledged
row must be there, and every row only once. At the end the store checks itself.
"""

from __future__ import annotations

import argparse
import os
import pwd
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from wire import children, free_port, tell, wait_ready

CLIENTS = 8
WRITES = (50, 300)
LONGEST_S = 60.0
RESTART_S = 10.0


@dataclass
class Outcome:
    """What the rounds on one database showed."""

    rounds: int = 0
    acknowledged: int = 0
    unanswered: int = 0
    missing: int = 0
    duplicate: int = 0
    sound: bool = True
    refused: Counter[int] = field(default_factory=Counter)
    restarts_s: list[float] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return self.sound and not self.missing and not self.duplicate and max(self.restarts_s) <= RESTART_S

    def document(self) -> dict[str, object]:
        return {
            "rounds": self.rounds,
            "acknowledged": self.acknowledged,
            "unanswered": self.unanswered,
            "missing": self.missing,
            "duplicate": self.duplicate,
            "sound": self.sound,
            "other_answers": dict(self.refused),
            "median_restart_s": round(statistics.median(self.restarts_s), 2),
            "slowest_restart_s": round(max(self.restarts_s), 2),
        }


class Writer:
    """One client: writes feedback on a decision of its own, and remembers what was acknowledged and what was not."""

    def __init__(self, port: int, name: str) -> None:
        self.port, self.name = port, name
        self.acknowledged: dict[str, str] = {}
        self.unanswered: list[str] = []
        self.refused: Counter[int] = Counter()
        self.decision = ""

    def prepare(self) -> None:
        ticket = {"id": self.name, "text": "the vpn drops every ten minutes"}
        self.decision = httpx.post(f"http://127.0.0.1:{self.port}/v1/predict", json=ticket, timeout=20).json()[
            "decision_id"
        ]

    def write(self, stop: threading.Event) -> None:
        with httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=20) as client:
            for number in range(1_000_000):
                if stop.is_set():
                    return
                tag = f"{self.name}-{number}"
                try:
                    self.send(client, tag)
                except httpx.HTTPError:
                    self.unanswered.append(tag)
                    return

    def send(self, client: httpx.Client, tag: str) -> None:
        said = {"verdict": "unsure", "agent": self.name, "comment": tag}
        path = f"/v1/decisions/{self.decision}/feedback"
        answer = client.post(path, json=said, headers={"Idempotency-Key": tag})
        if answer.status_code == 200:
            self.acknowledged[tag] = answer.json()["feedback_id"]
        else:
            self.refused[answer.status_code] += 1

    def check(self, outcome: Outcome) -> None:
        """Send what was not answered once more, and compare everything with what is there."""
        with httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=20) as client:
            for tag in self.unanswered:
                self.send(client, tag)
            rows = client.get(f"/v1/decisions/{self.decision}").json()["feedback"]
        there = Counter(row["comment"] for row in rows)
        ids = {row["comment"]: row["feedback_id"] for row in rows}
        outcome.acknowledged += len(self.acknowledged)
        outcome.unanswered += len(self.unanswered)
        outcome.refused += self.refused
        outcome.missing += sum(ids.get(tag) != kept for tag, kept in self.acknowledged.items())
        outcome.duplicate += sum(count - 1 for count in there.values())


@contextmanager
def service(home: Path, port: int, url: str, workers: int, took: list[float]) -> Iterator[Callable[[], None]]:
    """Run the service; what is yielded kills it and all its workers without warning."""
    command = [
        sys.executable,
        "-P",
        "-m",
        "triage",
        "serve",
        "--open-loopback",
        "--port",
        str(port),
        "--workers",
        str(workers),
    ]
    variables = {
        "TRIAGE_HOME": str(home),
        "TRIAGE_RULES_ONLY": "1",
        "TRIAGE_LOG_LEVEL": "error",
        "TRIAGE_STORE_URL": url,
    }
    log = home / "serve.log"
    began = time.monotonic()
    with log.open("ab") as sink:
        process = subprocess.Popen(command, env={**os.environ, **variables}, stdout=sink, stderr=sink)
    wait_ready(port, process, log)
    took.append(time.monotonic() - began)

    def kill() -> None:
        for pid in (process.pid, *children(process.pid)):
            os.kill(pid, signal.SIGKILL)
        process.wait(10)

    try:
        yield kill
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            process.wait(60)


def rounds(count: int, home: Path, url: str, workers: int, database: Callable[[], None] | None = None) -> Outcome:
    """Write, kill, start again and count, so many times."""
    outcome, port = Outcome(), free_port()
    for number in range(count):
        writers = [Writer(port, f"round-{number}-client-{client}") for client in range(CLIENTS)]
        with service(home, port, url, workers, outcome.restarts_s) as kill:
            for writer in writers:
                writer.prepare()
            stop = threading.Event()
            threads = [threading.Thread(target=writer.write, args=(stop,)) for writer in writers]
            for thread in threads:
                thread.start()
            _wait_for(writers, random.randint(*WRITES))
            kill()
            stop.set()
            for thread in threads:
                thread.join()
        if database is not None:
            database()
        with service(home, port, url, workers, outcome.restarts_s):
            for writer in writers:
                writer.check(outcome)
        outcome.rounds += 1
    outcome.sound = _is_sound(home, url)
    return outcome


def _is_sound(home: Path, url: str) -> bool:
    """Let the store check its own pages and shape."""
    command = [sys.executable, "-P", "-m", "triage", "store", "check"]
    environment = {**os.environ, "TRIAGE_HOME": str(home), "TRIAGE_STORE_URL": url}
    return subprocess.run(command, env=environment, stdout=subprocess.DEVNULL).returncode == 0


def _wait_for(writers: list[Writer], writes: int) -> None:
    """Wait until so many rows were acknowledged, so that a busy machine is killed in the middle of things as well."""
    deadline = time.monotonic() + LONGEST_S
    while sum(len(writer.acknowledged) for writer in writers) < writes and time.monotonic() < deadline:
        time.sleep(0.002)


class Postgres:
    """A PostgreSQL of our own, in a directory of its own, that can be killed without harm to any other."""

    def __init__(self, room: Path) -> None:
        self.binaries, self.data, self.port = _binaries(), room / "postgres", free_port()
        self.user = "postgres" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
        self.url = f"postgresql://{self.user}@127.0.0.1:{self.port}/postgres"
        self.data.mkdir()
        if os.geteuid() == 0:
            for path in (room, self.data):
                shutil.chown(path, self.user)
        self._run("initdb", "-D", str(self.data), "-A", "trust", "-U", self.user)
        self.start()

    def start(self) -> None:
        options = f"-p {self.port} -k {self.data} -c listen_addresses=127.0.0.1"
        self._run(
            "pg_ctl", "-D", str(self.data), "-o", options, "-l", str(self.data / "log"), "-w", "-t", "60", "start"
        )

    def kill(self) -> None:
        """Kill the server without warning, and start it again."""
        postmaster = int((self.data / "postmaster.pid").read_text().split()[0])
        backends = children(postmaster)
        os.kill(postmaster, signal.SIGKILL)
        deadline = time.monotonic() + 20
        while any(Path(f"/proc/{pid}").exists() for pid in backends) and time.monotonic() < deadline:
            time.sleep(0.05)
        self.start()

    def stop(self) -> None:
        self._run("pg_ctl", "-D", str(self.data), "-m", "fast", "stop")

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self.binaries / program), *arguments]
        if os.geteuid() == 0:
            command = ["runuser", "-u", self.user, "--", *command]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd="/")


def _binaries() -> Path:
    found = shutil.which("pg_ctl")
    places = [Path(found).parent] if found else sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not places:
        raise SystemExit("no PostgreSQL is installed: its rounds are left out with --postgres-rounds 0")
    return places[-1]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=40, help="rounds on SQLite")
    parser.add_argument(
        "--postgres-rounds", type=int, default=5, help="rounds on a PostgreSQL of our own, killed as well"
    )
    parser.add_argument("--workers", type=int, default=2)
    chosen = parser.parse_args()
    outcomes: dict[str, Outcome] = {}
    with tempfile.TemporaryDirectory(prefix="triage-kill9-") as folder:
        room = Path(folder)
        if chosen.rounds:
            outcomes["sqlite"] = rounds(chosen.rounds, room, "", chosen.workers)
        if chosen.postgres_rounds:
            postgres = Postgres(room)
            outcomes["postgresql"] = rounds(chosen.postgres_rounds, room, postgres.url, chosen.workers, postgres.kill)
            postgres.stop()
    tell({name: outcome.document() for name, outcome in outcomes.items()})
    return 0 if all(outcome.ok for outcome in outcomes.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
