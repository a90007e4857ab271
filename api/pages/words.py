"""Filters of the templates: shares, moments and the marks of a text, written for people."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from markupsafe import Markup, escape

_MARKS = (
    (re.compile(r"\*\*(.+?)\*\*"), r"<strong>\1</strong>"),
    (re.compile(r"`([^`]+)`"), r"<code>\1</code>"),
    (re.compile(r"\n\n+"), "<br><br>"),
)
_MINUTE, _HOUR, _DAY = 60, 3600, 86_400


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


def prose(text: str) -> Markup:
    """Write a text of the API's description for a page: everything is escaped, then its few marks become elements.

    Example:
        >>> str(prose("**Safe**: `a < b`"))
        '<strong>Safe</strong>: <code>a &lt; b</code>'
    """
    marked = str(escape(text))
    for mark, element in _MARKS:
        marked = mark.sub(element, marked)
    return Markup(marked)


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
