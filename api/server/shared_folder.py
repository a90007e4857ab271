"""The folder in which the processes of one service count together, and what a killed supervisor leaves of it behind."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import structlog

from api.shared_values import is_own

PREFIX = "triage-metrics-"
_MEMORY = Path("/dev/shm")
_ROOM_OF_ONE = 1 << 20
"""What one process writes there, in bytes: a quarter of that, and more where labels are many."""
_HELD = "held"
"""File that the supervisor and its workers have open and locked; it says whose the folder is."""
log = structlog.get_logger(__name__)


class SharedFolder:
    """A folder that all processes of a service write to: in memory where there is room, else among temporary files.

    Nothing in it is worth a request: where it cannot be made, each process counts alone.

    Args:
        processes: How many will write there.
        port: That the service listens on, for whoever starts the next one.
    """

    def __init__(self, processes: int, port: int) -> None:
        self._port = port
        self._lock: IO[str] | None = None
        self.path = self._made(processes)

    def fileno(self) -> int | None:
        """Return the descriptor that workers inherit, so that the folder is held as long as one of them is there."""
        return None if self._lock is None else self._lock.fileno()

    def put_back(self) -> None:
        """Make the folder anew where it was cleaned away, as is done with temporary files that look old."""
        if os.path.lexists(self.path):
            return
        try:
            self.path.mkdir(mode=0o700)
            self._hold(self.path)
        except OSError as error:
            log.warning("counts_not_shared", kind=type(error).__name__)

    def remove(self) -> None:
        """Remove the folder with all that is in it."""
        shutil.rmtree(self.path, ignore_errors=True)
        if self._lock is not None:
            self._lock.close()

    def _made(self, processes: int) -> Path:
        places = list(_places())
        for place in places:
            if place == _MEMORY and not _has_room(place, processes * _ROOM_OF_ONE):
                continue
            folder = self._made_in(place)
            if folder is not None:
                return folder
        return (places or [_MEMORY])[-1] / f"{PREFIX}{os.getpid()}"

    def _made_in(self, place: Path) -> Path | None:
        folder = None
        try:
            folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=place))
            self._hold(folder)
        except OSError as error:
            log.warning("counts_not_shared", kind=type(error).__name__)
            if folder is not None:
                shutil.rmtree(folder, ignore_errors=True)
            return None
        return folder

    def _hold(self, folder: Path) -> None:
        """Lock a file under another name first: what has its name can be locked by nobody but those whose it is."""
        draft = folder / f"{_HELD}.draft"
        lock = draft.open("w")
        fcntl.flock(lock, fcntl.LOCK_EX)
        if self._lock is not None:
            self._lock.close()
        self._lock = lock
        print(os.getpid(), self._port, file=lock, flush=True)
        draft.rename(folder / _HELD)


def remove_left_behind() -> None:
    """Remove the folders of services of which no process is left."""
    for held in _held_files():
        if not _is_held(held):
            shutil.rmtree(held.parent, ignore_errors=True)


def is_left_behind(port: int) -> bool:
    """Say whether a port belongs to workers that are about to end, because their supervisor was killed."""
    return any(_port_of_orphans(held) == port for held in _held_files())


def _places() -> Iterator[Path]:
    if os.access(_MEMORY, os.W_OK | os.X_OK):
        yield _MEMORY
    try:
        yield Path(tempfile.gettempdir())
    except FileNotFoundError:  # it tries by writing, and the disk is full
        return


def _has_room(place: Path, size: int) -> bool:
    room = os.statvfs(place)
    return room.f_bavail * room.f_frsize >= size


def _held_files() -> Iterator[Path]:
    for place in _places():
        for folder in place.glob(f"{PREFIX}*"):
            if is_own(folder) and (folder / _HELD).is_file():
                yield folder / _HELD


def _is_held(held: Path) -> bool:
    try:
        with held.open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False


def _port_of_orphans(held: Path) -> int | None:
    """Return the port of workers whose supervisor is gone; None where it is there, or they are not."""
    try:
        supervisor, port = map(int, held.read_text().split())
        os.kill(supervisor, 0)
    except ProcessLookupError:
        return port if _is_held(held) else None
    except (OSError, ValueError):
        return None
    return None
