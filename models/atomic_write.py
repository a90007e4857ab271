"""Files that appear whole or not at all."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from triage.errors import InvalidRequest

OUT = "--out"
"""The option that says where most files go."""


@contextmanager
def atomic(path: Path, mode: int = 0o644, *, new: bool = False) -> Iterator[Path]:
    """Give a draft beside a file, which takes the file's place when the block ends and vanishes when the block fails.

    Args:
        path: The file.
        mode: Who may read and write it.
        new: Take no file's place: of two who make the same one, only the first does.

    Raises:
        OSError: If nothing can be written there; `FileExistsError` if a new file is there already.
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
        if new:
            _put_new(draft, path)
        else:
            os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def _put_new(draft: Path, path: Path) -> None:
    """Give a draft the name of a file that is not there yet."""
    try:
        os.link(draft, path)
    except FileExistsError:
        raise
    except OSError:  # shares of other systems have no second names of a file: hold the name first, then fill it
        path.touch(exist_ok=False)
        os.replace(draft, path)


def write_text(path: Path, text: str, mode: int = 0o644, *, place: str = OUT, new: bool = False) -> None:
    """Write a text as UTF-8, in one step.

    Args:
        path: The file.
        text: What stands in it then.
        mode: Who may read and write it.
        place: What a user would set to have it elsewhere, such as ``--out``.
        new: Take no file's place.

    Raises:
        InvalidRequest: If it cannot be written.
        FileExistsError: If a new file is there already.
    """
    try:
        with atomic(path, mode, new=new) as draft:
            draft.write_text(text, "utf-8")
    except OSError as error:
        if new and isinstance(error, FileExistsError):
            raise
        raise unwritable(path, error, place) from error


def check_writable(path: Path, place: str = OUT) -> None:
    """Make sure that a file can be written, before the work of making it begins.

    Args:
        path: The file; the folders above it are made.
        place: What a user would set to have it elsewhere, such as ``--out``.

    Raises:
        InvalidRequest: If it cannot.
    """
    try:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise unwritable(path, error, place) from error


def unwritable(path: Path, error: OSError, place: str = OUT) -> InvalidRequest:
    """Return the error that says why a file cannot be written, and what to do."""
    return InvalidRequest(
        f"{str(path)!r} cannot be written: {error.strerror or error}; make room or choose another {place}"
    )
