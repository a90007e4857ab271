"""What the load drivers share: a bare HTTP client, a server of their own, and its memory."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

WORDS = (
    "the vpn drops every ten minutes since the update",
    "my password does not work and the reset mail never comes",
    "printer on floor two prints blank pages",
    "please order a monitor for our new colleague",
    "invoice totals are wrong for everybody since the release",
    "laptop does not start after the night",
    "i cannot open the shared folder of my team",
    "outlook asks for the password again and again",
    "the web shop shows an error at checkout",
    "where do i find the travel form",
)


def ticket(number: int) -> dict[str, Any]:
    """Make the ticket of a number: some sentence, never the same text twice."""
    return {
        "subject": WORDS[number % len(WORDS)],
        "body": f"{WORDS[(number * 7) % len(WORDS)]}, ticket number {number}",
    }


@dataclass
class Answer:
    """One answer: status, headers in lower case, body, seconds it took."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    seconds: float
    at: float = field(default_factory=time.monotonic)

    def json(self) -> Any:
        return json.loads(self.body)


class Client:
    """One keep-alive connection."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def request(self, method: str, path: str, document: object = None, timeout_s: float = 60) -> Answer:
        body = b"" if document is None else json.dumps(document).encode()
        head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\nContent-Length: {len(body)}\r\n"
        head += "Content-Type: application/json\r\n\r\n" if body else "\r\n"
        began = time.monotonic()
        async with asyncio.timeout(timeout_s):
            if self._streams is None:
                self._streams = await asyncio.open_connection("127.0.0.1", self.port)
            reader, writer = self._streams
            writer.write(head.encode() + body)
            raw = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            headers = {
                name.lower(): value.strip() for name, _, value in (line.partition(":") for line in raw[1:] if line)
            }
            content = await reader.readexactly(int(headers.get("content-length", 0)))
        if headers.get("connection") == "close":
            self.close()
        return Answer(int(raw[0].split()[1]), headers, content, time.monotonic() - began)

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Running:
    """A server under test."""

    process: subprocess.Popen[bytes]
    port: int
    home: Path
    log: Path

    def rss_mb(self) -> float:
        """Resident memory of the server and its workers, in MB."""
        pids = [self.process.pid, *children(self.process.pid)]
        return sum(_rss_kb(pid) for pid in pids) / 1024

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)


def children(pid: int) -> list[int]:
    """Return the processes that a process started."""
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def _rss_kb(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("VmRSS")), 0)


@contextmanager
def running(*arguments: str, home: Path | None = None, **environment: str) -> Iterator[Running]:
    """Run `triage serve --open-loopback` on a free port, with a home of its own where none is given."""
    with tempfile.TemporaryDirectory(prefix="triage-bench-") as folder:
        home = home or Path(folder)
        port, log = free_port(), Path(folder) / "serve.log"
        command = [sys.executable, "-P", "-m", "triage", "serve", "--open-loopback", "--port", str(port), *arguments]
        variables = {**os.environ, "TRIAGE_HOME": str(home), "TRIAGE_RULES_ONLY": "1", "TRIAGE_LOG_LEVEL": "warning"}
        with log.open("wb") as sink:
            process = subprocess.Popen(command, env={**variables, **environment}, stdout=sink, stderr=sink)
        try:
            wait_ready(port, process, log)
            yield Running(process, port, home, log)
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                process.wait(60)


def wait_ready(port: int, process: subprocess.Popen[bytes], log: Path, within_s: float = 60) -> float:
    """Wait for /readyz to answer 200, and return the seconds it took."""
    began = time.monotonic()
    while time.monotonic() - began < within_s:
        if process.poll() is not None:
            raise SystemExit(f"the server did not start:\n{log.read_text()[-2000:]}")
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=2):
                return time.monotonic() - began
        except (urllib.error.URLError, OSError):
            time.sleep(0.02)
    raise SystemExit(f"not ready within {within_s} s:\n{log.read_text()[-2000:]}")


def quantile(values: list[float], share: float) -> float:
    """Return the value below which a share of the values lies; 0.0 for none."""
    ranked = sorted(values)
    return ranked[min(len(ranked) - 1, int(share * len(ranked)))] if ranked else 0.0


def tell(figures: Mapping[str, object]) -> None:
    """Print figures, one a line."""
    for name, value in figures.items():
        print(f"  {name:<32} {round(value, 3) if isinstance(value, float) else value}")
