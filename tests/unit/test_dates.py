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
