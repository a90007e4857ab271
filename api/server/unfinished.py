"""Requests whose body has not come yet: only so many of one sender, so that half-sent ones cost others nothing."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence

MOST_OF_ONE = 256
"""Unfinished bodies of one address, and of one key: a proxy that passes bodies on unbuffered has fewer under way."""
MOST = 512
"""Unfinished bodies of everybody in one process: half of the 1,024 files that a process may usually have open."""


class UnfinishedBodies:
    """Knows whose body is still to come, and gives up the oldest where one sender has too many.

    Not the newest: a body that is really being sent is complete within milliseconds, while those that are held back
    grow old. So whoever shares an address or a key with somebody who sends halves is still served.

    Args:
        most_of_one: Most unfinished bodies of one owner.
        most: Most unfinished bodies altogether.
    """

    def __init__(self, most_of_one: int = MOST_OF_ONE, most: int = MOST) -> None:
        self._most_of_one = most_of_one
        self._most = most
        self._all: OrderedDict[object, tuple[Sequence[Hashable], Callable[[], None]]] = OrderedDict()
        self._of_one: dict[Hashable, OrderedDict[object, None]] = {}

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
        self._all[request] = owners, give_up
        for owner in owners:
            self._of_one.setdefault(owner, OrderedDict())[request] = None
        for owner in owners:
            if len(self._of_one.get(owner, ())) > self._most_of_one:
                self._give_up(next(iter(self._of_one[owner])))
        if len(self._all) > self._most:
            self._give_up(next(iter(self._all)))

    def remove(self, request: object) -> None:
        """Forget a request: its body is complete, or its connection is gone."""
        owners, _ = self._all.pop(request, ((), None))
        for owner in owners:
            mine = self._of_one[owner]
            mine.pop(request, None)
            if not mine:
                del self._of_one[owner]

    def _give_up(self, request: object) -> None:
        _, give_up = self._all[request]
        self.remove(request)
        give_up()
