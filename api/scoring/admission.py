"""Admission control: no more requests for one ticket at a time than can be answered within the deadline."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable
from contextvars import ContextVar

from api.http.exceptions import TooBusy

ARRIVED: ContextVar[float] = ContextVar("arrived")
"""When the request came, on the monotonic clock; unset where admission control did not see it, as in tests."""

_LOOP_SHARE = 0.8
"""Share of the deadline that may pass until the requests inside are answered; the rest is for the new one itself. With
0.35, 64 clients that ask one ticket after another were refused wherever fewer than 91 were answered a second."""
_QUEUE_SHARE = 0.75
"""Share of the deadline that the queue for a score may take."""
_BUSY = 8
"""Below so many requests inside, the rate at which they end shows how few come, not how slow the service is."""
_ENDS = 64
"""Over so many ends the rate is taken: a whole micro-batch ends at once."""


class AdmissionControl:
    """Counts the requests for one ticket that are being answered, and how quickly they end.

    A bounded queue in front of the model is not enough: all requests take turns on the event loop, so that with
    hundreds of them even a refusal takes seconds. By Little's law (Little 1961) a new request waits as long as it takes
    to answer those before it; where that would use up too much of the deadline, it is refused before it is read.

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
        self._inside = 0
        self._ended_at: deque[float] = deque(maxlen=_ENDS)

    def refusal(self) -> TooBusy | None:
        """Return why a new request is refused; None admits it."""
        leave_s = self._inside * self._seconds_each() if self._inside >= _BUSY else 0.0
        queue_s = self._queue_s()
        in_time = leave_s < _LOOP_SHARE * self._deadline_s and queue_s < _QUEUE_SHARE * self._deadline_s
        if self._inside < self._size and in_time:
            return None
        message = f"{self._inside} requests are being answered: the queue is full; try again later"
        error = TooBusy("queue-full", message, max(1, math.ceil(max(leave_s, queue_s))))
        self._on_refused(error)
        return error

    def enter(self) -> None:
        """Count a request that begins."""
        self._inside += 1

    def leave(self) -> None:
        """Count a request that ends."""
        self._inside -= 1
        self._ended_at.append(time.monotonic())
        if self._inside < _BUSY:
            self._ended_at.clear()

    def _seconds_each(self) -> float:
        """Return the seconds that pass for each request that ends, taken over many because they end in bursts.

        Over fewer ends than there are requests inside, a burst that is still to come would be missing: 32 clients that
        asked a process which had just started were told that it was full.
        """
        if len(self._ended_at) > min(max(_BUSY, self._inside), _ENDS - 1):
            self._seconds_a_request = (time.monotonic() - self._ended_at[0]) / len(self._ended_at)
        return self._seconds_a_request
