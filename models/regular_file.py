"""Reading of files that somebody else may have put there: only plain files, and never more than a stated size."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path


def read_regular_file(path: Path, max_bytes: int) -> bytes:
    """Read a whole plain file without ever waiting for it.

    A pipe, a socket or a device is refused before anything is read from it: reading one may block for ever. A link is
    refused too. The size is checked before the first byte is read, so a sparse file costs nothing.

    Args:
        path: The file.
        max_bytes: The most bytes that it may have.

    Raises:
        FileNotFoundError: If it is not there.
        OSError: If it cannot be opened, is no plain file, or is larger than `max_bytes`.
    """
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(handle, "rb") as stream:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "it is no plain file", str(path))
        if status.st_size > max_bytes:
            raise OSError(errno.EFBIG, f"it has {status.st_size} bytes, more than {max_bytes}", str(path))
        return stream.read(max_bytes + 1)
