"""The classifier that travels with the code loads, knows its labels, and tells an alarm from a play of words."""

from __future__ import annotations

import pytest

from models.screening import shipped_classifier
from models.screening.classifier import LABELS
from triage.screening import screen
from triage.screening.intake import KINDS
from triage.screening.screen import ATTENTION_KINDS
from triage.ticket import Ticket


def test_its_labels_are_those_of_the_screening() -> None:
    assert set(LABELS) == {"none", *ATTENTION_KINDS, *KINDS}


@pytest.mark.parametrize(
    ("body", "kinds"),
    [
        ("The charger of my tablet melted into the desk and it smells awful.", ATTENTION_KINDS),
        ("I told the man on the phone the code from my authenticator and now I am logged out.", ATTENTION_KINDS),
        ("Nobody in any of our shops can take payments since noon.", ATTENTION_KINDS),
        ("Thanks a lot, that solved it, have a nice weekend!", KINDS),
        ("I am on holiday until the 4th and will answer then.", KINDS),
    ],
)
def test_it_tells_what_matters(body: str, kinds: tuple[str, ...]) -> None:
    (found,) = shipped_classifier().opinions([Ticket(body=body)])
    assert found.of(kinds) > 0.5
    assert (found.quote in body and bool(found.quote)) == (kinds == ATTENTION_KINDS)


@pytest.mark.parametrize(
    "body",
    [
        "There is a fire in the server room, please send somebody at once",
        "The server room is on fire",
        "We received a bomb threat by mail",
        "Ransomware has encrypted the file server",
        "Gas leak!",
        "Fire in the server room",
        "bomb threat",
        "I don't want to live any more",
        "ransom note on screen",
    ],
)
def test_blunt_alarms_in_the_words_of_a_cue_are_heard(body: str) -> None:
    ticket = Ticket(body=body)
    assert screen(ticket, opinion=shipped_classifier().opinions([ticket])[0]).attention


@pytest.mark.parametrize(
    "body",
    [
        "Please order a new charger for my tablet, the old one is lost.",
        "The printer on the second floor prints stripes.",
        "How do I set an out of office reply for the group mailbox?",
        "My Excel macro fires twice when I press the button.",
    ],
)
def test_it_leaves_ordinary_tickets_alone(body: str) -> None:
    (found,) = shipped_classifier().opinions([Ticket(body=body)])
    assert found.of(ATTENTION_KINDS) < 0.5 and found.of(KINDS) < 0.5


def test_a_ticket_is_judged_alone_whatever_stands_beside_it() -> None:
    tickets = [Ticket(body="My screen flickers"), Ticket(body="smoke " * 50)]
    assert shipped_classifier().opinions(tickets)[0] == shipped_classifier().opinions(tickets[:1])[0]
