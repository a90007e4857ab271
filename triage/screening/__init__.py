"""What is seen in a ticket before any model: what must never wait, what is no ticket, what says too little."""

from triage.screening.attention import Attention, find_attention
from triage.screening.cues import Frame, compile_cue
from triage.screening.intake import NoTicket, no_ticket
from triage.screening.screen import ALARMED, ATTENTION_KINDS, SURE_NO_TICKET, Opinion, Screening, screen

__all__ = [
    "ALARMED",
    "ATTENTION_KINDS",
    "SURE_NO_TICKET",
    "Attention",
    "Frame",
    "NoTicket",
    "Opinion",
    "Screening",
    "compile_cue",
    "find_attention",
    "no_ticket",
    "screen",
]
