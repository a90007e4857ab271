"""Several workers where there is no room: a full disk, full shared memory, a folder that was cleaned away."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.security.api_keys import create_key
from api.store.repository import open_repository

Serve = Callable[..., Any]
Until = Callable[..., float]
pytestmark = pytest.mark.slow
_OWN_MEMORY = 'mount -t tmpfs -o size=$0 tmpfs /dev/shm && exec "$@"'
"""Runs a command with a /dev/shm of its own and of a size."""
_PARALLEL = 24


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """Return a disk of 24 MB."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(place)], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip("this user may not mount a small disk")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def with_memory(size: str) -> tuple[str, ...]:
    """Return the command that runs another with a /dev/shm of a size, or skip the test where that is not allowed."""
    command = ("unshare", "-m", "--propagation", "private", "sh", "-c", _OWN_MEMORY, size)
    if shutil.which("unshare") is None or subprocess.run([*command, "true"], check=False).returncode:
        pytest.skip("this user may not mount a /dev/shm of another size")
    return command


def fill(place: Path) -> Path:
    """Take all the room there is, to the last byte."""
    filler = place / "filler"
    with filler.open("ab", buffering=0) as file:
        for size in (1 << 16, 1 << 12, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                continue
    return filler


def answers(service: Any, count: int, **headers: str) -> list[tuple[int, bool]]:
    """Ask over connections of their own, so that each worker answers some; return what the answers say."""
    found = []
    for number in range(count):
        ticket = {"text": f"the printer jams on floor {number} at {time.monotonic_ns()}"}
        answer = httpx.post(f"{service.url}/v1/predict", json=ticket, headers=headers, timeout=30)
        found.append((answer.status_code, answer.json().get("stored")))
    return found


def touch_many_counts(service: Any) -> None:
    """Make the workers count what they had not counted before, in new places of their files."""
    for path in ("/v1/queue", "/v1/model", "/metrics", "/openapi.json", "/v1/decisions", "/v1/tickets/a", "/nowhere"):
        for method in ("GET", "POST", "PUT", "DELETE"):
            for _ in range(4):
                httpx.request(method, f"{service.url}{path}", timeout=30)


@pytest.mark.parametrize("memory", ["64k", "6m"])
def test_a_full_disk_ends_no_worker(serve: Serve, until: Until, disk: Path, memory: str) -> None:
    within = with_memory(memory)  # of 64 kB: no room from the start on; of 6 MB: filled later, as the disk is
    temporary = disk / "tmp"
    temporary.mkdir()
    options = {"TRIAGE_RULES_ONLY": "1", "TMPDIR": str(temporary)}
    with serve("--open-loopback", "--workers", 2, home=disk, ready="/readyz", within=within, **options) as service:
        until(lambda: service.serve(2), 30)
        assert {status for status, _ in answers(service, 4)} == {200}
        before = service.workers()
        assert (not list(temporary.glob("triage-metrics-*"))) == (memory == "6m")
        fillers = [fill(disk), fill(Path(f"/proc/{service.process.pid}/root/dev/shm"))]
        touch_many_counts(service)
        until(lambda: set(answers(service, 8)) == {(200, False)}, 30)
        assert service.workers() == before
        os.kill(before[0], signal.SIGKILL)  # what it counted is put to that of the dead, and another starts
        until(lambda: len(set(service.workers()) - {before[0]}) == 2, 20, service.log)
        time.sleep(6)
        assert {status for status, _ in answers(service, _PARALLEL)} == {200}
        assert service.process.poll() is None and service.client.get("/metrics").status_code == 200
        for filler in fillers:
            filler.unlink()
        until(lambda: set(answers(service, 4)) == {(200, True)}, 30)
        assert service.stop() == 0


def test_a_rate_that_cannot_be_counted_together_is_counted_alone(serve: Serve, until: Until, disk: Path) -> None:
    within = with_memory("64k")
    store = open_repository(disk)
    key = {"Authorization": f"Bearer {create_key(store, 'one', ['predict'])[0]}"}
    store.close()
    limits = {"TRIAGE_RATE_LIMIT": "40/minute", "TRIAGE_RULES_ONLY": "1", "TMPDIR": str(disk)}
    with serve("--workers", 2, home=disk, ready="/readyz", within=within, **limits) as service:
        until(lambda: service.serve(2), 30)
        fill(disk)
        until(lambda: set(answers(service, 1, **key)) == {(200, False)}, 10)
        assert {status for status, _ in answers(service, 8, **key)} == {200}
        sign_in = httpx.post(f"{service.url}/sign-in", data={"name": "nobody", "password": "x" * 12}, timeout=30)
        assert sign_in.status_code < 500
        until(lambda: 429 in {status for status, _ in answers(service, 10, **key)}, 30)  # each has its limit


def test_a_folder_that_was_cleaned_away_comes_back(serve: Serve, until: Until, tmp_path: Path) -> None:
    options = {"TRIAGE_RULES_ONLY": "1", "TRIAGE_RATE_LIMIT": "1000/minute"}
    with serve("--open-loopback", "--workers", 2, ready="/readyz", **options) as service:
        until(lambda: service.serve(2), 30)
        time.sleep(5.5)
        assert {status for status, _ in answers(service, 4)} == {200}
        folder = folder_of(service)
        shutil.rmtree(folder)
        assert {httpx.get(f"{service.url}/metrics", timeout=30).status_code for _ in range(8)} == {200}
        killed = service.workers()[0]
        os.kill(killed, signal.SIGKILL)
        until(lambda: len(set(service.workers()) - {killed}) == 2, 20, service.log)
        assert {status for status, _ in answers(service, _PARALLEL)} == {200}
        assert "FileNotFoundError" not in service.log.read_text()
        left = set(service.workers())
        until(lambda: bool(answers(service, 8)) and counted_by(folder) >= left, 20)  # those before as well
        counts = httpx.get(f"{service.url}/metrics", timeout=30).text
        made = [line for line in counts.splitlines() if line.startswith("triage_decisions_total")]
        assert made and sum(float(line.rpartition(" ")[2]) for line in made) > _PARALLEL
        assert service.stop() == 0
    assert not folder.exists()


def folder_of(service: Any) -> Path:
    """Return where a worker of a service shares its counts."""
    variables = Path(f"/proc/{service.workers()[0]}/environ").read_bytes().split(b"\0")
    found = [one.partition(b"=")[2] for one in variables if one.startswith(b"PROMETHEUS_MULTIPROC_DIR=")]
    return Path(found[0].decode())


def counted_by(folder: Path) -> set[int]:
    """Return the processes whose counts lie in a folder."""
    return {int(file.stem.rpartition("_")[2]) for file in folder.glob("counter_*.db")}


def test_a_start_right_after_a_kill_waits_for_what_is_left(serve: Serve, until: Until, tmp_path: Path) -> None:
    options = {"TRIAGE_RULES_ONLY": "1", "TRIAGE_DRAIN_S": "3"}
    with serve("--open-loopback", "--workers", 2, ready="/readyz", **options) as service:
        until(lambda: service.serve(2), 30)
        folder = folder_of(service)
        service.process.kill()
        service.process.wait(10)
        command = [sys.executable, "-P", "-m", "triage", "serve", "--port", str(service.port)]
        environment = {**os.environ, **options, "TRIAGE_HOME": str(tmp_path)}
        again = subprocess.Popen([*command, "--open-loopback"], env=environment, stderr=subprocess.PIPE, text=True)
        try:
            assert again.stderr is not None
            assert "workers whose supervisor was killed still answer" in again.stderr.readline()
            until(lambda: not folder.exists(), 30)
            until(lambda: answers_alive(service.url), 30)
            assert again.poll() is None
        finally:
            again.terminate()
            again.communicate(timeout=40)


def answers_alive(url: str) -> bool:
    try:
        return httpx.get(f"{url}/livez", timeout=5).status_code == 200
    except httpx.TransportError:
        return False


def test_a_worker_that_stands_still_for_long_is_replaced(serve: Serve, until: Until) -> None:
    options = {"TRIAGE_RULES_ONLY": "1", "TRIAGE_STUCK_S": "5"}
    with serve("--open-loopback", "--workers", 2, ready="/readyz", **options) as service:
        until(lambda: service.serve(2), 30)
        time.sleep(6.5)
        assert "worker_stuck" not in service.log.read_text()
        first, second = service.workers()
        os.kill(first, signal.SIGSTOP)
        until(lambda: first not in service.workers() and len(service.workers()) == 2, 30, service.log)
        assert second in service.workers() and '"worker_stuck"' in service.log.read_text()
        until(lambda: set(answers(service, 8)) == {(200, True)}, 20)
