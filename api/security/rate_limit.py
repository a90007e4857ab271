"""Rate limits: so many calls per key in a window, counted over all workers in one small shared file."""

from __future__ import annotations

import fcntl
import hashlib
import math
import mmap
import struct
import time
from pathlib import Path
from typing import BinaryIO

from api.http.exceptions import TooMuch

_SLOT = struct.Struct("<QdQ")
_SLOTS = 4096
_TRIES = 16


class Limiter:
    """Lets a key make so many calls in a window, which begins with its first call.

    Args:
        amount: Calls in a window.
        window_s: Length of the window, in seconds.
        file: An open file that all workers share; None counts for this process alone.
    """

    def __init__(self, amount: int, window_s: float, file: BinaryIO | None = None) -> None:
        self._amount = amount
        self._window_s = window_s
        self._file = file
        size = _SLOT.size * _SLOTS
        if file is not None:
            file.truncate(size)
        self._table = mmap.mmap(file.fileno() if file is not None else -1, size)

    def take(self, who: str) -> None:
        """Count a call.

        Raises:
            TooMuch: With the seconds until the window ends, if the calls of this window are used up.
        """
        now = time.time()
        name = int.from_bytes(hashlib.sha256(who.encode()).digest()[:8], "big") | 1
        if self._file is not None:
            fcntl.lockf(self._file, fcntl.LOCK_EX)
        try:
            left_s = self._count(name, now)
        finally:
            if self._file is not None:
                fcntl.lockf(self._file, fcntl.LOCK_UN)
        if left_s is not None:
            raise TooMuch(
                "rate-limit",
                f"more than {self._amount} calls in {self._window_s:g} s with this key; wait, or ask for a higher rate",
                max(1, math.ceil(left_s)),
            )

    def close(self) -> None:
        """Let go of the file."""
        self._table.close()
        if self._file is not None:
            self._file.close()

    def _count(self, name: int, now: float) -> float | None:
        place, began, calls = self._find(name, now)
        if began + self._window_s <= now or began > now:
            began, calls = now, 0
        if calls >= self._amount:
            return began + self._window_s - now
        _SLOT.pack_into(self._table, place, name, began, calls + 1)
        return None

    def _find(self, name: int, now: float) -> tuple[int, float, int]:
        """Return the slot of a key; the first of its places that is its own, free, or past its window."""
        free: tuple[int, float, int] | None = None
        for step in range(_TRIES):
            place = (name + step) % _SLOTS * _SLOT.size
            owner, began, calls = _SLOT.unpack_from(self._table, place)
            if owner == name:
                return place, began, calls
            if free is None and (owner == 0 or began + self._window_s <= now):
                free = place, 0.0, 0
        return free or (name % _SLOTS * _SLOT.size, 0.0, 0)


def open_limiter(amount: int, window_s: float, path: Path | None) -> Limiter:
    """Return a limiter on a shared file, made where it is absent; None for a path counts in this process alone."""
    return Limiter(amount, window_s, None if path is None else path.open("a+b"))
