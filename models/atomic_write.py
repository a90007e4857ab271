"""Files that appear whole or not at all."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from triage.errors import InvalidRequest

OUT = "--out"
"""The option that says where most files go."""

_NO_FILES = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
)


def writable_place(path: Path, place: str = OUT) -> Path:
    """Return the file that a path of somebody's choice means: where it is a link, the file that it leads to.

    Args:
        path: What somebody chose.
        place: What they would set to choose another, such as ``--out``.

    Raises:
        InvalidRequest: If something is there that is no file, such as a folder, a device or a pipe.
    """
    target = Path(os.path.realpath(path)) if path.is_symlink() else path
    if target.is_symlink():
        raise InvalidRequest(f"{str(path)!r} is a link that leads in a circle: name a file by another {place}")
    _refuse_what_is_no_file(target, path, place)
    return target


def _refuse_what_is_no_file(target: Path, named: Path, place: str = OUT) -> None:
    """Refuse what a file must not take the place of."""
    try:
        mode = target.lstat().st_mode
    except FileNotFoundError:
        return
    except OSError as error:
        raise unwritable(named, error, place) from error
    if not stat.S_ISREG(mode) and not stat.S_ISLNK(mode):
        kind = next((word for is_kind, word in _NO_FILES if is_kind(mode)), "a special file")
        message = f"{str(named)!r} is {kind}, which no file can take the place of: name a file by another {place}"
        raise InvalidRequest(message)


@contextmanager
def atomic(path: Path, mode: int = 0o644, *, new: bool = False) -> Iterator[Path]:
    """Give a draft beside a file, which takes the file's place when the block ends and vanishes when the block fails.

    A link is replaced as a file is: who lets people choose the path writes to `writable_place` of it.

    Args:
        path: The file.
        mode: Who may read and write it.
        new: Take no file's place: of two who make the same one, only the first does.

    Raises:
        InvalidRequest: If something is there that is no file.
        OSError: If nothing can be written there; `FileExistsError` if a new file is there already.
    """
    _refuse_what_is_no_file(path, path)
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
    """Write a text as UTF-8, in one step; where the path is a link, to the file that it leads to.

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
        with atomic(writable_place(path, place), mode, new=new) as draft:
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
        InvalidRequest: If it cannot, or something is there that is no file.
    """
    target = writable_place(path, place)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=target.parent):
            pass
    except OSError as error:
        raise unwritable(path, error, place) from error


def unwritable(path: Path, error: OSError, place: str = OUT) -> InvalidRequest:
    """Return the error that says why a file cannot be written, and what to do."""
    return InvalidRequest(
        f"{str(path)!r} cannot be written: {error.strerror or error}; make room or choose another {place}"
    )
