"""Dates as exports write them: one column has one form, so day and month are told apart by the column as a whole."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta, tzinfo
from itertools import pairwise
from typing import Any, Literal

from training.data.dates.calendar_words import month_of, without_weekday, zone_of
from training.data.dates.half_converted import (
    IN_ORDER,
    LEAST_ROWS,
    OUT_OF_ORDER,
    Mixed,
    are_swapped,
    in_utc,
    may_be_swapped,
    share_in_order,
    swapped,
)
from training.data.values import InvalidValue, parse_text, stated
from triage.errors import InvalidRequest

Order = Literal["dmy", "mdy", "ymd"]
ORDERS: tuple[Order, ...] = ("dmy", "mdy", "ymd")
"""What `--date-order` takes."""

FIRST_YEAR = 1980
"""No desk's tickets are older; 1970, 1900 and 1899 are zeros of clocks and spreadsheets."""

_LAST_YEAR_AHEAD = 1
_FEW_YEARS, _MANY_DAYS = 2, 4
"""Different numbers that years have at most, and days at least, where the one is told from the other by that."""

_NUMBER = re.compile(r"[+-]?\d+(?:[.,]\d+)?")
_ZEROS = re.compile(r"[0\s:/.T-]*0[0\s:/.TZ-]*")
_DOT_NET = re.compile(r"/Date\((-?\d+)(?:[+-]\d{4})?\)/")
_YEAR_FIRST = re.compile(r"(?P<y>\d{4})[-/.](?P<m>\d{1,2})[-/.](?P<d>\d{1,2})(?P<rest>(?:\D.*)?)", re.DOTALL)
_TRIPLE = re.compile(
    r"(?P<a>\d{1,2})(?P<mark>[-/.])(?P<b>\d{1,2})(?P=mark)(?P<y>\d{4}|\d{2})(?P<rest>(?:[^\d/].*)?)", re.DOTALL
)
_DAY_FIRST = re.compile(
    r"(?P<d>\d{1,2})(?:st|nd|rd|th|er|\.|º)?[\s/.-]*(?:de\s+|of\s+)?(?P<m>[^\W\d_]+)\.?[\s/.,-]*(?:de\s+)?"
    r"(?P<y>\d{4}|\d{2})(?P<rest>(?:\D.*)?)",
    re.IGNORECASE | re.DOTALL,
)
_MONTH_FIRST = re.compile(
    r"(?P<m>[^\W\d_]+)\.?[\s/-]+(?P<d>\d{1,2})(?:st|nd|rd|th)?,?[\s/-]+(?P<y>\d{4})(?P<rest>(?:\D.*)?)",
    re.IGNORECASE | re.DOTALL,
)
_YEAR_LAST = re.compile(
    r"(?P<m>[^\W\d_]+)\s+(?P<d>\d{1,2})\s+(?P<rest>\d\d:\d\d:\d\d(?:\s+[A-Z]{2,5})?(?:\s?[+-]\d\d:?\d\d)?)\s+(?P<y>\d{4})"
)
_NAMED_YEAR_FIRST = re.compile(r"(?P<y>\d{4})[\s/-](?P<m>[^\W\d_]+)[\s/-](?P<d>\d{1,2})(?P<rest>(?:\D.*)?)", re.DOTALL)
_TIME = re.compile(
    r"[\s,T|-]*(?:at|à|um|a las|alle|om|kl\.?)?\s*(?P<h>\d{1,2})(?:[:.h](?P<mi>\d{2}))?"
    r"(?:[:.](?P<s>\d{2})(?:[.,:](?P<f>\d{1,9}))?)?"
    r"\s*(?P<half>[ap])?(?(half)\.?\s?m\b\.?)(?:\s*uhr\b)?\s*(?P<zone>.*)",
    re.IGNORECASE | re.DOTALL,
)
_EXCEL_ZERO = datetime(1899, 12, 30)
_EXCEL_FIRST, _EXCEL_LAST = 29221, 73051  # the years 1980 to 2099 in days
_UNITS = ((1e8, 1e10, 1.0), (1e11, 1e13, 1e3), (1e14, 1e16, 1e6), (1e17, 1e19, 1e9))


@dataclass(frozen=True)
class _Triple:
    """A date of three numbers, the order of whose first two is not known yet."""

    numbers: tuple[int, int, int]
    rest: str
    short_year: bool

    def orders(self) -> tuple[Order, ...]:
        """Return the orders in which the numbers are a date."""
        first, second, third = self.numbers
        orders: list[Order] = []
        if first <= 31 and second <= 12:
            orders.append("dmy")
        if first <= 12 and second <= 31:
            orders.append("mdy")
        if self.short_year and second <= 12 and third <= 31:
            orders.append("ymd")
        return tuple(orders)

    def at(self, order: Order) -> datetime:
        first, second, third = self.numbers
        day, month, year = {"dmy": (first, second, third), "mdy": (second, first, third),
                            "ymd": (third, second, first)}[order]  # fmt: skip
        return _at(year, month, day, self.rest)


@dataclass
class DateColumn:
    """The dates of one column, read alike; made by `date_column` from the whole of it.

    Attributes:
        order: The order of day and month where both are numbers; None where no value of the column is such a date.
        because: Why that order, in words; empty where there is nothing to tell.
        unreadable: How many values were read in vain so far.
        impossible: How many values had a year that cannot be so far.
        zeros: How many dates were all zeros so far.
        swapped: Whether a spreadsheet has swapped day and month of the dates that are no texts.
        swapped_back: How many dates were swapped back so far.
    """

    order: Order | None = None
    because: str = ""
    unreadable: int = 0
    impossible: int = 0
    zeros: int = 0
    swapped: bool = False
    swapped_back: int = 0

    def read(self, value: Any) -> datetime | None:
        """Read one value; None where nothing, or no date that can be, stands there. Each is counted.

        A date without a zone is taken as UTC.
        """
        try:
            found = _parsed(value)
            moment = found.at(self._order_of(found)) if isinstance(found, _Triple) else self._unswapped(found)
        except (InvalidValue, ValueError, OverflowError):
            self.unreadable += 1
            return None
        if moment is None:
            self.zeros += _is_zero(value)
            return None
        moment = in_utc(moment)
        if not FIRST_YEAR <= moment.year <= datetime.now(UTC).year + _LAST_YEAR_AHEAD:
            self.impossible += 1
            return None
        return moment

    def _unswapped(self, moment: datetime | None) -> datetime | None:
        if moment is None or not self.swapped or not may_be_swapped(moment):
            return moment
        self.swapped_back += 1
        return swapped(moment)

    def _order_of(self, found: _Triple) -> Order:
        orders = found.orders()
        if self.order in orders:
            return self.order
        if self.order is None and len(orders) == 1:
            return orders[0]
        raise InvalidValue("no date in the order of its column")


@dataclass
class _Evidence:
    """What the dates of three numbers in a column say about their order."""

    only: dict[Order, int] = field(default_factory=lambda: {"dmy": 0, "mdy": 0, "ymd": 0})
    triples: list[_Triple] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    rows: list[_Triple | datetime] = field(default_factory=list)

    def add(self, text: str, found: _Triple) -> None:
        orders = [order for order in found.orders() if order != "ymd" or not self._year_is_last(found)]
        if len(orders) == 1:
            self.only[orders[0]] += 1
        self.triples.append(found)
        self.rows.append(found)
        self.texts.append(text)

    @staticmethod
    def _year_is_last(found: _Triple) -> bool:
        return not found.short_year


def date_column(
    values: Iterable[Any], where: str, stated_order: str | None = None, *, before: str | None = None
) -> DateColumn:
    """Examine a whole column of dates.

    Day and month are told apart by values that can only be read one way, else by the order of the rows: most exports
    are sorted by date, and in the wrong reading they are not.

    Args:
        values: All of its values.
        where: File and column, for errors.
        stated_order: ``dmy`` or ``mdy``, where the user said so.
        before: The order of earlier columns of the same export, which counts where nothing here tells another.

    Raises:
        InvalidRequest: If the order cannot be told and was not stated, or whether a spreadsheet has swapped some.
    """
    evidence = _Evidence()
    for value in values:
        try:
            found = _parsed(value)
        except (InvalidValue, ValueError, OverflowError):
            continue
        if isinstance(found, _Triple) and found.orders():
            evidence.add(str(value), found)
        elif isinstance(found, datetime):
            evidence.rows.append(found)
    if not evidence.triples:
        return DateColumn()
    if stated_order is not None:
        column = DateColumn(_order(stated_order), "as stated")
    else:
        column = _decided_or_as_before(evidence, where, before)
    mixed = _mixed(evidence, column)
    if mixed is not None:
        column.swapped = are_swapped(mixed, where, str(column.order), stated=stated_order is not None)
    return column


def _mixed(evidence: _Evidence, column: DateColumn) -> Mixed | None:
    """Return what tells whether dates that are no texts were swapped; None where no spreadsheet can have done that."""
    if column.order not in ("dmy", "mdy"):
        return None
    either_way = sum({"dmy", "mdy"} <= set(one.orders()) for one in evidence.triples)
    typed = [one for one in evidence.rows if isinstance(one, datetime)]
    texts = {id(one): moment for one in evidence.triples if (moment := _moment_of(one, column.order)) is not None}
    rows = [
        (one, swapped(one)) if isinstance(one, datetime) else (texts[id(one)], texts[id(one)])
        for one in evidence.rows
        if isinstance(one, datetime) or id(one) in texts
    ]
    return Mixed(
        typed=[one for one in typed if one.tzinfo is None],
        one_way=len(evidence.triples) - either_way,
        either_way=either_way,
        texts=list(texts.values()),
        rows=rows,
        turns=sum(isinstance(one, datetime) != isinstance(other, datetime) for one, other in pairwise(evidence.rows)),
    )


def _moment_of(triple: _Triple, order: Order) -> datetime | None:
    try:
        return triple.at(order)
    except (InvalidValue, ValueError, OverflowError):
        return None


def _order(stated: str) -> Order:
    return next(order for order in ORDERS if order == stated)


def _decided_or_as_before(evidence: _Evidence, where: str, before: str | None) -> DateColumn:
    try:
        return _decided(evidence, where)
    except InvalidRequest:
        if before is None or not all(before in one.orders() for one in evidence.triples):
            raise
        return DateColumn(_order(before), "as in the files before, as nothing here tells")


def _decided(evidence: _Evidence, where: str) -> DateColumn:
    try:
        short = _short_years(evidence)
    except InvalidRequest as error:
        raise InvalidRequest(f"{where}: {error}; say --date-order {', '.join(ORDERS)}") from None
    if short is not None:
        return short
    days, months = evidence.only["dmy"], evidence.only["mdy"]
    if days and not months:
        return DateColumn("dmy", f"{days} dates have a first number above 12")
    if months and not days:
        return DateColumn("mdy", f"{months} dates have a second number above 12")
    if not days and not months:
        if all(one.numbers[0] == one.numbers[1] for one in evidence.triples):
            return DateColumn("dmy", "day and month are the same number in every date")
        sorted_by = _order_of_rows(evidence)
        if sorted_by is not None:
            return DateColumn(sorted_by, "the rows are sorted by date in this reading only")
    seen = (
        f"{days} dates can only be day first and {months} only month first"
        if days and months
        else f"none of its {len(evidence.triples)} dates has a number above 12"
    )
    raise InvalidRequest(
        f"{where}: day and month cannot be told apart: {seen}; say --date-order dmy or --date-order mdy"
    )


def _short_years(evidence: _Evidence) -> DateColumn | None:
    """Tell where years of two digits stand: they hardly change from row to row, while days do.

    Returns:
        The column, where years stand first; None where they stand last.

    Raises:
        InvalidRequest: If both can be.
    """
    if not all(one.short_year for one in evidence.triples):
        return None
    orders = {order for order in ("dmy", "mdy", "ymd") if _all_possible(evidence.triples, order)}
    firsts, lasts = ({one.numbers[place] for one in evidence.triples} for place in (0, 2))
    if orders == {"ymd"} or ("ymd" in orders and len(firsts) <= _FEW_YEARS < _MANY_DAYS <= len(lasts)):
        return DateColumn("ymd", "the first numbers are years, for they hardly change")
    if "ymd" in orders and len(orders) > 1 and not len(lasts) <= _FEW_YEARS < _MANY_DAYS <= len(firsts):
        raise InvalidRequest("day and year cannot be told apart")
    pairs: tuple[tuple[Order, Order], ...] = (("dmy", "mdy"), ("mdy", "dmy"))
    for order, other in pairs:
        only = sum(order in one.orders() and other not in one.orders() for one in evidence.triples)
        evidence.only.update({order: only})
    return None


def _all_possible(triples: Sequence[_Triple], order: Order) -> bool:
    """Whether all dates can be read in an order, none of them in the future."""
    latest = datetime.now(UTC).year + _LAST_YEAR_AHEAD
    try:
        return all(order in one.orders() and FIRST_YEAR <= one.at(order).year <= latest for one in triples)
    except (InvalidValue, ValueError, OverflowError):
        return False


def _order_of_rows(evidence: _Evidence) -> Order | None:
    """Return the only reading in which the rows are sorted by date; None where there is no such one.

    A column that is sorted as text says nothing: 01/02, 01/03, 02/01 looks like months in order.
    """
    texts = evidence.texts
    if len(set(texts)) < LEAST_ROWS or texts == sorted(texts) or texts == sorted(texts, reverse=True):
        return None
    shares = {order: share_in_order(_all_moments(evidence.triples, order)) for order in ORDERS if order != "ymd"}
    if shares["dmy"] >= IN_ORDER and shares["mdy"] <= OUT_OF_ORDER:
        return "dmy"
    return "mdy" if shares["mdy"] >= IN_ORDER and shares["dmy"] <= OUT_OF_ORDER else None


def _all_moments(triples: Sequence[_Triple], order: Order) -> list[datetime]:
    return [moment for one in triples if (moment := _moment_of(one, order)) is not None]


# ── One value ────────────────────────────────────────────────────────────────────────────────────────────────────────


def _parsed(value: Any) -> datetime | _Triple | None:
    """Read a value as far as it alone allows; a date has a zone where one is stated.

    Raises:
        InvalidValue: If it is no date.
        ValueError: If its numbers are none.
    """
    if isinstance(value, datetime):
        return value
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day)
    text = stated(parse_text(value, "opened_at"))
    if text is None or text in ("-", "--", "N/A", "n/a", "#N/A") or _ZEROS.fullmatch(text):
        return None
    return _of_text(" ".join(text.replace("\u202f", " ").split()))


def _is_zero(value: Any) -> bool:
    return isinstance(value, (str, int)) and bool(_ZEROS.fullmatch(str(value)))


def _of_text(text: str) -> datetime | _Triple:
    number = _of_number(text) if _NUMBER.fullmatch(text) else None
    if number is not None:
        return number
    milliseconds = _DOT_NET.fullmatch(text)
    if milliseconds:
        return datetime.fromtimestamp(int(milliseconds[1]) / 1000, UTC)
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        pass
    text = without_weekday(text)
    triple = _TRIPLE.fullmatch(text)
    if triple:
        year, short = int(triple["y"]), len(triple["y"]) == 2
        return _Triple((int(triple["a"]), int(triple["b"]), year), triple["rest"], short)
    for pattern in (_YEAR_FIRST, _YEAR_LAST, _DAY_FIRST, _MONTH_FIRST, _NAMED_YEAR_FIRST):
        match = pattern.fullmatch(text)
        if match:
            month = int(match["m"]) if match["m"].isdigit() else month_of(match["m"])
            return _at(int(match["y"]), month, int(match["d"]), match["rest"])
    raise InvalidValue("opened_at is no date")


def _of_number(text: str) -> datetime | None:
    """Read a number: days since 1900 as spreadsheets count, seconds since 1970 or parts of them, or plain digits."""
    number = float(text.replace(",", "."))
    if _EXCEL_FIRST <= number <= _EXCEL_LAST:
        return _EXCEL_ZERO + timedelta(seconds=round(number * 86400))
    if text.isdigit() and len(text) in (8, 12, 14) and 1900 <= int(text[:4]) <= 2100 and 1 <= int(text[4:6]) <= 12:
        padded = text.ljust(14, "0")
        return datetime.strptime(padded, "%Y%m%d%H%M%S")
    for least, most, parts in _UNITS:
        if least <= number < most:
            return datetime.fromtimestamp(number / parts, UTC)
    return None


def _at(year: int, month: int, day: int, rest: str) -> datetime:
    """Put a date together with what stands behind it: a time, and a zone or none."""
    if year < 100:
        year += 2000 if year < 70 else 1900  # as POSIX reads two digits
    rest = rest.strip()
    if not rest:
        return datetime(year, month, day)
    match = _TIME.fullmatch(rest)
    if not match or (match["mi"] is None and not match["half"]):
        raise InvalidValue("opened_at has something behind its date that is no time")
    hour = int(match["h"])
    if match["half"]:
        if not 1 <= hour <= 12:
            raise InvalidValue("opened_at has an hour that is none of twelve")
        hour = hour % 12 + (12 if match["half"].casefold() == "p" else 0)
    micro = int((match["f"] or "0").ljust(6, "0")[:6])
    next_day = hour == 24  # the end of a day, in ISO 8601
    zone: tzinfo | None = zone_of(match["zone"]) if match["zone"].strip() else None
    moment = datetime(year, month, day, 0 if next_day else hour, int(match["mi"] or 0), int(match["s"] or 0), micro,
                      zone)  # fmt: skip
    return moment + timedelta(days=1) if next_day else moment
