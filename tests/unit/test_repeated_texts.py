"""Answers to texts that come again: kept for one triager, bounded, and forgotten on demand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, TypedDict

import pytest

from models.serving.answers import AnswerMemory
from models.triager import Triager
from triage.ticket import Ticket

TICKET = Ticket("T-1", "Printer", "The printer on the second floor does not print.", channel="email")


class View(TypedDict):
    """Who asks for what."""

    explain: bool
    clearance: int


PLAIN: View = {"explain": True, "clearance": 0}


@pytest.fixture(scope="module")
def triager() -> Triager:
    return Triager()


def remembering(triager: Triager, size: int = 8) -> AnswerMemory:
    memory = AnswerMemory(size)
    memory.put(triager, TICKET, triager.decide([TICKET])[0], begun=memory.forgotten, **PLAIN)
    return memory


def test_a_repeated_text_has_its_own_id_and_the_same_answer(triager: Triager) -> None:
    again = replace(TICKET, id="T-2", requester="somebody else")
    assert remembering(triager).get(triager, again, **PLAIN) == triager.decide([again])[0]


@pytest.mark.parametrize(
    "change",
    [
        {"body": "The printer on the third floor does not print."},
        {"subject": "printer"},
        {"channel": "phone"},
        {"language": "en"},
        {"attributes": {"site": "harbour"}},
    ],
)
def test_whatever_may_change_the_answer_is_another_text(triager: Triager, change: dict[str, Any]) -> None:
    assert remembering(triager).get(triager, replace(TICKET, **change), **PLAIN) is None


@pytest.mark.parametrize("view", [{"explain": False, "clearance": 0}, {"explain": True, "clearance": 2}])
def test_who_may_see_more_or_asks_for_less_is_answered_anew(triager: Triager, view: dict[str, int]) -> None:
    assert remembering(triager).get(triager, TICKET, explain=bool(view["explain"]), clearance=view["clearance"]) is None


def test_another_model_knows_nothing_of_the_answers_before(triager: Triager) -> None:
    memory, other = remembering(triager), Triager()
    assert memory.get(other, TICKET, **PLAIN) is None
    different = replace(TICKET, body="The screen is dark.")
    memory.put(other, different, other.decide([different])[0], begun=memory.forgotten, **PLAIN)
    assert memory.get(triager, TICKET, **PLAIN) is None and len(memory) == 1


def test_an_answer_that_the_model_did_not_give_is_not_kept(triager: Triager) -> None:
    memory = AnswerMemory()
    memory.put(
        triager,
        TICKET,
        replace(triager.decide([TICKET])[0], model_version="failed over"),
        begun=memory.forgotten,
        **PLAIN,
    )
    assert not len(memory)


def test_the_oldest_answers_go_and_all_go_on_demand(triager: Triager) -> None:
    memory = remembering(triager, size=2)
    for number in range(2):
        other = replace(TICKET, body=f"number {number}")
        memory.put(triager, other, triager.decide([other])[0], begun=memory.forgotten, **PLAIN)
    assert len(memory) == 2 and memory.get(triager, TICKET, **PLAIN) is None
    memory.forget()
    assert not len(memory)


def test_what_was_begun_before_everything_was_forgotten_is_not_kept(triager: Triager) -> None:
    memory = AnswerMemory()
    begun = memory.forgotten
    memory.forget()
    memory.put(triager, TICKET, triager.decide([TICKET])[0], begun=begun, **PLAIN)
    assert not len(memory)


def test_no_room_keeps_nothing(triager: Triager) -> None:
    memory = remembering(triager, size=0)
    assert not len(memory) and memory.get(triager, TICKET, **PLAIN) is None
