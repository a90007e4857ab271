"""Which tickets came with the product: they teach, but they say nothing about the desk that trains on them."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.resources import files

from triage.ticket import Ticket

DIGESTS = "shipped-digests.txt"
"""One digest a line for each text of `datasets/tickets.jsonl`; `python -P scripts/shipped_digests.py` writes it."""

_DIGITS = 10
"""Hexadecimal digits kept of each digest: another desk's ticket is taken for a shipped one once in 250 million."""


def is_shipped(ticket: Ticket) -> bool:
    """Say whether a ticket came with the product, whatever file, id or labels it stands under now."""
    return text_digest(ticket) in _shipped()


def text_digest(ticket: Ticket) -> str:
    """Return the digest of a ticket's words; letter case and spaces do not count."""
    return hashlib.sha256(" ".join(f"{ticket.subject} {ticket.body}".casefold().split()).encode()).hexdigest()[:_DIGITS]


@cache
def _shipped() -> frozenset[str]:
    return frozenset((files("training.data") / DIGESTS).read_text("ascii").split())
