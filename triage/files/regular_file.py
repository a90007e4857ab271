"""Reading of files that somebody else may have put there: only plain files, and never more than a stated size."""

from __future__ import annotations

import errno
import io
import os
import stat
from pathlib import Path

MOST_TEXT_BYTES = 8 << 20
"""Size in bytes beyond which no text is read that an operator names; the largest policies have some hundred KB."""


def read_regular_file(path: Path, max_bytes: int, *, through_links: bool = False) -> bytes:
    """Read a whole plain file without ever waiting for it.

    A pipe, a socket or a device is refused before anything is read from it: reading one may block for ever. The size is
    checked before the first byte is read, so a sparse file costs nothing.

    Args:
        path: The file.
        max_bytes: The most bytes that it may have.
        through_links: Whether a link is followed; it is refused otherwise.

    Raises:
        FileNotFoundError: If it is not there.
        OSError: If it cannot be opened, is no plain file, or is larger than `max_bytes`.
    """
    follow = 0 if through_links else os.O_NOFOLLOW
    handle = os.open(path, os.O_RDONLY | follow | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(handle, "rb") as stream:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "it is no plain file", str(path))
        if status.st_size > max_bytes:
            raise OSError(errno.EFBIG, f"it has {status.st_size} bytes, more than {max_bytes}", str(path))
        return stream.read(max_bytes + 1)


def read_stated_text(path: Path) -> str:
    """Read a text file that an operator has named; links are followed, since Kubernetes mounts files by them.

    Every end of a line is one character in it, as in all texts that Python reads.

    Raises:
        OSError: If it cannot be read, is no plain file, or is larger than `MOST_TEXT_BYTES`.
        UnicodeDecodeError: If it is no UTF-8.
    """
    content = read_regular_file(path, MOST_TEXT_BYTES, through_links=True)
    return io.TextIOWrapper(io.BytesIO(content), "utf-8-sig").read()
