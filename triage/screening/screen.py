"""A ticket is screened once: what must never wait, whether it is one at all, whether it says enough, who wrote it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from triage.languages.alphabets import holds_other_script, is_mostly_other_script
from triage.screening.attention import Attention, as_written, find_attention
from triage.screening.cues import Frame
from triage.screening.intake import (
    KINDS,
    NoTicket,
    certainly_no_ticket,
    no_ticket,
)
from triage.screening.machines import is_machine_made
from triage.screening.vagueness import is_vague
from triage.ticket import Ticket

ATTENTION_KINDS = ("safety", "credentials", "data_exposure", "outage")
"""What must never wait, as the shipped cues and the shipped classifier know it."""

# Chosen on opinions out of fold: a classifier trained on one writer's tickets, asked about the other's
# (bench/attention.py).
ALARMED = 0.5
"""Probability from which a classifier flags a ticket on its own."""
_SECONDED = 0.03
"""Probability from which it seconds a written cue; below, the cue was a play of words. With 0.1 blunt alarms, such as
"there is a fire in the server room", went unheard (decision 0067)."""
_BLUNT_WORDS = 8
"""Words up to which a written cue of danger to people counts whatever the classifier says: of so few it makes little,
and silenced "bomb threat" and "I don't want to live any more"."""
SURE_NO_TICKET = 0.9
"""Probability from which a classifier takes a message for none on its own: a request that is overlooked costs more."""
_SECONDED_NO_TICKET = 0.1

_READABLE_WORDS = 10
_FEW_WORDS = 3
"""Words from which a classifier takes a message for none on its own, and an answer to another message for thanks:
"stop this song" is no ticket of a helpdesk, and yet a request. Of fewer words only cues judge, but for what says
nothing in any number of words."""

_ANSWERS = frozenset(["thanks", "close_request"])
_TOLD_BY_MEANING = tuple(kind for kind in KINDS if kind != "empty")

_BY_MAIL_PROGRAMS = frozenset(["auto_reply", "bounce", "newsletter"])
"""Kinds whose words are not the sender's own: "in an emergency call 112" stands below many an absence note."""


@dataclass(frozen=True)
class Opinion:
    """What a classifier thinks of a ticket.

    Attributes:
        probabilities: By kind of what must not wait and of what is no ticket; the rest is for an ordinary ticket.
        quote: The sentence that speaks most for what must not wait; empty where nothing does.
        read_chars: How much of the ticket's text it is about; None for all of it.
    """

    probabilities: Mapping[str, float]
    quote: str = ""
    read_chars: int | None = None

    def of(self, kinds: Sequence[str]) -> float:
        """Return how probable it is that the ticket is of one of the kinds, in [0, 1]."""
        return sum(self.probabilities.get(kind, 0.0) for kind in kinds)

    def likeliest(self, kinds: Sequence[str]) -> str:
        """Return the most probable of the kinds."""
        return max(kinds, key=lambda kind: self.probabilities.get(kind, 0.0))


@dataclass(frozen=True)
class Screening:
    """What is seen in a ticket before any model.

    Attributes:
        attention: What must never wait; empty where nothing.
        no_ticket: Why it is no ticket; None where it is one.
        vague: Whether it does not say what is wrong.
        by_machine: Whether a monitoring system wrote it.
    """

    attention: tuple[Attention, ...] = ()
    no_ticket: NoTicket | None = None
    vague: bool = False
    by_machine: bool = False


def screen(ticket: Ticket, own: Sequence[Frame] = (), opinion: Opinion | None = None) -> Screening:
    """Screen a ticket. What must not wait is a ticket, and says enough.

    Args:
        ticket: What came in.
        own: Cues of the desk beside the shipped ones; what they find counts whatever a classifier thinks.
        opinion: What a classifier thinks of it; None leaves it to the written cues.
    """
    none = _no_ticket(ticket, opinion)
    if none is not None and none.kind in _BY_MAIL_PROGRAMS:
        return Screening(no_ticket=none)
    by_machine = is_machine_made(ticket)
    attention = _attention(ticket, own, opinion)
    if attention:
        return Screening(attention, by_machine=by_machine)
    return Screening(no_ticket=none, vague=none is None and is_vague(ticket), by_machine=by_machine)


def _attention(ticket: Ticket, own: Sequence[Frame], opinion: Opinion | None) -> tuple[Attention, ...]:
    alarm = 1.0 if opinion is None else opinion.of(ATTENTION_KINDS)
    found: tuple[Attention, ...] = ()
    if alarm >= _SECONDED:
        found = find_attention(ticket)
    elif opinion is not None and _says_little(ticket, opinion):
        found = tuple(one for one in find_attention(ticket) if one.kind == "safety")
        found = found if _is_short(ticket) else _beyond(found, ticket, opinion)
    if opinion is not None and not found and alarm >= ALARMED and opinion.quote:
        found = (Attention(opinion.likeliest(ATTENTION_KINDS), as_written(opinion.quote, ticket)),)
    kinds = {one.kind for one in found}
    return (*found, *(one for one in find_attention(ticket, own) if one.kind not in kinds)) if own else found


def _says_little(ticket: Ticket, opinion: Opinion) -> bool:
    """Say whether an opinion is of few words, or of the beginning of a ticket alone."""
    return _is_short(ticket) or (opinion.read_chars is not None and len(ticket.text) > opinion.read_chars)


def _is_short(ticket: Ticket) -> bool:
    return len(ticket.text.split()) <= _BLUNT_WORDS


def _beyond(found: Sequence[Attention], ticket: Ticket, opinion: Opinion) -> tuple[Attention, ...]:
    """Return what is not found in the part of a ticket that the classifier has read."""
    read = {one.kind for one in find_attention(Ticket(body=ticket.text[: opinion.read_chars]))} if found else set()
    return tuple(one for one in found if one.kind not in read)


def _no_ticket(ticket: Ticket, opinion: Opinion | None) -> NoTicket | None:
    likely = 1.0 if opinion is None else opinion.of(KINDS)
    if likely < _SECONDED_NO_TICKET:
        return certainly_no_ticket(ticket)
    found = no_ticket(ticket)
    if opinion is None or found is not None:
        return found
    kind = opinion.likeliest(_TOLD_BY_MEANING)
    words = len(ticket.text.split())
    least = _FEW_WORDS if ticket.is_answer and kind in _ANSWERS else _READABLE_WORDS
    enough = words >= least or kind == "gibberish"
    if likely < SURE_NO_TICKET or not enough or _is_unread(ticket.text, kind):
        return None
    return NoTicket(kind, "")


def _is_unread(text: str, kind: str) -> bool:
    """Say whether a text is in a script that the classifier was not trained on: to it, all of that is gibberish."""
    return holds_other_script(text) if kind == "gibberish" else is_mostly_other_script(text)
