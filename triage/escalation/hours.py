"""The clock of a tier: minutes count while it works, and stand still on nights, week-ends and holidays."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY = "|".join(DAYS)
_SPAN = re.compile(rf"({_DAY})(?:\s*-\s*({_DAY}))?\s+(\d{{1,2}}):(\d\d)\s*-\s*(\d{{1,2}}):(\d\d)")
_WHOLE_DAY = 24 * 60
_HORIZON_DAYS = 3660
"""Days that a clock looks ahead: a check that is due later than ten years from now is none."""


@dataclass(frozen=True)
class Hours:
    """When a tier works.

    Attributes:
        spans: By day of the week (0 is Monday): first minute and one past the last, counted from midnight.
        zone: Time zone that the minutes are in.
        holidays: Days without work.
    """

    spans: tuple[tuple[int, int, int], ...]
    zone: ZoneInfo
    holidays: frozenset[date] = frozenset()

    @classmethod
    def parse(cls, text: str, zone: str = "UTC", holidays: tuple[str, ...] = ()) -> Hours | None:
        """Read hours such as ``mon-fri 08:00-18:00, sat 08:00-12:00`` or ``always``; None where they name no clock.

        Example:
            >>> Hours.parse("mon-fri 08:00-18:00").spans[0]
            (0, 480, 1080)
            >>> Hours.parse("as contracted") is None
            True
        """
        found = [match.groups() for match in _SPAN.finditer(text.lower())]
        spans = tuple(
            (day, int(hour) * 60 + int(minute), int(to_hour) * 60 + int(to_minute))
            for first, last, hour, minute, to_hour, to_minute in found
            for day in _days(first, last or first)
        )
        if not spans and text.strip().lower() in ("", "always"):
            spans = tuple((day, 0, _WHOLE_DAY) for day in range(7))
        return cls(spans, ZoneInfo(zone), frozenset(map(date.fromisoformat, holidays))) if spans else None

    def minutes_between(self, start: datetime, end: datetime) -> float:
        """Return the working minutes between two moments, both with a time zone; 0 where the end comes first."""
        total = timedelta()
        for opens, closes in self._shifts(start):
            if opens >= end:
                break
            total += max(timedelta(), min(closes, end) - max(opens, start))
        return total.total_seconds() / 60

    def after(self, start: datetime, minutes: float) -> datetime | None:
        """Return the moment at which that many working minutes have passed; None where that never comes."""
        left = timedelta(minutes=max(0.0, minutes))
        for opens, closes in self._shifts(start):
            begins = max(opens, start)
            if begins < closes and left <= closes - begins:
                return begins + left
            left -= max(timedelta(), closes - begins)
        return None

    def shifts(self, start: datetime, end: datetime) -> Iterator[tuple[datetime, datetime]]:
        """Yield the shifts between two moments, cut off at both, in UTC and in order."""
        for opens, closes in self._shifts(start):
            if opens >= end:
                break
            if closes > start:
                yield max(opens, start), min(closes, end)

    def _shifts(self, start: datetime) -> Iterator[tuple[datetime, datetime]]:
        """Yield the shifts from the day of a moment on, in UTC and in order."""
        day = start.astimezone(self.zone).date()
        for ahead in range(_HORIZON_DAYS):
            today = day + timedelta(days=ahead)
            if today not in self.holidays:
                for weekday, opens, closes in sorted(self.spans):
                    if weekday == today.weekday():
                        yield self._moment(today, opens), self._moment(today, closes)

    def _moment(self, day: date, minute: int) -> datetime:
        if minute >= _WHOLE_DAY:
            day, minute = day + timedelta(days=1), minute - _WHOLE_DAY
        return datetime.combine(day, time(minute // 60, minute % 60), self.zone).astimezone(UTC)


def _days(first: str, last: str) -> list[int]:
    start, end = DAYS.index(first), DAYS.index(last)
    return [(start + step) % 7 for step in range((end - start) % 7 + 1)]
