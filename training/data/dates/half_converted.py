"""Dates that a spreadsheet has half converted: those whose day it could take for a month are swapped, the rest text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise

from triage.errors import InvalidRequest

IN_ORDER, OUT_OF_ORDER, LEAST_ROWS = 0.98, 0.85, 10
"""Share of neighbouring rows that follow each other in time in a sorted export, and less than which is no sorting."""

_LEFT_OVER = 0.05
"""Share of the texts that can be read either way, up to which they are what a spreadsheet could not take for dates."""

_MANY, _MONTHS = 8, 3
"""Dates, and months that they lie in, of which none has a day above 12 only where day and month are swapped."""


@dataclass(frozen=True)
class Mixed:
    """A column in which some dates stand as dates and others as texts of three numbers.

    Attributes:
        typed: Those that stand as dates, without a zone, in order.
        one_way: How many texts can be read one way only.
        either_way: How many texts can be read day first and month first.
        texts: The dates that are texts, as the column is read.
        rows: All of them in order, in both readings: as they stand, and swapped back.
        turns: How often a date is followed by a text or a text by a date.
    """

    typed: Sequence[datetime]
    one_way: int
    either_way: int
    texts: Sequence[datetime]
    rows: Sequence[tuple[datetime, datetime]]
    turns: int

    @property
    def in_doubt(self) -> int:
        """How many dates may be swapped."""
        return sum(may_be_swapped(one) for one in self.typed)

    @property
    def all_below_13(self) -> bool:
        """Whether no date is proof that it was read rightly."""
        return all(one.day <= 12 for one in self.typed)

    @property
    def left_over(self) -> bool:
        """Whether the texts are those that a spreadsheet could not take for dates."""
        return self.one_way > 0 and self.either_way <= _LEFT_OVER * (self.one_way + self.either_way)

    @property
    def spread(self) -> bool:
        """Whether so many dates in so many months would have a day above 12 among them."""
        return len(self.typed) >= _MANY and len(set(map(_month, self.typed))) >= _MONTHS


def may_be_swapped(moment: datetime) -> bool:
    """Say whether a date can be another one with day and month swapped: one with a zone comes from no spreadsheet."""
    return moment.tzinfo is None and moment.day <= 12 and moment.day != moment.month


def swapped(moment: datetime) -> datetime:
    """Return a date with day and month swapped, where it may be.

    Example:
        >>> swapped(datetime(2026, 3, 5)).date().isoformat(), swapped(datetime(2026, 3, 25)).date().isoformat()
        ('2026-05-03', '2026-03-25')
    """
    return moment.replace(month=moment.day, day=moment.month) if may_be_swapped(moment) else moment


def are_swapped(mixed: Mixed, where: str, order: str, *, stated: bool) -> bool:
    """Say whether the dates that stand as dates have day and month swapped.

    A spreadsheet that reads days for months takes ``05/03`` for the third of May and leaves ``25/03`` as a text.

    Args:
        mixed: The column.
        where: File and column, for errors.
        order: That of the texts, such as ``dmy``.
        stated: Whether the user said so.

    Raises:
        InvalidRequest: If that cannot be told, and the user has not said how the dates stood.
    """
    if not mixed.in_doubt or not _suspicious(mixed):
        return False
    told = _told_by_rows(mixed)
    if told is None and mixed.all_below_13:
        told = _told_by_months(mixed)
    if told is not None:
        return told
    if stated:
        return mixed.all_below_13
    kind = "day first" if order == "dmy" else "month first"
    then = "swaps these back" if mixed.all_below_13 else "takes these as they stand"
    raise InvalidRequest(
        f"{where}: a spreadsheet may have swapped day and month: {mixed.one_way} dates are texts that can only be "
        f"{kind}, and {mixed.in_doubt} stand as dates with a day below 13; export anew with that column as text, or "
        f"say --date-order {order}, which {then}"
    )


def _suspicious(mixed: Mixed) -> bool:
    if mixed.all_below_13:
        return mixed.left_over or mixed.spread
    return mixed.left_over and mixed.one_way >= _MANY


def _told_by_months(mixed: Mixed) -> bool | None:
    """Tell by the months in which dates lie: those of a few days in a row lie in one or two, and beside the texts."""
    back = [swapped(one) for one in mixed.typed]
    if len(set(map(_month, mixed.typed))) < _MONTHS <= len(set(map(_month, back))):
        return False
    beside = set(map(_month, mixed.texts))
    together = sum(_month(one) in beside for one in back) >= sum(_month(one) in beside for one in mixed.typed)
    return True if mixed.left_over and mixed.spread and together else None


def _told_by_rows(mixed: Mixed) -> bool | None:
    """Tell by the order of the rows; a table that was sorted in the spreadsheet has its dates first: no evidence."""
    if len(set(mixed.rows)) < LEAST_ROWS:
        return None
    as_they_stand, otherwise = (share_in_order([row[way] for row in mixed.rows]) for way in (0, 1))
    if otherwise >= IN_ORDER and as_they_stand <= OUT_OF_ORDER:
        return True
    return False if as_they_stand >= IN_ORDER and otherwise <= OUT_OF_ORDER and mixed.turns > 1 else None


def share_in_order(moments: Sequence[datetime]) -> float:
    """Return the share of neighbours that follow each other in time, forwards or backwards, in [0, 1]."""
    known = [in_utc(one) for one in moments]
    steps = [after >= before for before, after in pairwise(known)]
    back = [after <= before for before, after in pairwise(known)]
    return max(sum(steps), sum(back)) / max(1, len(steps))


def in_utc(moment: datetime) -> datetime:
    """Return a date with a zone: without one it is taken as UTC."""
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment


def _month(moment: datetime) -> tuple[int, int]:
    return moment.year, moment.month
