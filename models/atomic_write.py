"""Files that appear whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from triage.errors import InvalidRequest


@contextmanager
def atomic(path: Path, mode: int = 0o644) -> Iterator[Path]:
    """Give a draft beside a file, which takes the file's place when the block ends and vanishes when the block fails.

    Args:
        path: The file.
        mode: Who may read and write it.

    Raises:
        OSError: If nothing can be written there.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    os.close(handle)
    draft = Path(name)
    try:
        yield draft
        with draft.open("rb+") as file:
            os.fsync(file.fileno())
        draft.chmod(mode)  # mkstemp lets its owner alone read
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def write_text(path: Path, text: str, mode: int = 0o644) -> None:
    """Write a text as UTF-8, in one step.

    Args:
        path: The file.
        text: What stands in it then.
        mode: Who may read and write it.

    Raises:
        InvalidRequest: If it cannot be written.
    """
    try:
        with atomic(path, mode) as draft:
            draft.write_text(text, "utf-8")
    except OSError as error:
        raise unwritable(path, error) from error


def check_writable(path: Path) -> None:
    """Make sure that a file can be written, before the work of making it begins.

    Raises:
        InvalidRequest: If it cannot.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise unwritable(path, error) from error


def unwritable(path: Path, error: OSError) -> InvalidRequest:
    """Return the error that says why a file cannot be written, and what to do."""
    return InvalidRequest(
        f"{str(path)!r} cannot be written: {error.strerror or error}; make room or choose another --out"
    )
