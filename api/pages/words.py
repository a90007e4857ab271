"""Plain words for what decisions say in codes."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from markupsafe import Markup, escape

AUTOMATION = {
    "automatic": "Decided",
    "suggested": "Suggested – please check",
    "blank": "No suggestion",
}

SOURCES = {
    "model": "Learned from past tickets",
    "bypass_rule": "Written rule",
    "fallback_rule": "Written rule",
    "default": "Default route",
}

REASONS = {
    "confident": "Sure enough: at this confidence the promised error rate is kept.",
    "rule": "A written rule decides tickets like this one.",
    "low_confidence": "The model is not sure enough to decide this alone.",
    "ambiguous": "Two answers are about equally likely. A question below may settle it.",
    "out_of_distribution": "This reads unlike the tickets this desk has seen before.",
    "unsupported_language": "The model has not learned this language.",
    "too_short": "Too little is said to tell. Ask first.",
    "illegal_pair": "By the policy, this tier and this category never go together.",
    "class_excluded": "Similar tickets belong to a kind that is too rare to have been learned.",
    "no_head": "The model has not learned to tell this.",
    "model_unavailable": "No model is in use. This is what the written rules say.",
}

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
