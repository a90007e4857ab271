"""What a job reads and makes: in folders that only the owner of the service may open, and that do not stay."""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

_FOLDER, _LOCK, _MADE = "jobs", ".lock", "learning"
_MADE_AGE_S = 7 * 86_400.0
"""How long a bundle stays that no registry took, in seconds: time enough for `triage register`."""


@contextmanager
def job_files(home: Path, job_id: str, files: Mapping[str, str]) -> Iterator[tuple[Path, int]]:
    """Write files for a job, and yield their folder and a descriptor: whichever process has that reads them still.

    Args:
        home: Of the service: tickets lie nowhere else.
        job_id: Of the job.
        files: Texts by name.
    """
    root = _root(home)
    folder = root / job_id
    with _locked(root / _LOCK):  # nobody tidies away what is not locked yet
        folder.mkdir(mode=0o700)
        lock = os.open(folder / _LOCK, os.O_CREAT | os.O_RDWR, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX)
    try:
        for name, text in files.items():
            made = os.open(folder / name, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
            with os.fdopen(made, "w", encoding="utf-8") as file:
                file.write(text)
        yield folder, lock
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def remove_left_files(home: Path) -> int:
    """Remove the files of jobs that were killed with their service, and return of how many.

    Args:
        home: Of the service. What a process still has, of this service or of another on the same home, stays.
    """
    if not (home / _FOLDER).is_dir():
        return 0
    root = _root(home)
    with _locked(root / _LOCK):
        left = [folder for folder in root.iterdir() if folder.is_dir() and _is_left(folder)]
        for folder in left:
            shutil.rmtree(folder, ignore_errors=True)
    return len(left)


def new_bundle(home: Path) -> Path:
    """Return where a job may make a bundle: it is removed once a registry has it, else after a week."""
    return _closed(home / _MADE) / str(uuid4())


def remove_old_bundles(home: Path, serves: Path | None) -> int:
    """Remove what jobs made more than a week ago, and return how many folders.

    Args:
        home: Of the service.
        serves: The bundle that serves by its folder, which stays; None where an alias names it.
    """
    root, before = home / _MADE, time.time() - _MADE_AGE_S
    if not root.is_dir():
        return 0
    kept = serves.resolve() if serves is not None else None
    old = [made for made in root.iterdir() if made.stat().st_mtime < before and made.resolve() != kept]
    for made in old:
        shutil.rmtree(made, ignore_errors=True)
    return len(old)


def _root(home: Path) -> Path:
    return _closed(home / _FOLDER)


def _closed(folder: Path) -> Path:
    """Return a folder that its owner alone may read, and close one that an earlier version made for everybody."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.stat().st_mode & 0o007:
        folder.chmod(0o700)
    return folder


def _is_left(folder: Path) -> bool:
    with suppress(BlockingIOError), _locked(folder / _LOCK, fcntl.LOCK_EX | fcntl.LOCK_NB):
        return True
    return False


@contextmanager
def _locked(path: Path, how: int = fcntl.LOCK_EX) -> Iterator[int]:
    lock = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(lock, how)
        yield lock
    finally:
        os.close(lock)
