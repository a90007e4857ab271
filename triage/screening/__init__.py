"""What is seen in a ticket before any model: what must never wait, what is no ticket, what says too little."""

from triage.screening.attention import Attention, find_attention
from triage.screening.intake import NoTicket, no_ticket

__all__ = ["Attention", "NoTicket", "find_attention", "no_ticket"]
