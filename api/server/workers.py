"""Several serving processes on one socket, each started anew when it dies."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from types import FrameType
from typing import IO

import structlog

from api.server.address import announce
from api.server.listener import ConnectionCounts, ConnectionShare
from api.server.shared_folder import SharedFolder
from api.server.signals import on_hangup
from api.settings import Settings, load_settings
from api.telemetry import MULTIPROCESS_VARIABLE, absorb_metrics
from models.serving.garbage import without_collection
from triage.errors import TriageError

_TICK_S = 0.1
_QUICK_S = 5.0
"""A worker that dies within this time, in seconds, did not get as far as serving."""
_PAUSES_S = (0.0, 0.5, 1.0, 2.0, 5.0)
"""Pauses before the next start after so many quick deaths in a row, in seconds."""
MARGIN_S = 5.0
"""What a worker may take beyond its own drain and grace, in seconds, before it is killed."""
_CANNOT_START = 2
"""Exit status of a worker whose settings, store or bundle cannot be used."""
_ALLOCATOR = {"MALLOC_ARENA_MAX": "2"}
"""How a worker gets memory, unless its operator says otherwise. Of glibc each thread has an arena of its own, and what
is free in one serves no other: with two a worker holds 15 MB less after 300 tickets, and takes no longer for one."""
log = structlog.get_logger(__name__)


class _Slot:
    """The place of one worker: its number, its process, its quick deaths in a row, and for how long it is silent."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.process: subprocess.Popen[bytes] | None = None
        self.started = 0.0
        self.quick_deaths = 0
        self.due = 0.0
        self.beat: int | None = None
        self.silent_ticks = 0


class Supervisor:
    """Keeps as many workers running as the settings say, until told to stop.

    The first one starts alone: what keeps it from serving is said once, and the address is told when somebody answers.

    Args:
        settings: The service's settings.
        sock: The bound socket that all workers let in from.
        environment: Settings as environment variables, for the workers.
    """

    def __init__(self, settings: Settings, sock: socket.socket, environment: Mapping[str, str]) -> None:
        self._settings = settings
        self._sock = sock
        self._environment = environment
        self._slots = [_Slot(number) for number in range(settings.workers)]
        self._shared = _memory()
        self._connections = ConnectionCounts(self._shared.fileno(), settings.workers)
        self._stopping = self._cannot_start = False
        self._has_served = False  # from then on what keeps one worker from starting must not stop the others
        self._folder = SharedFolder(settings.workers, sock.getsockname()[1])

    def run(self) -> int:
        """Start the workers and keep them running; returns the exit status."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        on_hangup(self._on_signal)
        try:
            while not self._stopping:
                for slot in self._slots if self._has_served else self._slots[:1]:
                    self._look_after(slot)
                time.sleep(_TICK_S)
            return self._stop()
        finally:
            self._folder.remove()

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._stopping = True

    def _look_after(self, slot: _Slot) -> None:
        now = time.monotonic()
        if slot.process is not None:
            quick = now - slot.started < _QUICK_S
            if slot.process.poll() is None:
                self._note_whether_it_serves(slot)
                self._end_if_stuck(slot, slot.process)
                return
            slot.quick_deaths = slot.quick_deaths + 1 if quick else 0
            slot.due = now + _PAUSES_S[min(slot.quick_deaths, len(_PAUSES_S) - 1)]
            self._cannot_start = slot.process.returncode == _CANNOT_START and not self._has_served
            if not self._cannot_start:  # the worker has said why
                log.error("worker_died", pid=slot.process.pid, status=slot.process.returncode)
            absorb_metrics(self._folder.path, slot.process.pid)
            self._connections.clear(slot.number)
            self._stopping = self._stopping or self._cannot_start
            slot.process = None
        if now >= slot.due and not self._stopping:
            slot.process = self._start(slot)
            slot.started = now

    def _note_whether_it_serves(self, slot: _Slot) -> None:
        if not self._has_served and self._connections.beat(slot.number) is not None:
            self._has_served = True
            announce(self._sock)

    def _end_if_stuck(self, slot: _Slot, process: subprocess.Popen[bytes]) -> None:
        """Kill a worker that serves and whose event loop has not come round for long; it is replaced as any other.

        What is counted is how often it was looked at, not time, which passes also while the whole machine sleeps.
        """
        beat = self._connections.beat(slot.number)
        slot.silent_ticks = 0 if beat is None or beat != slot.beat else slot.silent_ticks + 1
        slot.beat = beat
        if slot.silent_ticks * _TICK_S >= self._settings.stuck_s:
            log.error("worker_stuck", pid=process.pid, seconds=self._settings.stuck_s)
            slot.silent_ticks = 0
            process.kill()

    def _start(self, slot: _Slot) -> subprocess.Popen[bytes]:
        self._connections.clear(slot.number)  # until it serves
        self._folder.put_back()
        inherited = self._sock.fileno(), self._shared.fileno()
        environment = {**_ALLOCATOR, **os.environ, **self._environment, MULTIPROCESS_VARIABLE: str(self._folder.path)}
        said = (*inherited, slot.number, os.getpid())
        held = self._folder.fileno()
        kept = inherited if held is None else (*inherited, held)
        command = [sys.executable, "-P", "-m", "api.server.workers", *map(str, said)]
        return subprocess.Popen(command, env=environment, pass_fds=kept, start_new_session=True)

    def _stop(self) -> int:
        self._sock.close()
        running = [slot.process for slot in self._slots if slot.process is not None]
        for process in running:
            process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + self._settings.drain_s + self._settings.grace_s + MARGIN_S
        for process in running:
            try:
                process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        return _CANNOT_START if self._cannot_start else 0


def _memory() -> IO[bytes]:
    """Open a file in memory, where the system has such, as a full disk would take the place of any other."""
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("triage-connections"), "w+b")
    return tempfile.TemporaryFile()


def serve_here(
    sock: socket.socket, settings: Settings, parent: int | None = None, share: ConnectionShare | None = None
) -> None:
    """Load the service, which a supervisor never needs, and serve in this process; all else is as in `serve_on`."""
    with without_collection():
        from api.server.server import serve_on
    serve_on(sock, settings, parent, share)


def main() -> int:
    """Be one worker: serve on an inherited socket."""
    descriptor, shared, number, parent = map(int, sys.argv[1:])
    try:
        settings = load_settings()
        share = ConnectionCounts(shared, settings.workers).share(number)
        serve_here(socket.socket(fileno=descriptor), settings, parent, share)
    except TriageError as error:
        sys.stderr.write(f"triage serve: {' '.join(str(error).split())}\n")
        return _CANNOT_START
    return 0


if __name__ == "__main__":
    sys.exit(main())
