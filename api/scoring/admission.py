"""Who is let in: no more requests at a time than can be answered in time."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable
from contextvars import ContextVar

from api.http.exceptions import TooBusy

ARRIVED: ContextVar[float] = ContextVar("arrived")
"""When the request came, on the monotonic clock; unset outside the door."""

_LOOP_SHARE = 0.35
"""Share of the deadline that may pass until those inside have left; a newcomer then has its own way to go."""
_QUEUE_SHARE = 0.6
"""Share of the deadline that the queue behind the door may take."""
_BUSY = 8
"""Below so many inside, how quickly they leave says how few come, not how slow the service is."""
_LEAVINGS = 64
"""Over so many leavings the pace is taken: answers go out a micro-batch at a time."""


class AdmissionControl:
    """Counts the requests for one ticket that are inside, and how quickly they leave.

    A bounded queue in front of the model is not enough: everybody who is inside takes turns on the event loop, so that
    with hundreds of them even a refusal takes seconds. By Little's law a newcomer waits as long as it takes those
    inside to leave; where that would use up too much of the deadline, it is turned away before it is read.

    Args:
        size: Most requests inside.
        deadline_s: Time in which a request is to be answered, in seconds.
        queue_s: Tells how long the queue behind the door takes, in seconds.
        on_turned_away: Called with what a newcomer is told.
    """

    def __init__(
        self,
        size: int,
        deadline_s: float,
        queue_s: Callable[[], float] = lambda: 0.0,
        on_turned_away: Callable[[TooBusy], object] = lambda error: None,
    ) -> None:
        self._size = size
        self._deadline_s = deadline_s
        self._queue_s = queue_s
        self._on_turned_away = on_turned_away
        self._pace_s = 0.0
        self._inside = 0
        self._left: deque[float] = deque(maxlen=_LEAVINGS)

    def refusal(self) -> TooBusy | None:
        """Say what a newcomer is told; None lets it in."""
        leave_s = self._inside * self._seconds_each() if self._inside >= _BUSY else 0.0
        queue_s = self._queue_s()
        in_time = leave_s < _LOOP_SHARE * self._deadline_s and queue_s < _QUEUE_SHARE * self._deadline_s
        if self._inside < self._size and in_time:
            return None
        message = f"{self._inside} requests are being answered: the queue is full; try again later"
        error = TooBusy("queue-full", message, max(1, math.ceil(max(leave_s, queue_s))))
        self._on_turned_away(error)
        return error

    def enter(self) -> None:
        """Count a request in."""
        self._inside += 1

    def leave(self) -> None:
        """Count a request out."""
        self._inside -= 1
        self._left.append(time.monotonic())
        if self._inside < _BUSY:
            self._left.clear()

    def _seconds_each(self) -> float:
        """Return how many seconds pass for each that leaves: they leave in bursts, so many are looked at together."""
        if len(self._left) > _BUSY:
            self._pace_s = (time.monotonic() - self._left[0]) / len(self._left)
        return self._pace_s
