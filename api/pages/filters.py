"""Filters of the templates: shares and moments, written for people."""

from __future__ import annotations

from datetime import UTC, datetime

_MINUTE, _HOUR, _DAY = 60, 3600, 86_400
_WORDS = (
    (0.95, "almost certain"),
    (0.85, "very likely"),
    (0.65, "likely"),
    (0.5, "more likely than not"),
    (0.0, "a guess"),
)
"""Least probability of each word; those of intelligence analysts (ICD 203) put into everyday ones."""


def percent(share: float | None) -> str:
    """Write a share of one in per cent.

    Nothing is written as certain: shares come rounded, and what was measured a few times may fail the next.

    Example:
        >>> percent(0.705), percent(1.0), percent(0.0), percent(None)
        ('70 %', '>99 %', '<1 %', '–')
    """
    if share is None:
        return "–"
    if share > 0.99:
        return ">99 %"
    return "<1 %" if share < 0.01 else f"{round(share * 100)} %"


def ago(moment: datetime, now: datetime | None = None) -> str:
    """Say how long ago something was, roughly.

    Example:
        >>> ago(datetime(2026, 1, 1, 12, 0, tzinfo=UTC), datetime(2026, 1, 1, 12, 5, tzinfo=UTC))
        '5 min ago'
    """
    seconds = ((now or datetime.now(UTC)) - moment).total_seconds()
    if seconds < _MINUTE:
        return "just now"
    for unit, size in (("d", _DAY), ("h", _HOUR), ("min", _MINUTE)):
        if seconds >= size:
            return f"{int(seconds // size)} {unit} ago"
    return "just now"


def at(moment: datetime) -> str:
    """Write a moment in UTC, to the minute.

    Example:
        >>> at(datetime(2026, 1, 1, 12, 5, tzinfo=UTC))
        '1 Jan, 12:05 UTC'
    """
    moment = moment.astimezone(UTC)
    return f"{moment.day} {moment:%b, %H:%M} UTC"


def surely(share: float) -> str:
    """Say in words how far a probability goes, as people understand such words.

    Example:
        >>> surely(0.97), surely(0.4)
        ('almost certain: right about 97 times in 100', 'a guess: right about 40 times in 100')
    """
    words = next(words for least, words in _WORDS if share >= least)
    return f"{words}: right about {min(99, max(1, round(share * 100)))} times in 100"
