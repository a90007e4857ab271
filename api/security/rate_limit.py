"""Rate limits: so many calls per key in a window, counted over all workers of this machine."""

from __future__ import annotations

import math
import sqlite3
import time
from pathlib import Path

from limits import RateLimitItem
from limits.storage import Storage
from limits.strategies import FixedWindowRateLimiter

from api.http.exceptions import TooMuch

_PATIENCE_S = 5.0


class SQLiteStorage(Storage):
    """Counts for `limits` in a SQLite file that several processes share, without a server.

    The file holds nothing that must survive a crash of the machine, so that no write waits for the disk. A window
    begins with its first call. One row a key stays behind; keys are those that were let in, so they are few.

    Args:
        path: The file, made where it is absent; None counts in this process alone.
    """

    STORAGE_SCHEME = None

    def __init__(self, path: Path | None) -> None:
        super().__init__()
        self._connection = sqlite3.connect(
            path or ":memory:", timeout=_PATIENCE_S, isolation_level=None, check_same_thread=False
        )
        # Write-ahead logging would be faster (52 instead of 164 µs a call), but workers that start together fail at the
        # switch to it with "database is locked".
        self._connection.execute("PRAGMA journal_mode=PERSIST")
        self._connection.execute("PRAGMA synchronous=OFF")
        self._connection.execute(
            "CREATE TABLE IF NOT EXISTS windows (key TEXT PRIMARY KEY, calls INTEGER NOT NULL, ends_at REAL NOT NULL)"
        )

    @property
    def base_exceptions(self) -> type[Exception]:
        """What this storage may fail with."""
        return sqlite3.Error

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        """Count calls, in a new window where the last one has ended, and return those of the window."""
        now = time.time()
        counted = self._connection.execute(
            "INSERT INTO windows VALUES (:key, :amount, :now + :expiry) ON CONFLICT (key) DO UPDATE SET "
            "calls = iif(ends_at BETWEEN :now AND :now + :expiry, calls, 0) + :amount, "
            "ends_at = iif(ends_at BETWEEN :now AND :now + :expiry, ends_at, :now + :expiry) RETURNING calls",
            {"key": key, "amount": amount, "now": now, "expiry": expiry},
        ).fetchall()
        return int(counted[0][0])

    def get(self, key: str) -> int:
        """Return the calls of the window that runs now."""
        query = "SELECT calls FROM windows WHERE key = ? AND ends_at > ?"
        found = self._connection.execute(query, (key, time.time())).fetchone()
        return int(found[0]) if found else 0

    def get_expiry(self, key: str) -> float:
        """Return when the window ends, in seconds since 1970; now where none runs."""
        found = self._connection.execute("SELECT ends_at FROM windows WHERE key = ?", (key,)).fetchone()
        return max(time.time(), float(found[0])) if found else time.time()

    def check(self) -> bool:
        """Say whether the file can be read."""
        return bool(self._connection.execute("SELECT 1").fetchone())

    def reset(self) -> int:
        """Forget all counts, and return their number."""
        return self._connection.execute("DELETE FROM windows").rowcount

    def clear(self, key: str) -> None:
        """Forget the count of a key."""
        self._connection.execute("DELETE FROM windows WHERE key = ?", (key,))

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()


class Limiter:
    """Lets a key make so many calls in a window.

    Args:
        rate: Calls, and the length of the window.
        path: A file that all workers share, made where it is absent; None counts in this process alone.
    """

    def __init__(self, rate: RateLimitItem, path: Path | None = None) -> None:
        self._rate = rate
        self._storage = SQLiteStorage(path)
        self._windows = FixedWindowRateLimiter(self._storage)

    def count(self, key_id: str, *, what: str = "calls", whose: str = "with this key") -> None:
        """Count a call.

        Args:
            key_id: Whose call it is.
            what: What is counted, in words.
            whose: Of whom, in words.

        Raises:
            TooMuch: With the seconds until the window ends, if the calls of this window are used up.
        """
        if not self._windows.hit(self._rate, key_id):
            left_s = self._windows.get_window_stats(self._rate, key_id).reset_time - time.time()
            raise TooMuch(
                "rate-limit",
                f"more than {self._rate.amount} {what} in {self._rate.get_expiry()} s {whose}; "
                "wait, or ask for a higher rate",
                max(1, math.ceil(left_s)),
            )

    def close(self) -> None:
        """Let go of the file."""
        self._storage.close()
