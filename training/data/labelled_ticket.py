"""A ticket of the desk's history with what is known about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from triage.ticket import Ticket

_EMPTY: Mapping[str, str] = MappingProxyType({})
_NONE: Mapping[str, tuple[str, ...]] = MappingProxyType({})


@dataclass(frozen=True)
class LabelledTicket:
    """A ticket of the desk's history with what is known about it.

    Attributes:
        ticket: What came in; the only part that a model may see.
        labels: The label of each target that has one (`tier`, `category`), outer spaces removed.
        group: Rows of one group stay on one side of a split; None where no column plays the role.
        resolver_group: The team that resolved it; never a feature.
        group_said: Whether a person named that team: it did not only follow from tier and category.
        resolution: What ended it, in words; never a feature.
        sensitive: Whether only some tiers may see it.
        weight: 0 where the labels came from a machine alone, else 1.
        judged: Whether people said its labels in the service: who teaches a model must not also mark it, so that such a
            ticket is learned from and never measured on.
        desk: The helpdesk that gave the ticket its id, ``api`` for a key's; None where no column says.
        place: Where the row stands, as ``file:line``.
        written: The labels as the file has them, outer spaces and all.
        several: Labels of a cell that is a list of them, by target.
        held_back: What stands in the place of a label and is none, such as ``Unassigned``, by target.
    """

    ticket: Ticket
    labels: Mapping[str, str]
    group: str | None = None
    resolver_group: str | None = None
    group_said: bool = False
    resolution: str | None = None
    sensitive: bool = False
    weight: float = 1.0
    judged: bool = False
    desk: str | None = None
    place: str = ""
    written: Mapping[str, str] = field(default_factory=lambda: _EMPTY)
    several: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: _NONE)
    held_back: Mapping[str, str] = field(default_factory=lambda: _EMPTY)

    @property
    def place_and_id(self) -> str:
        """Where the row stands, with the id of its ticket if it has one: lines cannot be found in a spreadsheet."""
        return f"{self.place} ({self.ticket.id})" if self.ticket.id else self.place
