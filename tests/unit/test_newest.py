"""A long history is read in bounded memory: the newest tickets stay, in their order, and what is left out is said."""

from __future__ import annotations

import json
import random
import tracemalloc
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from training.data.dataset import limited, newest_of, read_dataset

BEGAN = datetime(2024, 1, 1, tzinfo=UTC)


def write(path: Path, days: Iterator[int | None] | list[int | None], *, words: int = 5) -> Path:
    """Write a ticket for each day; None stands for a ticket without a date."""
    with path.open("w") as file:
        for number, day in enumerate(days):
            opened = None if day is None else (BEGAN + timedelta(days=day)).isoformat()
            row = {"id": str(number), "text": f"ticket {number} {'word ' * words}", "category": "ab"[number % 2]}
            file.write(json.dumps({**row, "opened_at": opened}) + "\n")
    return path


def ids(path: Path, newest: int) -> list[str]:
    return [row.ticket.id for row in read_dataset([path], newest=newest).rows]


def test_the_newest_stay_in_the_order_of_the_file(tmp_path: Path) -> None:
    days: list[int | None] = list(range(50))
    random.Random(0).shuffle(days)
    wanted = [str(place) for place, day in enumerate(days) if day is not None and day >= 40]
    assert ids(write(tmp_path / "shuffled.jsonl", days), 10) == wanted


def test_tickets_without_a_date_are_older_than_all_and_alone_the_last_ones_stay(tmp_path: Path) -> None:
    assert ids(write(tmp_path / "some.jsonl", [None, 3, None, 1, None, 2]), 4) == ["1", "3", "4", "5"]
    assert ids(write(tmp_path / "none.jsonl", [None] * 30), 4) == ["26", "27", "28", "29"]


def test_what_is_left_out_is_said_and_nothing_is_where_all_are_kept(tmp_path: Path) -> None:
    file = write(tmp_path / "history.jsonl", list(range(300)))
    read = read_dataset([file], newest=100)
    told = next(one for one in read.findings if one.code == "newest")
    assert "newest 100 of 300 tickets" in told.what and "--newest" in told.do and told.rows == 200
    whole = read_dataset([file])
    assert len(whole) == 300 and all(one.code != "newest" for one in whole.findings)
    assert limited(whole, 300) is whole
    assert [row.ticket.id for row in limited(whole, 2).rows] == ["298", "299"]
    assert "newest 2 of 300" in limited(whole, 2).findings[-1].what
    assert newest_of(whole.rows, 1_000) == whole.rows


def peak_mb(file: Path, newest: int) -> float:
    tracemalloc.start()
    try:
        assert len(read_dataset([file], newest=newest)) == newest
        return tracemalloc.get_traced_memory()[1] / 1e6
    finally:
        tracemalloc.stop()


@pytest.mark.slow
def test_ten_times_the_history_takes_no_more_memory(tmp_path: Path) -> None:
    short, long = (write(tmp_path / f"{rows}.jsonl", iter(range(rows)), words=40) for rows in (800, 8_000))
    assert peak_mb(long, 300) < 1.3 * peak_mb(short, 300)
