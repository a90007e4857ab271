"""How many cores this process may use, which in a container are fewer than the machine has."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path

_GROUPS = Path("sys/fs/cgroup")


def cores(root: Path = Path("/")) -> int:
    """Return how many cores this process may use: those that it may run on, and no more than its container's share.

    Args:
        root: Where the system says it, below ``proc`` and ``sys``.
    """
    mine = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min([mine, *(math.ceil(share) for share in _shares(root))]))


def _shares(root: Path) -> Iterator[float]:
    """Yield the cores that each control group has whose process this is, where they are limited."""
    for folder in _folders(root):
        words = _read(folder / "cpu.max").split() or [
            *_read(folder / "cpu.cfs_quota_us").split(),
            *_read(folder / "cpu.cfs_period_us").split(),
        ]
        if len(words) == 2 and all(word.isdecimal() for word in words) and int(words[1]):  # else "max", or -1
            yield int(words[0]) / int(words[1])


def _folders(root: Path) -> Iterator[Path]:
    """Yield the folders of this process's control groups, those around them too, in both versions of the interface.

    In a container its own group is usually the root of what it sees, whatever path is told of it.
    """
    groups = root / _GROUPS
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, controllers, path = (*line.split(":", 2), "", "")[:3]
        base = groups if not controllers else groups / "cpu"
        if not controllers or "cpu" in controllers.split(","):
            here = base / path.strip("/")
            yield from (folder for folder in (here, *here.parents) if folder == base or base in folder.parents)


def _read(file: Path) -> str:
    try:
        return file.read_text("ascii", "replace")
    except OSError:
        return ""
