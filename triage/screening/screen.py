"""A ticket is screened once: what must never wait, whether it is one at all, whether it says enough, who wrote it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from triage.screening.attention import Attention, find_attention
from triage.screening.cues import Frame, frames_of
from triage.screening.intake import NoTicket, no_ticket
from triage.screening.machines import is_machine_made
from triage.screening.vagueness import is_vague
from triage.ticket import Ticket

_BY_MAIL_PROGRAMS = frozenset(["auto_reply", "bounce", "newsletter"])
"""Kinds whose words are not the sender's own: "in an emergency call 112" stands below many an absence note."""


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


def screen(ticket: Ticket, own: Sequence[Frame] = ()) -> Screening:
    """Screen a ticket. What must not wait is a ticket, and says enough.

    Args:
        ticket: What came in.
        own: Cues of the desk beside the shipped ones.
    """
    none = no_ticket(ticket)
    if none is not None and none.kind in _BY_MAIL_PROGRAMS:
        return Screening(no_ticket=none)
    by_machine = is_machine_made(ticket)
    attention = find_attention(ticket, (*frames_of("attention.toml"), *own) if own else None)
    if attention:
        return Screening(attention, by_machine=by_machine)
    return Screening(no_ticket=none, vague=none is None and is_vague(ticket), by_machine=by_machine)
