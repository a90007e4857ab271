"""A ticket's thread: what happened to it, where it was, how often it was tried, how often it went to and fro."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from itertools import takewhile
from typing import NamedTuple, Self

from triage.normalise import shortened
from triage.ticket import Ticket


class EventKind(StrEnum):
    """What can happen to a ticket."""

    COMMENT = "comment"
    ATTEMPT = "attempt"
    ANSWER = "answer"
    STATUS = "status"


class Mover(StrEnum):
    """Who set a route."""

    MACHINE = "machine"
    PERSON = "person"


FAILED = "failed"
OUTCOMES = ("worked", FAILED, "partly")
"""What an attempt may come to; what only helped in part counts as no failure."""


@dataclass(frozen=True)
class Event:
    """Something that happened to a ticket.

    Attributes:
        id: The helpdesk's identifier; the same one is taken once.
        kind: What happened.
        at: When, with a time zone.
        text: What was written.
        outcome: Of an attempt: one of `OUTCOMES`.
        status: Of a status: what the helpdesk calls it.
        priority: The priority class that the ticket has from then on.
        tier: Of a status: the tier that a person put the ticket at.
        category: Of a status: the category that a person named.
        resolver_group: Of a status: the group that a person assigned it to.
        needs: Names of skills that somebody said are needed.
        chosen: Of an answer: target and label of what was chosen among the labels that a question offered.
        attention: What must not wait that came up with it: each kind, with the words that say so.
    """

    id: str
    kind: EventKind
    at: datetime
    text: str = ""
    outcome: str | None = None
    status: str | None = None
    priority: str | None = None
    tier: str | None = None
    category: str | None = None
    resolver_group: str | None = None
    needs: tuple[str, ...] = ()
    chosen: tuple[tuple[str, str], ...] = ()
    attention: tuple[tuple[str, str], ...] = ()

    @property
    def moves(self) -> bool:
        """Whether a person said where the ticket goes."""
        return any((self.tier, self.category, self.resolver_group))


@dataclass(frozen=True)
class Route:
    """Where a ticket was from some moment on.

    Attributes:
        tier: The tier.
        category: The category.
        resolver_group: The group.
        at: From when on.
        by: Who put it there.
        automatic: Whether that was done without a person.
        because: Why, in a few words.
        event_id: The event that led to it; None for the first.
        wholly: Whether all that was decided then was automatic, and not the tier alone.
    """

    tier: str | None
    category: str | None
    resolver_group: str | None
    at: datetime
    by: Mover = Mover.MACHINE
    automatic: bool = False
    because: str = ""
    event_id: str | None = None
    wholly: bool = False


@dataclass(frozen=True)
class Thread:
    """A ticket with everything that happened to it.

    Attributes:
        ticket: As it came in.
        routes: Where it was, oldest first; at least one.
        events: What happened, oldest first.
        over_long: Characters of it that are not read, because it is too long.
    """

    ticket: Ticket
    routes: tuple[Route, ...]
    events: tuple[Event, ...] = ()
    over_long: int = 0

    @property
    def route(self) -> Route:
        """Where the ticket is now."""
        return self.routes[-1]

    @property
    def arrived_at(self) -> datetime:
        """Since when the ticket has been at the tier where it is now."""
        return self._arrival.at

    @property
    def _arrival(self) -> Route:
        """The route that brought the ticket to the tier where it is now."""
        there = list(takewhile(lambda route: route.tier == self.route.tier, reversed(self.routes)))
        return there[-1]

    @property
    def _events_here(self) -> Sequence[Event]:
        """What happened since it came to the present tier; what brought it there is dated as its arrival is."""
        arrival = self._arrival
        ids = [event.id for event in self.events]
        if arrival.event_id in ids:
            return self.events[ids.index(arrival.event_id) + 1 :]
        is_first = arrival is self.routes[0]
        return [event for event in self.events if event.at > arrival.at or (is_first and event.at == arrival.at)]

    @property
    def failed_attempts(self) -> tuple[Event, ...]:
        """Attempts at the present tier that did not help."""
        return tuple(
            event for event in self._events_here if event.kind is EventKind.ATTEMPT and event.outcome == FAILED
        )

    @property
    def priority(self) -> str | None:
        """The ticket's priority class, as it was stated last."""
        stated = [event.priority for event in self.events if event.priority]
        return stated[-1] if stated else self.ticket.attributes.get("priority")

    @property
    def alarms(self) -> tuple[tuple[str, str], ...]:
        """What must not wait that came up with its events."""
        return tuple(one for event in self.events for one in event.attention)

    @property
    def bounces(self) -> int:
        """How often the ticket returned to a group that had it before."""
        return bounces(self.routes)

    @property
    def whole(self) -> Ticket:
        """The ticket as the model reads it now: its own text, under it what was written since, and what was chosen."""
        return grown(self.ticket, self.events)

    def within(self, max_chars: int) -> Self:
        """Return the thread as far as it is read; see `within`."""
        ticket, events, over = within(self.ticket, self.events, max_chars)
        return replace(self, ticket=ticket, events=events, over_long=self.over_long + over)

    @property
    def texts(self) -> tuple[str, ...]:
        """Everything written, oldest first."""
        own = f"{self.ticket.subject}\n{self.ticket.body}".strip()
        return (own, *(event.text for event in self.events if event.text))


def grown(ticket: Ticket, events: Sequence[Event]) -> Ticket:
    """Return a ticket as the model reads it with what happened to it: what was written stands below its own text.

    Example:
        >>> from datetime import UTC
        >>> news = Event("1", EventKind.COMMENT, datetime(2026, 1, 1, tzinfo=UTC), "It smokes.")
        >>> grown(Ticket(body="The printer is jammed."), [news]).body.splitlines()
        ['The printer is jammed.', '', 'It smokes.']
    """
    chosen = tuple(one for event in events for one in event.chosen)
    written = [ticket.body, *(event.text for event in events if event.text)]
    return replace(ticket, body="\n\n".join(part for part in written if part), chosen=chosen) if events else ticket


class Bounded(NamedTuple):
    """A ticket and what happened to it as far as they are read, and how many characters are not."""

    ticket: Ticket
    events: tuple[Event, ...]
    over_long: int = 0


def within(ticket: Ticket, events: Sequence[Event], max_chars: int) -> Bounded:
    """Bound what is read of a thread, so that one that goes on for ever takes no longer than any other.

    The newest events are read, and the beginning and end of the ticket's own text, each with half of the room and what
    the other one leaves of it. What happened counts as before, apart from its words.

    Args:
        ticket: As it came in.
        events: What happened, oldest first.
        max_chars: Most characters of body and events together.

    Example:
        >>> from datetime import UTC
        >>> news = [Event(name, EventKind.COMMENT, datetime(2026, 1, 1, tzinfo=UTC), name * 40) for name in "abc"]
        >>> ticket, events, over = within(Ticket(body="It smokes."), news, 100)
        >>> ticket.body, [len(event.text) for event in events], over
        ('It smokes.', [0, 40, 40], 40)
    """
    written = len(ticket.body) + sum(len(event.text) for event in events)
    if not events or written <= max_chars:
        return Bounded(ticket, tuple(events))
    room = left = max(max_chars // 2, max_chars - len(ticket.body))
    left_out, kept = 0, list[Event]()
    for event in reversed(events):
        text, over = _fitted(event.text, left, may_cut=left == room)
        left_out, left = left_out + over, 0 if over else left - len(text)
        kept.append(replace(event, text=text))
    body, over = shortened(ticket.body, max_chars - sum(len(event.text) for event in kept))
    return Bounded(replace(ticket, body=body), tuple(reversed(kept)), left_out + over)


def _fitted(text: str, room: int, *, may_cut: bool) -> tuple[str, int]:
    """Return a text that fits into a room, whole, cut or not at all, and how many of its characters do not."""
    if len(text) <= room:
        return text, 0
    return shortened(text, room) if may_cut else ("", len(text))


def bounces(routes: Sequence[Route]) -> int:
    """Count how often a ticket returned to a group, or where none is named a tier, that had it before.

    Example:
        >>> from datetime import UTC
        >>> at = datetime(2026, 1, 1, tzinfo=UTC)
        >>> bounces([Route(None, None, group, at) for group in ("desk", "network", "desk", "desk", "network")])
        2
    """
    return returns([route.resolver_group or route.tier for route in routes])


def returns(places: Sequence[str | None]) -> int:
    """Count how often a ticket came back to a place where it had been before, places given in order.

    Example:
        >>> returns(["desk", "network", "desk"]), returns(["desk", "desk", "network"])
        (1, 0)
    """
    moves = [place for number, place in enumerate(places) if number == 0 or place != places[number - 1]]
    return sum(place in moves[:number] for number, place in enumerate(moves))
