"""The hand-over packet: of the edge that is taken, quoted where the ticket says so, asked where not."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.privacy.outward import outward
from triage.defaults import default_policy
from triage.escalation.packet import find_items, packet
from triage.policy import Tier

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


def test_a_line_that_is_half_said_asks_for_the_other_half() -> None:
    made = packet(POLICY, ["The log is attached."], ("L2", "L3"), None)
    line = next(entry for entry in made.entries if entry.item == "all logs and the exact steps to reproduce")
    steps = "How can it be reproduced, step by step, and how often does it happen?"
    assert line.quotes == ("The log is attached",) and line.asks == (steps,)
    assert steps in made.missing and f"The log is attached | MISSING - {steps}" in made.text()
    twice = replace(POLICY, tiers=(Tier("L1", hand_over=("all logs", "logs and captures")), Tier("L2")))
    assert packet(twice, ["It is slow."], ("L1", "L2"), None).missing == ("Can you send the logs or a picture of it?",)


@pytest.mark.parametrize(
    ("text", "item", "quotes"),
    [
        ("Caller: Anna Huber, since Monday.", "how long the requester has been worked with", ()),
        ("Serial number SN-4711-AB, contract C-99812.", "the vendor's case number", ()),
        ("Their status page says the service is down", "the vendor's case number", ()),
        ("Their status page says the service is down", "contract or serial number", ()),
        ("Screenshot attached.", "evidence that the fault lies outside", ()),
        ("Serial SN-4711, contract C-9981.", "contract or serial number", ("contract C-9981", "Serial SN-4711")),
        ("Use it in case 0664 1234567 is busy.", "the vendor's case number", ()),
        ("Of the case 0664 1234567 knows more.", "the vendor's case number", ()),
        ("In this case 2 200 users wait, at 24 hours notice 48 more.", "the vendor's case number", ()),
        ("Vendor case ID 5381234567.", "the vendor's case number", ("case ID 5381234567",)),
        ("Ticketnummer 5381234567.", "the vendor's case number", ("Ticketnummer 5381234567",)),
        (
            "Their status page says the service is down",
            "evidence that the fault lies outside",
            ("Their status page says the service is down",),
        ),
    ],
)
def test_a_line_is_filled_with_what_it_asks_for_alone(text: str, item: str, quotes: tuple[str, ...]) -> None:
    made = packet(POLICY, [text], ("L2", "L4"), None)
    line = next(entry for entry in made.entries if entry.item == item)
    assert line.quotes == quotes and bool(line.ask) is not bool(quotes)


@pytest.mark.parametrize(
    "line", ["how long the requester has been worked with", "Inventarnummer", "which team came?", 'the "old" one']
)
def test_a_line_that_names_no_known_item_is_asked_for_in_its_own_words(line: str) -> None:
    asked = f'Please say: "{line}"'
    french = {asked: "Précisez depuis quand"}
    policy = replace(POLICY, tiers=(Tier("L1", hand_over=(line,)), Tier("L2")), translations={"fr": french})
    made = packet(policy, ["It is slow."], ("L1", "L2"), None)
    assert made.missing == (asked,) and f"- {line}: MISSING - {asked}" in made.text()
    assert policy.in_language(made.missing, "fr") == ("Précisez depuis quand",)


@pytest.mark.parametrize(
    ("line", "text", "asked"),
    [
        ("contract or serial number", "Contract K-4711, it is dead", 0),
        ("contract or serial number", "Serial number SN-4711-AB", 0),
        ("contract or serial number", "It is dead", 1),
        ("contract oder serial", "Contract K-4711, it is dead", 0),
        ("contract, serial or case number", "Contract K-4711, it is dead", 0),
        ("contract and serial number", "Contract K-4711, it is dead", 1),
        ("contract or serial number, and the case number", "Contract K-4711, it is dead", 1),
    ],
)
def test_of_items_that_a_line_joins_by_or_one_is_enough(line: str, text: str, asked: int) -> None:
    policy = replace(POLICY, tiers=tuple(replace(tier, hand_over=(line,)) for tier in POLICY.tiers))
    assert len(packet(policy, [text], ("L2", "L4"), None).missing) == asked


def test_an_outside_party_is_told_of_no_person_and_asked_for_none() -> None:
    text = "My name is Anna Huber and user ahuber is affected, CB ext 0117, student 123456."
    inside, outside = (packet(POLICY, [text], ("L2", to), None) for to in ("L3", "L4"))
    assert "user ahuber" in inside.text() and inside.entries[0].item == "who is affected and how to reach them"
    assert "who is affected" not in outside.text().lower()
    assert not any(word in outside.text() for word in ("ahuber", "0117", "123456"))


@pytest.mark.parametrize(
    ("said", "left"),
    [
        ("and user ahuber is affected, ext 4711", "and user [ACCOUNT] is affected, ext [PHONE]"),
        ("the user reports that the login page fails", "the user reports that the login page fails"),
        ("username: a.huber, login ahuber, student 123456", "username: [ACCOUNT], login [ACCOUNT], student [ACCOUNT]"),
        ("Benutzer ahuber, Durchwahl 4711", "Benutzer [ACCOUNT], Durchwahl [PHONE]"),
        ("utilisateur jdupont, poste 4711", "utilisateur [ACCOUNT], poste [PHONE]"),
        ("usuario jgarcia, extensión 4711", "usuario [ACCOUNT], extensión [PHONE]"),
        ("Users: kweber, mhuber and tfrank affected", "Users: [ACCOUNT], [ACCOUNT] and [ACCOUNT] affected"),
        ("Benutzer: ahuber, Drucker und Scanner defekt", "Benutzer: [ACCOUNT], Drucker und Scanner defekt"),
        ("user: kweber, m.huber2, printer jams", "user: [ACCOUNT], [ACCOUNT], printer jams"),
        ("Log in as KWEBER fails", "Log in as [ACCOUNT] fails"),
        ("utilisateur jdupont ne peut pas", "utilisateur [ACCOUNT] ne peut pas"),
        ("for user kweber since", "for user [ACCOUNT] since"),
        ("the user kweber7 again", "the user [ACCOUNT] again"),
        ("Caller: Huber, Anna reports it", "[NAME] reports it"),
        ("Mein Name ist Huber, Anna und es hängt", "[NAME] und es hängt"),
        ("es hängt\nMit freundlichen Grüßen\nHuber, Anna", "es hängt\nMit freundlichen Grüßen\n[NAME]"),
        ("it hangs. Merci, Zoé", "it hangs. Merci, [NAME]"),
        ("In case 555 123 456 is busy", "In case [PHONE] is busy"),
        ("In case 030 123 456 is busy, ask Kim", "In case [PHONE] is busy, ask Kim"),
        ("ring me in case 7946 0018 is engaged", "ring me in case [PHONE] is engaged"),
        ("en caso 555 123 456 no contesta", "en caso [PHONE] no contesta"),
        ("zum Vorgang 030 123 456 anrufen", "zum Vorgang [PHONE] anrufen"),
    ],
)
def test_accounts_extensions_and_names_do_not_go_outside(said: str, left: str) -> None:
    assert outward(said) == left


@pytest.mark.parametrize(
    "said",
    [
        "User connects via Citrix",
        "User experiences delays",
        "user forgot it. The user disconnects.",
        "the user noticed that, and user moved to another floor",
        "Anwender erhalten Fehlermeldung",
        "Nutzer bekommen keine Mails",
        "Anwender berichtet, dass es hängt",
        "utilisateur voit une erreur",
        "log in as usual",
    ],
)
def test_what_a_user_does_goes_outside(said: str) -> None:
    assert outward(said) == said


@pytest.mark.parametrize(
    "said",
    [
        "Vendor case number 00778812",
        "Vendor Case Number: 00778812",
        "case no: 00778812",
        "Case ID 5381234567",
        "case #5381234567",
        *("Serial number: 012 345 678", "S/N 012 345 678", "In case no. 5381 2345 you wrote so"),
        "S/N 1234567",
        "RMA 00123456",
        "the ticket of the vendor is 00778812",
        "contract number is 4500123456",
        "Seriennummer 1234567890",
        "numéro de contrat : 4500123456",
        "número de serie 012345678",
    ],
)
def test_contract_serial_and_case_numbers_go_outside(said: str) -> None:
    assert outward(said) == said


@pytest.mark.parametrize(
    "said",
    ["ref DE89370400440532013000", "serial 10.0.0.1", "ref 12-anna@example.org", "reach me under 555-01812"],
)
def test_what_is_no_reference_does_not_go_outside_for_the_word_before_it(said: str) -> None:
    assert "[" in outward(said) and said.split()[-1] not in outward(said)


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
        (outward, "case 123456 "),
        (outward, "case number number "),
        (outward, "user ahuber, "),
        (outward, "thanks, Anna\n"),
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
