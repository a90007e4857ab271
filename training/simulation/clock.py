"""The clock of a tier over a stretch of time, laid out once, so that a simulation can ask it a million times."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from datetime import datetime, timedelta

from triage.policy.hours import Hours


@dataclass(frozen=True)
class Clock:
    """Shifts as minutes from the beginning; no shifts mean that it always works.

    Attributes:
        opens: When each shift begins, in order.
        worked: Working minutes before each shift.
        total: Working minutes of all shifts.
    """

    opens: tuple[float, ...]
    worked: tuple[float, ...]
    total: float

    @classmethod
    def of(cls, hours: Hours | None, start: datetime, days: int) -> Clock:
        """Lay out hours from a moment on; None stands for hours that name no clock, and always work."""
        length = days * 24 * 60.0
        if hours is None:
            return cls((0.0,), (0.0,), length)
        opens, worked, total = [], [], 0.0
        for begin, end in hours.shifts(start, start + timedelta(days=days)):
            opens.append((begin - start).total_seconds() / 60)
            worked.append(total)
            total += (end - begin).total_seconds() / 60
        return cls(tuple(opens), tuple(worked), total)

    def worked_until(self, minute: float) -> float:
        """Return the working minutes from the beginning to a minute."""
        shift = bisect_right(self.opens, minute) - 1
        if shift < 0:
            return 0.0
        ends = self.worked[shift + 1] if shift + 1 < len(self.worked) else self.total
        return min(ends, self.worked[shift] + minute - self.opens[shift])

    def left(self, minute: float) -> float:
        """Return the working minutes from a minute on."""
        return self.total - self.worked_until(minute)

    def after(self, minute: float, minutes: float) -> float | None:
        """Return the minute at which that many working minutes have passed; None where so many are not left."""
        goal = self.worked_until(minute) + minutes
        if goal > self.total:
            return None
        shift = max(0, bisect_right(self.worked, goal) - 1)
        while shift and self.worked[shift] == goal:  # it ends with the shift before, not when the next one opens
            shift -= 1
        return max(minute, self.opens[shift] + goal - self.worked[shift])
