"""The hand-over packet: of the edge that is taken, quoted where the ticket says so, asked where not."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.privacy.outward import outward
from triage.defaults import default_policy
from triage.escalation.packet import find_items, packet

POLICY = default_policy()
TEXT = (
    "Caller: J. Okonedo, driver\nSince Friday's release DriverHub says 'session lost' on handheld HH-2210. "
    "Restarted and reinstalled it, no luck. Others are fine. Every time I open a tour. Log attached."
)


@pytest.mark.parametrize(("to", "asks"), [("L2", False), ("L3", False), ("L4", True)])
def test_a_packet_is_that_of_its_edge(to: str, asks: bool) -> None:
    made = packet(POLICY, [TEXT], ("L1", to), "software")
    items = [entry.item for entry in made.entries]
    assert ("contract or serial number" in items) is asks
    assert ("scope: one, several or all" in items) is (to != "L2")
    assert "what was asked, what was tried and with what outcome" in items


def test_what_is_said_is_quoted_and_what_is_missing_is_asked() -> None:
    made = packet(POLICY, [TEXT, "We called the maker, contract C-77120."], ("L3", "L4"), None)
    said = {entry.item: entry.quotes for entry in made.entries}
    assert said["what was asked, what was tried and with what outcome"] == ("Restarted and reinstalled it, no luck",)
    assert said["contract or serial number"] == ("contract C-77120",)
    assert all(quote in TEXT + "contract C-77120" for quotes in said.values() for quote in quotes)
    assert said["when it began and what changed"] == (
        "Since Friday's release DriverHub says 'session lost' on handheld HH-2210",
    )
    bare = packet(POLICY, ["It is slow"], ("L1", "L2"), None)
    assert len(bare.missing) == len(bare.entries) and "MISSING" in bare.text()
    assert bare.text().startswith("Hand-over from L1 to L2\n")
    kept = packet(POLICY, ["It is slow"], ("L2", "L2"), None)
    assert kept.text().startswith("Hand-over to L2\n")


def test_only_the_vendor_is_outside() -> None:
    assert [tier for tier in POLICY.labels("tier") if tier in POLICY.external_tiers] == ["L4"]


@given(st.text(max_size=300))
def test_spans_lie_in_the_text_and_those_of_one_item_do_not_overlap(text: str) -> None:
    spans = find_items(text)
    assert all(0 <= span.start < span.end <= len(text) for span in spans)
    for item in {span.item for span in spans}:
        own = sorted((span.start, span.end) for span in spans if span.item == item)
        assert all(a[1] <= b[0] for a, b in pairwise(own))


@pytest.mark.parametrize(
    ("work", "filling"),
    [
        (find_items, "status page "),
        (find_items, "no luck "),
        (find_items, "restarted "),
        (find_items, "since the "),
        (find_items, "p1 "),
        (outward, "12345678; "),
        (outward, "1.2.3.4 "),
    ],
)
def test_four_times_the_text_takes_about_four_times_as_long(work: Callable[[str], object], filling: str) -> None:
    work(filling)
    quarter, whole = (_least_s(work, (filling * 20_000)[:chars]) for chars in (5_000, 20_000))
    assert whole < 8 * quarter + 0.01  # at worst it was sixteen times, and seconds


def _least_s(work: Callable[[str], object], text: str) -> float:
    """Return the least processor time of three runs."""
    took = []
    for _ in range(3):
        began = time.process_time()
        work(text)
        took.append(time.process_time() - began)
    return min(took)
