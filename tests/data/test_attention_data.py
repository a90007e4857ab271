"""Tickets that matter, messages that are none, and those that only sound so: schema, sizes, no twins, two writers."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from triage.normalise import fold
from triage.ticket import Ticket

FOLDER = Path(__file__).parents[2] / "datasets"
ATTENTION = sorted(FOLDER.glob("attention-*.jsonl"))
NOT_TICKETS = sorted(FOLDER.glob("not-tickets-*.jsonl"))
KINDS = {
    "attention": {"safety", "credentials", "data_exposure", "outage", None},
    "not-tickets": {
        *("auto_reply", "bounce", "thanks", "close_request", "newsletter", "spam", "empty", "gibberish"),
        None,
    },
}


def rows_of(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text("utf-8").splitlines()]


@pytest.mark.parametrize("file", [*ATTENTION, *NOT_TICKETS], ids=lambda file: file.name)
def test_every_row_is_a_ticket_that_can_be_sent_with_a_known_kind(file: Path) -> None:
    sort, writer = file.stem.rsplit("-", 1)
    for row in rows_of(file):
        fields = ["id", "organisation", "writer", "subject", "body", *(["headers"] if sort == "not-tickets" else [])]
        assert list(row) == [*fields, "kind"]
        assert row["writer"] == writer and row["kind"] in KINDS[sort]
        Ticket(row["id"], row["subject"], row["body"], attributes=row.get("headers", {}))


SHORTER = tuple(f"not-tickets-{writer}" for writer in (*"opqrstuvwxyz", "ab"))
"""Files of writers who were asked for fewer messages that are no tickets, and for fewer that only look like it."""


@pytest.mark.parametrize("file", [*ATTENTION, *NOT_TICKETS], ids=lambda file: file.name)
def test_each_writer_wrote_enough_of_every_kind_and_more_of_what_only_sounds_so(file: Path) -> None:
    sort = file.stem.rsplit("-", 1)[0]
    counts = Counter(row["kind"] for row in rows_of(file))
    assert set(counts) == KINDS[sort] and min(counts.values()) >= 5
    matter = sum(count for kind, count in counts.items() if kind is not None)
    least = 110 if file.stem in SHORTER else 140
    assert matter >= 100 and counts[None] >= least


def test_no_text_stands_twice_and_no_organisation_is_shared() -> None:
    for files in (ATTENTION, NOT_TICKETS):
        rows = [row for file in files for row in rows_of(file)]
        assert len({row["id"] for row in rows}) == len(rows)
        texts = Counter(fold(f"{row['subject']} {row['body']}") for row in rows)
        assert [text for text, count in texts.items() if count > 1 and text.strip()] == []
    ordinary = {row["organisation"] for row in rows_of(FOLDER / "tickets.jsonl")}
    by_writer: dict[str, set[str]] = {}
    for file in (*ATTENTION, *NOT_TICKETS):
        for row in rows_of(file):
            by_writer.setdefault(row["writer"], set()).add(row["organisation"])
    for writer, own in by_writer.items():
        others = set().union(*(names for name, names in by_writer.items() if name != writer), ordinary)
        assert not own & others
