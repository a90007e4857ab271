"""A process with all that it starts: of one group, told to end together, and killed where that does not help."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

GRACE_S = 10.0
"""How long processes may take to end by themselves, in seconds."""
_LOOK_S = 0.05


def end_group(group: int, grace_s: float = GRACE_S) -> None:
    """End every process of a group, and return when none is left.

    Args:
        group: Its number, which is that of the process with which it began.
        grace_s: How long they may take before they are killed, in seconds.
    """
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(group, number)
        if _ended_within(group, grace_s):
            return


def _ended_within(group: int, within_s: float) -> bool:
    deadline = time.monotonic() + within_s
    while _lives(group):
        if time.monotonic() >= deadline:
            return False
        time.sleep(_LOOK_S)
    return True


def _lives(group: int) -> bool:
    """Say whether a process of a group runs: one that ended counts no more, though nobody has asked how it did."""
    try:
        os.killpg(group, 0)
    except (ProcessLookupError, PermissionError):
        return False
    standing = Path("/proc").glob("[0-9]*/stat")
    return not Path("/proc/self/stat").is_file() or any(_runs(group, fields) for fields in _read(standing))


def _read(standing: Iterable[Path]) -> Iterable[list[str]]:
    for path in standing:
        with suppress(OSError):
            yield path.read_text("utf-8", errors="replace").rpartition(")")[2].split()  # a name may hold anything


def _runs(group: int, fields: list[str]) -> bool:
    state, _, process_group = fields[:3]
    return int(process_group) == group and state not in "ZX"
