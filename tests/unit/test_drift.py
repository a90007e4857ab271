"""Drift is alarmed soon after a shift, and hardly ever without one."""

from __future__ import annotations

import random

import pytest

from api.console.drift import TICKETS_BETWEEN_FALSE_ALARMS, alarms, label_alarms
from api.console.overview import drift
from api.store.work.figures import Signal

QUIET, WITHIN = 500, 100


def confidence(draw: random.Random, shifted: bool) -> float:
    return min(1.0, max(0.0, draw.gauss(0.65 if shifted else 0.8, 0.12)))


def label(draw: random.Random, shifted: bool) -> str:
    return draw.choices("abcde", (5, 4, 3, 2, 12 if shifted else 1))[0]


@pytest.mark.parametrize("seed", range(10))
def test_a_shift_is_alarmed_within_100_tickets(seed: int) -> None:
    draw = random.Random(seed)
    found = alarms([confidence(draw, place >= QUIET) for place in range(QUIET + WITHIN)])
    assert found and QUIET < found[0].ticket <= QUIET + WITHIN
    named = label_alarms([label(draw, place >= QUIET) for place in range(QUIET + WITHIN)])
    assert named and QUIET < named[0].ticket <= QUIET + WITHIN


def test_false_alarms_are_as_rare_as_stated() -> None:
    streams, length = 40, 2000
    found = 0
    for seed in range(streams):
        draw = random.Random(1000 + seed)
        found += len(alarms([confidence(draw, False) for _ in range(length)], seed))
        found += len(label_alarms([label(draw, False) for _ in range(length)], seed))
    assert found <= 2 * streams * length / TICKETS_BETWEEN_FALSE_ALARMS


def test_an_alarm_stands_at_the_ticket_where_it_came_though_some_have_no_confidence() -> None:
    draw = random.Random(3)
    signals = [
        Signal(100, None if place % 4 == 0 else confidence(draw, place >= QUIET), abstained=False, category="access")
        for place in range(QUIET + 2 * WITHIN)
    ]
    rows = {row[0]: row for row in drift(signals).rows}
    _, tickets, count, place = rows["confidence"]
    assert (tickets, count) == (len(signals), 1)
    assert isinstance(place, int) and QUIET < place <= QUIET + 2 * WITHIN
    assert rows["abstention"][2] == 0
