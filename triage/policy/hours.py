"""The clock of a tier: minutes count while it works, and stand still on nights, week-ends and holidays."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY = "|".join(DAYS)
_FROM_TO = rf"\b(?:{_DAY})(?:\s*-\s*(?:{_DAY}))?\b"
_DAYS = re.compile(rf"{_FROM_TO}(?:\s*[,/&+]\s*{_FROM_TO})*")
_SPAN = re.compile(rf"(?:({_DAYS.pattern})\s+)?\b(\d{{1,2}}):(\d\d)\s*-\s*(\d{{1,2}}):(\d\d)\b")
_AND = re.compile(r"\s*(?:[,;/&+]|and\b)\s*")
"""What may stand before a span that is of the same days as the one before it."""
_CLOCK = re.compile(r"\d[:.]\d\d|\d\s*(?:-|to)\s*\d|\d\s*[ap]\.?m\b")
"""What looks like a time of day: where it is none of a span, the hours say something else than they seem to."""
_ALWAYS = ("", "always", "24/7")
_WHOLE_DAY = 24 * 60
_HORIZON_DAYS = 3660
"""Days that a clock looks ahead: a check that is due later than ten years from now is none."""

Span = tuple[int, int, int]
"""Day of the week (0 is Monday), first minute, and one past the last, counted from that day's midnight."""


@dataclass(frozen=True)
class Hours:
    """When a tier works.

    Attributes:
        spans: By day of the week; one that ends after midnight has more minutes than a day.
        zone: Time zone that the minutes are in.
        holidays: Days without work.
    """

    spans: tuple[Span, ...]
    zone: ZoneInfo
    holidays: frozenset[date] = frozenset()

    @classmethod
    def parse(cls, text: str, zone: str = "UTC", holidays: tuple[str, ...] = ()) -> Hours | None:
        """Read hours such as ``mon-fri 08:00-18:00, sat 08:00-12:00`` or ``always``; None where they name no clock.

        A span that closes before it opens ends on the next day, and one without a day is of those before it, as in
        ``mon-fri 08:00-12:00, 13:00-17:00``. What cannot be read is left out: see `hours_problem`.

        Example:
            >>> Hours.parse("mon-fri 08:00-18:00").spans[0]
            (0, 480, 1080)
            >>> Hours.parse("mon 22:00-06:00").spans
            ((0, 1320, 1800),)
            >>> Hours.parse("as contracted") is None
            True
        """
        spans, _ = _read(text)
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
        """Yield the shifts from the day before a moment on, which may last into its day, in UTC and in order.

        Shifts that overlap or touch are one.
        """
        first = start.astimezone(self.zone).date() - timedelta(days=1)
        last: tuple[datetime, datetime] | None = None
        for opens, closes in self._of_days(first):
            if last is not None and opens <= last[1]:
                last = last[0], max(last[1], closes)
                continue
            if last is not None:
                yield last
            last = opens, closes
        if last is not None:
            yield last

    def _of_days(self, first: date) -> Iterator[tuple[datetime, datetime]]:
        """Yield what begins on each day from one on."""
        for ahead in range(_HORIZON_DAYS):
            today = first + timedelta(days=ahead)
            if today not in self.holidays:
                for weekday, opens, closes in sorted(self.spans):
                    if weekday == today.weekday():
                        yield self._moment(today, opens), self._moment(today, closes)

    def _moment(self, day: date, minute: int) -> datetime:
        if minute >= _WHOLE_DAY:
            day, minute = day + timedelta(days=1), minute - _WHOLE_DAY
        return datetime.combine(day, time(minute // 60, minute % 60), self.zone).astimezone(UTC)


def hours_problem(text: str) -> str | None:
    """Return what of hours cannot be read, as it is written there; None where they name a clock, or say it in words.

    Example:
        >>> hours_problem("mon-fri 08:00-18:00, on call for major incidents") is None
        True
        >>> hours_problem("mon-fri 08:00-18:00, sat 08:00-48:00")
        'sat 08:00-48:00'
    """
    return _read(text)[1]


def _read(text: str) -> tuple[tuple[Span, ...], str | None]:
    """Return the spans of hours, and the first of what cannot be read as one though it looks like it."""
    plain, end = text.lower().replace("–", "-").strip(), 0
    if plain in _ALWAYS:
        return tuple((day, 0, _WHOLE_DAY) for day in range(7)), None
    spans, odd, days = list[Span](), list[str](), list[int]()
    for found in _SPAN.finditer(plain):
        before, end = plain[end : found.start()], found.end()
        odd += _odd(before)
        stated, *clock = found.groups()
        if stated is not None:
            days = _days(stated)
        elif not _AND.fullmatch(before):
            days = []
        minutes = _minutes(*map(int, clock))
        spans += [(day, *minutes) for day in days if minutes is not None]
        odd += [found[0]] if minutes is None or not days else []
    odd += _odd(plain[end:])
    return tuple(spans), odd[0] if odd else None


def _odd(words: str) -> list[str]:
    """Return the parts of what stands beside spans that look like a time of day, or are days alone."""
    parts = (part.strip() for part in re.split("[,;]", words))
    return [part for part in parts if _CLOCK.search(part) or _DAYS.fullmatch(part)]


def _minutes(hour: int, minute: int, to_hour: int, to_minute: int) -> tuple[int, int] | None:
    """Return the first minute of a span and one past its last; None where there are no such times."""
    opens, closes = hour * 60 + minute, to_hour * 60 + to_minute
    if max(minute, to_minute) > 59 or opens >= _WHOLE_DAY or closes > _WHOLE_DAY or opens == closes:
        return None
    return opens, closes if closes > opens else closes + _WHOLE_DAY


def _days(stated: str) -> list[int]:
    """Return the days of the week that are named, such as ``mon-wed, fri``."""
    found = set[int]()
    for part in re.split("[,/&+]", stated):
        first, *others = (DAYS.index(day.strip()) for day in part.split("-"))
        last = others[0] if others else first
        found |= {(first + step) % 7 for step in range((last - first) % 7 + 1)}
    return sorted(found)
