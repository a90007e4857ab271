"""Dates in every usual form; day and month told apart by the whole column or asked for, never wrong."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import pytest

from training.data.dates import date_column
from triage.errors import InvalidRequest

WHEN = datetime(2025, 3, 5, 14, 7, tzinfo=UTC)


@pytest.mark.parametrize(
    "written",
    [
        "2025-03-05T14:07:00Z",
        "2025-03-05 14:07",
        "2025-03-05T15:07:00.000+0100",
        "2025-03-05 14:07:00 UTC",
        "2025-03-05 09:07 (UTC-05:00)",
        "2025-03-05 09:07 (UTC-05:00) Eastern Time (US & Canada)",
        "2025-03-05 09:07 (EST)",
        "2025-03-05 06:07:00 (PST)",
        "2025-03-05 15:07 [Europe/Berlin]",
        "2025-03-05 14:07 (UTC)",
        "2025-03-05 14:07 (Central European Time)",
        "2025-03-05 14:07 (Ortszeit)",
        "2025-03-05 14:07 (local time)",
        "2025-03-05 14:07 (Friday)",
        "2025-03-05 14:07 (2 hours ago)",
        "2025-03-05 14:07 (Desk/Vienna)",
        "2025-03-05 16:07 (MESZ, Wien)",
        "2025-03-05 15:07 CET (local time)",
        "2025-03-05 15:07 Europe/Berlin",
        "2025-03-05T15:07:00+01:00[Europe/Berlin]",
        "2025/03/05 2:07 PM",
        "20250305140700",
        "20250305T140700Z",
        "05/Mar/25 2:07 PM",
        "5 March 2025 14:07",
        "March 5, 2025, 2:07 PM",
        "5th of March 2025 at 14:07",
        "5. März 2025 14:07 Uhr",
        "5 mars 2025 à 14h07",
        "5 de marzo de 2025 14:07",
        "05 mrt 2025 14:07",
        "Wed, 05 Mar 2025 14:07:00 +0000",
        "Wed, 5 Mar 2025 09:07:00 -0500 (EST)",
        "Wed Mar  5 14:07:00 2025",
        "Wed Mar 05 14:07:00 GMT 2025",
        "Wednesday, March 5, 2025 2:07 p.m.",
        "05-MAR-25 02.07.00.000000 PM",
        "1741183620",
        "1741183620000",
        "/Date(1741183620000)/",
        "45721.58819444",
        45721.58819444,
        WHEN.replace(tzinfo=None),
    ],
)
def test_a_date_is_read_in_every_usual_form(written: object) -> None:
    assert date_column([written], "f").read(written) == WHEN


@pytest.mark.parametrize(
    ("written", "count"),
    [
        ("0000-00-00 00:00:00", "zeros"),
        ("1970-01-01 00:00:00", "impossible"),
        ("9999-12-31", "impossible"),
        ("1900-01-01", "impossible"),
        ("yesterday", "unreadable"),
        ("2025-02-30", "unreadable"),
        ("2025-03-05 25:00", "unreadable"),
        ("2025-03-05 14:07 Mars/Olympus", "unreadable"),
    ],
)
def test_what_is_no_date_leaves_its_ticket_undated_and_is_counted(written: str, count: str) -> None:
    column = date_column([written], "f")
    assert column.read(written) is None
    assert {name for name in ("zeros", "impossible", "unreadable") if getattr(column, name)} == {count}
    assert date_column([""], "f").read("") is None


def test_mixed_orders_and_a_stated_order() -> None:
    values = ["13/01/2025", "01/14/2025", "02/03/2025"]
    with pytest.raises(InvalidRequest, match="1 dates can only be day first and 1 only month first; say --date-order"):
        date_column(values, "f")
    column = date_column(values, "f", "mdy")
    assert [column.read(value) for value in values] == [
        None, datetime(2025, 1, 14, tzinfo=UTC), datetime(2025, 2, 3, tzinfo=UTC),
    ]  # fmt: skip
    assert column.unreadable == 1


def test_a_column_sorted_as_text_is_no_evidence() -> None:
    days = [f"{month:02d}/{day:02d}/2025" for month in range(1, 10) for day in (2, 5, 9)]
    with pytest.raises(InvalidRequest, match="--date-order"):
        date_column(days, "f")


FORMS = (
    "%d{s}%m{s}%Y", "%m{s}%d{s}%Y", "%d{s}%m{s}%y", "%m{s}%d{s}%y", "%Y{s}%m{s}%d", "%y{s}%m{s}%d",
)  # fmt: skip
TIMES = ("", " %H:%M", " %H:%M:%S", " %I:%M %p")


def test_two_hundred_columns_are_read_right_or_asked_for_and_never_wrong() -> None:
    draw = random.Random(14)
    outcomes = {"right": 0, "asked": 0, "wrong": 0}
    for _ in range(200):
        form = draw.choice(FORMS).format(s=draw.choice("/-.")) + draw.choice(TIMES)
        first = datetime(2025, draw.randint(1, 12), draw.randint(1, 28), tzinfo=UTC) - timedelta(
            days=draw.randint(0, 700)
        )
        count, span = draw.choice((3, 12, 40, 200)), draw.choice((2, 10, 60, 400))
        moments = [first + timedelta(days=draw.randint(0, span), minutes=draw.randint(0, 1439)) for _ in range(count)]
        if draw.random() < 0.6:
            moments.sort(reverse=draw.random() < 0.3)
        texts = [moment.strftime(form) for moment in moments]
        if draw.random() < 0.3:
            texts = [text.lstrip("0") for text in texts]
        if draw.random() < 0.1:
            texts.sort()
        try:
            column = date_column(texts, "f")
            found = [column.read(text) for text in texts]
        except InvalidRequest:
            outcomes["asked"] += 1
            continue
        expected = {moment.date() for moment in moments}
        outcomes["right" if all(one and one.date() in expected for one in found) else "wrong"] += 1
    assert outcomes["wrong"] == 0, outcomes
    assert outcomes["right"] > 120, outcomes


def as_a_spreadsheet_has_it(moments: list[datetime], form: str, reads: str) -> list[datetime | str]:
    """What a spreadsheet makes of a CSV: dates of what it can read in its own order, texts of the rest."""
    cells: list[datetime | str] = []
    for moment in moments:
        text = moment.strftime(form)
        try:
            cells.append(datetime.strptime(text, reads))
        except ValueError:
            cells.append(text)
    return cells


DMY, MDY = "%d/%m/%Y %H:%M", "%m/%d/%Y %H:%M"


def hours_apart(hours: int, count: int, first: datetime = datetime(2025, 10, 28, 8)) -> list[datetime]:
    return [first + timedelta(hours=hours * n) for n in range(count)]


@pytest.mark.parametrize("stated", [None, "own"])
@pytest.mark.parametrize("shuffled", [False, True])
@pytest.mark.parametrize(("form", "reads"), [(DMY, MDY), (MDY, DMY)])
@pytest.mark.parametrize(("hours", "count"), [(29, 120), (5, 60), (200, 60), (24, 11)])
def test_dates_that_a_spreadsheet_has_half_converted_are_swapped_back_or_asked_for(
    hours: int, count: int, form: str, reads: str, shuffled: bool, stated: str | None
) -> None:
    moments = hours_apart(hours, count)
    if shuffled:
        random.Random(1).shuffle(moments)
    cells = as_a_spreadsheet_has_it(moments, form, reads)
    order = stated and ("dmy" if form == DMY else "mdy")
    try:
        column = date_column(cells, "f", order)
    except InvalidRequest as error:
        assert count == 11 and stated is None and "which swaps these back" in str(error)
        return
    assert [column.read(cell) for cell in cells] == [moment.replace(tzinfo=UTC) for moment in moments]
    typed = [cell for cell in cells if isinstance(cell, datetime) and cell.day != cell.month]
    assert column.swapped_back == len(typed) > 0


@pytest.mark.parametrize("written", ["%Y-%m-%d %H:%M:%S", "%d-%b-%Y %H:%M", "serial"])
def test_so_are_those_of_such_a_workbook_that_was_saved_as_text(written: str) -> None:
    moments = hours_apart(29, 120)
    cells = [
        one if isinstance(one, str)
        else one.strftime(written) if written != "serial"
        else str((one - datetime(1899, 12, 30)) / timedelta(days=1))
        for one in as_a_spreadsheet_has_it(moments, DMY, MDY)
    ]  # fmt: skip
    column = date_column(cells, "f")
    assert [column.read(cell) for cell in cells] == [moment.replace(tzinfo=UTC) for moment in moments]


def typed_and_texts(typed: list[datetime], texts: list[datetime]) -> list[datetime | str]:
    return [*typed, *(moment.strftime(DMY) for moment in texts)]


@pytest.mark.parametrize(
    "cells",
    [
        typed_and_texts(hours_apart(29, 120), []),
        typed_and_texts(hours_apart(29, 120), hours_apart(29, 60)),  # texts that a spreadsheet would have taken
        typed_and_texts(hours_apart(29, 120), [datetime(2025, 3, 25)] * 3),  # and a few that were typed by hand
        typed_and_texts(hours_apart(8, 30, datetime(2025, 11, 1)), hours_apart(8, 30, datetime(2025, 10, 20))),
        [*(one.replace(tzinfo=UTC) for one in hours_apart(800, 12, datetime(2025, 1, 1))), "25/03/2025 10:00"],
    ],
)
def test_dates_that_no_spreadsheet_has_swapped_stay_as_they_are(cells: list[datetime | str]) -> None:
    column = date_column(cells, "f")
    dates = [cell for cell in cells if isinstance(cell, datetime)]
    assert [column.read(date) for date in dates] == [date.replace(tzinfo=UTC) for date in dates]
    assert column.swapped_back == 0


def test_a_table_of_dates_and_of_half_converted_ones_is_asked_about() -> None:
    half = as_a_spreadsheet_has_it(hours_apart(29, 60), DMY, MDY)
    cells = [*hours_apart(29, 60, datetime(2024, 1, 1)), *half]
    random.Random(2).shuffle(cells)
    with pytest.raises(InvalidRequest, match=r"may have swapped day and month.*--date-order dmy, which takes these"):
        date_column(cells, "f")
    assert date_column(cells, "f", "dmy").swapped is False
    few = [datetime(2025, 3, 5), datetime(2025, 4, 7), "25/03/2025"]
    with pytest.raises(InvalidRequest, match="1 dates are texts that can only be day first, and 2 stand as dates"):
        date_column(few, "f")
    assert date_column(few, "f", "dmy").read(few[0]) == datetime(2025, 5, 3, tzinfo=UTC)


def test_dates_of_the_first_of_each_month_are_not_taken_for_swapped_ones() -> None:
    first = [datetime(2025, month, 1, 9) for month in range(1, 13)]
    with pytest.raises(InvalidRequest, match="may have swapped day and month"):
        date_column([*first, "25/03/2025 10:00", "28/07/2025 10:00"], "f")


def test_a_text_that_is_no_date_beside_others_does_no_harm() -> None:
    odd = ["31/02/2025", "25/03/2025 at dawn", "13/14/2025", "yesterday"]
    column = date_column([*hours_apart(29, 60), *odd], "f")
    assert column.swapped is False and [column.read(one) for one in odd] == [None] * 4
    sorted_by_day = [f"{day:02d}/{month:02d}/2025" for month in range(1, 8) for day in (9, 10)]
    assert date_column([*sorted_by_day, "01/08/2025 at dawn"], "f").order == "dmy"


def test_a_table_that_the_spreadsheet_sorted_is_no_proof_of_its_own_reading() -> None:
    half = as_a_spreadsheet_has_it(hours_apart(29, 120), DMY, MDY)
    dates = sorted(one for one in half if isinstance(one, datetime))
    texts = sorted(one for one in half if isinstance(one, str))
    assert date_column([*dates, *texts], "f").swapped and date_column([*dates, texts[0]], "f").swapped
