"""Admission control: no more requests for one ticket at a time than can be answered within the deadline."""

from __future__ import annotations

import math
import time
from bisect import bisect_left, bisect_right, insort
from collections import deque
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass

from api.http.exceptions import TooBusy

ARRIVED: ContextVar[float] = ContextVar("arrived")
"""When the request came, on the monotonic clock; unset where admission control did not see it, as in tests."""

_LOOP_SHARE = 0.8
"""Share of the deadline that may pass until the requests inside are answered; the rest is for the new one itself. With
0.35, 64 clients that ask one ticket after another were refused wherever fewer than 91 were answered a second."""
_QUEUE_SHARE = 0.75
"""Share of the deadline that the queue for a score may take."""
_BUSY = 8
"""Below so many requests inside, the rate at which they end may show how few come, and not how slow the service is."""
_ENDS = 64
"""Over so many ends the rate is taken: a whole micro-batch ends at once."""
_STUCK = 5.0
"""Deadlines after which nobody waits for a request any more: it hangs, for the deadline would have ended it."""
_BURSTS = 4
"""Over so many times as many ends as requests were inside at once, bursts even out, also among few."""


@dataclass
class _Spell:
    """A while in which it was not known how quickly requests end among many.

    Attributes:
        began: When, on the clock that stands still while nobody is inside.
        ends: Requests that ended since.
        most: Requests that were inside at once, at most.
    """

    began: float
    ends: int = 0
    most: int = 0


class AdmissionControl:
    """Counts the requests for one ticket that are being answered, and how quickly they end.

    A bounded queue in front of the model is not enough: all requests take turns on the event loop, so that with
    hundreds of them even a refusal takes seconds. By Little's law (Little 1961) a new request waits as long as it takes
    to answer those before it; where that would use up too much of the deadline, it is refused before it is read.

    Two things keep what was measured once from standing for ever. Ends among few requests count where they are quicker:
    the time for which somebody was inside, shared among the ends in it, is never less than what a request takes. And
    nobody waits for a request long past its deadline: some that hang would else make the others look slow.

    Args:
        size: Most requests inside.
        deadline_s: Time in which a request is to be answered, in seconds.
        queue_s: Returns how long a ticket that came now would wait for its score, in seconds.
        on_refused: Called with each refusal.
    """

    def __init__(
        self,
        size: int,
        deadline_s: float,
        queue_s: Callable[[], float] = lambda: 0.0,
        on_refused: Callable[[TooBusy], object] = lambda error: None,
    ) -> None:
        self._size = size
        self._deadline_s = deadline_s
        self._queue_s = queue_s
        self._on_refused = on_refused
        self._seconds_a_request = 0.0
        self._arrived: list[float] = []  # of those inside, the oldest first
        self._idle_s, self._idle_since = 0.0, time.monotonic()
        self._ended_at: deque[float] = deque(maxlen=_ENDS)
        self._spell = _Spell(self._busy_s())

    def refusal(self) -> TooBusy | None:
        """Return why a new request is refused; None admits it."""
        ahead = self._ahead()
        leave_s = ahead * self._seconds_each(ahead) if ahead >= _BUSY else 0.0
        queue_s = self._queue_s()
        in_time = leave_s < _LOOP_SHARE * self._deadline_s and queue_s < _QUEUE_SHARE * self._deadline_s
        if len(self._arrived) < self._size and in_time:
            return None
        message = f"{len(self._arrived)} requests are being answered: the queue is full; try again later"
        error = TooBusy("queue-full", message, max(1, math.ceil(max(leave_s, queue_s))))
        self._on_refused(error)
        return error

    def enter(self) -> None:
        """Count a request that begins."""
        now = time.monotonic()
        if not self._arrived:
            self._idle_s += now - self._idle_since
        insort(self._arrived, ARRIVED.get(now))

    def leave(self) -> None:
        """Count a request that ends: the one that arrived when this one did, else the one that came first."""
        arrived = ARRIVED.get(-math.inf)
        place = bisect_left(self._arrived, arrived)
        del self._arrived[place if arrived in self._arrived[place : place + 1] else 0]
        ahead = self._ahead()
        self._ended_at.append(self._busy_s())
        if ahead < _BUSY:
            self._ended_at.clear()
        self._spell.ends, self._spell.most = self._spell.ends + 1, max(self._spell.most, ahead)
        if not self._arrived:
            self._idle_since = time.monotonic()

    def _ahead(self) -> int:
        """Return how many of those inside a new request waits for."""
        return len(self._arrived) - bisect_right(self._arrived, time.monotonic() - _STUCK * self._deadline_s)

    def _busy_s(self) -> float:
        """Return a clock that stands still while nobody is inside."""
        return time.monotonic() - self._idle_s

    def _seconds_each(self, ahead: int) -> float:
        """Return the seconds that pass for each request that ends, taken over many because they end in bursts.

        Over fewer ends than there are requests ahead, a burst that is still to come would be missing: 32 clients that
        asked a process which had just started were told that it was full.
        """
        now, spell = self._busy_s(), self._spell
        if len(self._ended_at) > min(max(_BUSY, ahead), _ENDS - 1):
            self._seconds_a_request = (now - self._ended_at[0]) / len(self._ended_at)
        elif spell.ends >= _BURSTS * max(_BUSY, spell.most):
            self._seconds_a_request = min(self._seconds_a_request, (now - spell.began) / spell.ends)
        else:
            return self._seconds_a_request
        self._spell = _Spell(now)
        return self._seconds_a_request
