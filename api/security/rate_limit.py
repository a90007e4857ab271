"""Rate limits: so many calls per key in a window, counted over all workers, and over replicas that share a store."""

from __future__ import annotations

import math
import sqlite3
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from limits import RateLimitItem
from limits.storage import Storage
from limits.strategies import FixedWindowRateLimiter
from sqlalchemy import case, delete, func, select
from sqlalchemy.dialects.postgresql import insert

from api.http.exceptions import TooMuch
from api.store.database import Database
from api.store.tables import StoredRateWindow
from triage.errors import StoreUnavailable

_PATIENCE_S = 5.0
_STORE_PATIENCE_S = 0.5
"""How long a call waits for its turn to be counted in the store: then it is counted here alone."""
_CLEAR_S = 60.0
"""How often windows that have ended are cleared away, in seconds."""
_PAUSE_S = 5.0
"""How long a store that did not answer, or a file that could not be written, is not asked again."""


class SQLiteStorage(Storage):
    """Counts for `limits` in a SQLite file that several processes share, without a server.

    The file holds nothing that must survive a crash of the machine, so that no write waits for the disk. A window
    begins with its first call. Windows that have ended are cleared away every minute: the names that strangers try at
    the door are as many as they like.

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
        self._clear_at = 0.0

    @property
    def base_exceptions(self) -> type[Exception]:
        """What this storage may fail with."""
        return sqlite3.Error

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        """Count calls, in a new window where the last one has ended, and return those of the window."""
        now = time.time()
        if time.monotonic() >= self._clear_at:
            self._connection.execute("DELETE FROM windows WHERE ends_at NOT BETWEEN ? AND ?", (now, now + expiry))
            self._clear_at = time.monotonic() + _CLEAR_S
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


class StoreStorage(Storage):
    """Counts for `limits` in PostgreSQL, by the database's own clock, for replicas on several machines.

    The table is not logged: a count costs no write to the disk, and a crash of the database begins all windows anew.

    Args:
        database: The store that the replicas share.
    """

    STORAGE_SCHEME = None

    def __init__(self, database: Database) -> None:
        super().__init__()
        self._database = database

    @property
    def base_exceptions(self) -> type[Exception]:
        """What this storage may fail with."""
        return StoreUnavailable

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        """Count calls, in a new window where the last one has ended, and return those of the window."""
        now = func.extract("epoch", func.clock_timestamp())
        window = insert(StoredRateWindow).values(key=key, calls=amount, ends_at=now + expiry)
        runs = StoredRateWindow.ends_at.between(now, now + expiry)
        counted = window.on_conflict_do_update(
            index_elements=[StoredRateWindow.key],
            set_={
                "calls": case((runs, StoredRateWindow.calls), else_=0) + amount,
                "ends_at": case((runs, StoredRateWindow.ends_at), else_=now + expiry),
            },
        ).returning(StoredRateWindow.calls)
        with self._database.writing(_STORE_PATIENCE_S) as session:
            return int(session.scalar(counted) or 0)

    def get(self, key: str) -> int:
        """Return the calls of the window that runs now."""
        row = self._row(key)
        return row.calls if row is not None and row.ends_at > time.time() else 0

    def get_expiry(self, key: str) -> float:
        """Return when the window ends, in seconds since 1970; now where none runs."""
        row = self._row(key)
        return max(time.time(), row.ends_at) if row is not None else time.time()

    def check(self) -> bool:
        """Say whether the store answers."""
        self._database.ping()
        return True

    def reset(self) -> int:
        """Forget all counts, and return their number."""
        with self._database.writing() as session:
            return len(session.scalars(delete(StoredRateWindow).returning(StoredRateWindow.key)).all())

    def clear(self, key: str) -> None:
        """Forget the count of a key."""
        with self._database.writing() as session:
            session.execute(delete(StoredRateWindow).where(StoredRateWindow.key == key))

    def close(self) -> None:
        """Do nothing: the store belongs to the service."""

    def _row(self, key: str) -> StoredRateWindow | None:
        with self._database.reading() as session:
            return session.scalar(select(StoredRateWindow).where(StoredRateWindow.key == key))


class _Place:
    """Where calls are counted, and until when it is left alone because it failed.

    Args:
        open_storage: Opens it; a place that failed is opened anew.
    """

    def __init__(self, open_storage: Callable[[], Storage]) -> None:
        self._open_storage = open_storage
        self._storage: Storage | None = None
        self._away_until = 0.0

    def windows(self) -> FixedWindowRateLimiter | None:
        """Return what counts here; None where it failed a moment ago."""
        if time.monotonic() < self._away_until:
            return None
        if self._storage is None:
            self._storage = self._open_storage()
        return FixedWindowRateLimiter(self._storage)

    def fail(self) -> None:
        """Note that it failed."""
        self._away_until = time.monotonic() + _PAUSE_S
        self.close()

    def close(self) -> None:
        """Let go of it."""
        storage, self._storage = self._storage, None
        if isinstance(storage, SQLiteStorage):
            storage.close()


class Limiter:
    """Lets a key make so many calls in a window.

    Args:
        rate: Calls, and the length of the window.
        path: A file that all workers share, made where it is absent; None counts in this process alone. So does a file
            that cannot be written, because the disk is full for example.
        database: A PostgreSQL that replicas share: they share the count then, and count on their own while it does not
            answer.
    """

    def __init__(self, rate: RateLimitItem, path: Path | None = None, database: Database | None = None) -> None:
        self._rate = rate
        self._alone = SQLiteStorage(None)
        self._places: list[_Place] = []
        self.waits = database is not None
        """Whether counting waits for a network, and belongs on a thread of its own."""
        if database is not None:
            self._places.append(_Place(partial(StoreStorage, database)))
        if path is not None:
            self._places.append(_Place(partial(SQLiteStorage, path)))

    def count(self, key_id: str, *, what: str = "calls", whose: str = "with this key") -> None:
        """Count a call.

        Args:
            key_id: Whose call it is.
            what: What is counted, in words.
            whose: Of whom, in words.

        Raises:
            TooMuch: With the seconds until the window ends, if the calls of this window are used up.
        """
        said = f"{self._rate.amount} {what} in {self._rate.get_expiry()} s {whose}"
        self._where_it_can(lambda windows: self._count(windows, key_id, said))

    def give_back(self, key_id: str, calls: int = 1) -> None:
        """Take calls back that were counted a moment ago, as they are none of those that the rate is meant for."""
        self._where_it_can(lambda windows: windows.hit(self._rate, key_id, cost=-calls))

    def close(self) -> None:
        """Let go of the file."""
        for place in self._places:
            place.close()
        self._alone.close()

    def _where_it_can(self, do: Callable[[FixedWindowRateLimiter], object]) -> None:
        """Do something at the first place that answers, and in this process alone where none does."""
        for place in self._places:
            try:
                windows = place.windows()
                if windows is not None:
                    do(windows)
                    return
            except (StoreUnavailable, sqlite3.Error):
                place.fail()
        do(FixedWindowRateLimiter(self._alone))

    def _count(self, windows: FixedWindowRateLimiter, key_id: str, said: str) -> None:
        if not windows.hit(self._rate, key_id):
            left_s = windows.get_window_stats(self._rate, key_id).reset_time - time.time()
            raise TooMuch(
                "rate-limit",
                f"more than {said}; wait, or ask for a higher rate",
                max(1, math.ceil(left_s)),
            )
