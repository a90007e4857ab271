"""Requests whose body has not come yet: only so many of one sender, so that half-sent ones cost others nothing."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass

MOST_OF_ONE = 256
"""Unfinished bodies of one address, and of one key: a proxy that passes bodies on unbuffered has fewer under way."""
MOST = 512
"""Unfinished bodies of everybody in one process: half of the 1,024 files that a process may usually have open."""
MOST_BYTES_OF_ONE, MOST_BYTES = 64 << 20, 128 << 20
"""Bytes that unfinished bodies of one address or key, and of everybody, hold together in one process."""


@dataclass
class _Body:
    """A body that is still to come: whom it counts for, how it is given up, and how much of it is here."""

    owners: Sequence[Hashable]
    give_up: Callable[[], None]
    held_bytes: int = 0


class UnfinishedBodies:
    """Knows whose body is still to come, and gives up the oldest where one sender has too many, or holds too much.

    Not the newest: a body that is really being sent is complete within milliseconds, while those that are held back
    grow old. So whoever shares an address or a key with somebody who sends halves is still served.

    Args:
        most_of_one: Most unfinished bodies of one owner.
        most: Most unfinished bodies altogether.
        largest_bytes: Size of the largest body that is taken: several of them always have room.
    """

    def __init__(self, most_of_one: int = MOST_OF_ONE, most: int = MOST, *, largest_bytes: int = 0) -> None:
        self._most_of_one = most_of_one
        self._most = most
        self._most_bytes_of_one = max(MOST_BYTES_OF_ONE, 4 * largest_bytes)
        self._most_bytes = max(MOST_BYTES, 8 * largest_bytes)
        self._all: OrderedDict[object, _Body] = OrderedDict()
        self._of_one: dict[Hashable, OrderedDict[object, None]] = {}
        self._held_bytes, self._held_bytes_of = 0, Counter[Hashable]()

    def __len__(self) -> int:
        """Return the number of unfinished bodies."""
        return len(self._all)

    def add(self, request: object, owners: Sequence[Hashable], give_up: Callable[[], None]) -> None:
        """Count a request whose body is to come.

        Args:
            request: What it is known by.
            owners: Whom it counts for, such as an address and a key.
            give_up: Called where it is too many; answers it and closes its connection.
        """
        self.remove(request)
        owners = tuple(dict.fromkeys(owners))
        self._all[request] = _Body(owners, give_up)
        for owner in owners:
            self._of_one.setdefault(owner, OrderedDict())[request] = None
        for owner in owners:
            if len(self._of_one.get(owner, ())) > self._most_of_one:
                self._give_up(next(iter(self._of_one[owner])))
        if len(self._all) > self._most:
            self._give_up(next(iter(self._all)))

    def hold(self, request: object, size: int) -> None:
        """Count bytes that have come of a body; where they are too many, the oldest that holds much is given up.

        Args:
            request: What it is known by.
            size: How many bytes have come since the last call.
        """
        body = self._all.get(request)
        if body is None:
            return
        body.held_bytes += size
        self._held_bytes += size
        self._held_bytes_of.update(dict.fromkeys(body.owners, size))
        for owner in body.owners:
            while self._held_bytes_of[owner] > self._most_bytes_of_one:
                self._give_up(self._oldest_of_large(self._of_one[owner], self._held_bytes_of[owner]))
        while self._held_bytes > self._most_bytes:
            self._give_up(self._oldest_of_large(self._all, self._held_bytes))

    def remove(self, request: object) -> None:
        """Forget a request: its body is complete, or its connection is gone."""
        body = self._all.pop(request, None)
        if body is None:
            return
        self._held_bytes -= body.held_bytes
        for owner in body.owners:
            self._held_bytes_of[owner] -= body.held_bytes
            mine = self._of_one[owner]
            mine.pop(request, None)
            if not mine:
                del self._of_one[owner], self._held_bytes_of[owner]

    def _oldest_of_large(self, requests: Iterable[object], held_bytes: int) -> object:
        """Return the oldest of the requests that hold no less than most do: to give up small ones frees nothing."""
        mine = list(requests)
        return next(one for one in mine if self._all[one].held_bytes * len(mine) >= held_bytes)

    def _give_up(self, request: object) -> None:
        give_up = self._all[request].give_up
        self.remove(request)
        give_up()
