"""Whether a machine wrote a ticket: a monitoring alert is not asked what it clicked."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib.resources import files
from typing import Any

from triage.screening.cues import compile_cue, one_of
from triage.screening.reading import plain
from triage.ticket import Ticket

_CHANNELS = frozenset(["monitoring", "alert", "alerts", "event", "events", "machine", "sensor", "siem", "iot"])
_HEADERS = {"auto-submitted": "auto-generated", "x-auto-response-suppress": "", "precedence": "bulk"}
_ENOUGH = 3
"""Hints that only a machine brings together: people write one or two of them when they quote an alarm."""


def is_machine_made(ticket: Ticket) -> bool:
    """Say whether a monitoring system wrote the ticket: by its channel, or by headers and form of the text."""
    if (ticket.channel or "").lower() in _CHANNELS:
        return True
    headers = {name.rpartition(".")[2].lower(): value.lower() for name, value in ticket.attributes.items()}
    hints = sum(name in headers and said in headers[name] for name, said in _HEADERS.items())
    text = plain(f"{ticket.subject}\n{ticket.body[:4000]}")
    any_hint, each = _hints()
    if not any_hint.search(text):  # as with most of what people write
        return hints >= _ENOUGH
    return hints + sum(bool(hint.search(text)) for hint in each) >= _ENOUGH


@cache
def _hints() -> tuple[Any, tuple[Any, ...]]:
    """Return the hints in the text as one pattern that finds any of them, and each as its own."""
    hints = tomllib.loads(files(__package__).joinpath("machines.toml").read_text("utf-8"))["hints"]
    return one_of(hints), tuple(map(compile_cue, hints))
