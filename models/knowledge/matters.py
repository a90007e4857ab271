"""Which new proposals are about the matter of an entry that there is: those made of mostly the same tickets."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import replace

from triage.knowledge import Entry, Proposal

MOSTLY = 0.5
"""Share of the tickets of the smaller of the two from which on a proposal and an entry are about one matter."""


def under_their_entries(proposals: Iterable[Proposal], entries: Iterable[Entry]) -> list[Proposal]:
    """Return the proposals, those about an entry's matter under its id: each entry has the one that is most like it.

    Example:
        >>> entry = Entry("k-1111", 1, "Scanner", "script", "L1", "", "", tickets=("T1", "T2", "T3"))
        >>> tickets = ("T1", "T2", "T3", "T4")
        >>> one = Proposal("k-2222", "x", "script", "L1", "L2", None, tickets, {}, 0.5, 1, 1, (), 1, 1, ())
        >>> [found.id for found in under_their_entries([one], [entry])]
        ['k-1111']
    """
    found, known = list(proposals), list(entries)
    pairs = [(_likeness(one, entry), number, entry.id) for number, one in enumerate(found) for entry in known]
    renamed: dict[int, str] = {}
    for likeness, number, entry_id in sorted(pairs, key=lambda pair: (-pair[0], pair[1], pair[2])):
        if likeness and number not in renamed and entry_id not in renamed.values():
            renamed[number] = entry_id
    taken = {entry.id for entry in known}
    return [replace(one, id=renamed.get(number) or _free(one.id, taken)) for number, one in enumerate(found)]


def _likeness(proposal: Proposal, entry: Entry) -> float:
    """Return the share of tickets that both have of all theirs; 0 where they are about different matters."""
    ours, theirs = set(proposal.tickets), set(entry.tickets)
    both, smaller = len(ours & theirs), min(len(ours), len(theirs))
    return both / len(ours | theirs) if smaller and both > MOSTLY * smaller else 0.0


def _free(proposal_id: str, taken: set[str]) -> str:
    """Return an id that no entry has, always the same: an entry's first tickets may be proposed as another matter."""
    while proposal_id in taken:
        proposal_id = f"k-{hashlib.sha256(proposal_id.encode()).hexdigest()[:10]}"
    return proposal_id
