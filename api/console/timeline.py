"""A ticket's timeline for people: decisions, what people said of them, what happened since, and where that led."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from api.http.schemas import DecisionDetail
from api.http.ticket_schemas import TicketViewOut
from api.store.rows import made_at
from triage.prediction import ROUTE

_HAPPENED = {
    "comment": "Written",
    "attempt": "Tried",
    "answer": "The requester answered",
    "status": "Status",
    "route": "Moved to",
}
_SAID = {
    "accepted": "accepted it",
    "corrected": "corrected to",
    "unsure": "was not sure",
    "undone": "took a verdict back",
}


@dataclass(frozen=True)
class Entry:
    """One entry: when, who, what happened, where that led, and the words that were written.

    Attributes:
        at: When.
        who: The person; empty where it was the machine, or nobody is named.
        what: A few words that continue `who`.
        route: Tier, category and group, as far as the entry names them.
        words: What was written.
        link: Id of a decision that has a page of its own; empty for none.
    """

    at: datetime
    who: str
    what: str
    route: str = ""
    words: str = ""
    link: str = ""


def entries(shown: DecisionDetail, view: TicketViewOut | None) -> list[Entry]:
    """Return everything that happened to a ticket, oldest first.

    Args:
        shown: The decision on the page.
        view: The ticket over time; None where it cannot be told.
    """
    by = f"model {shown.model_version}" if shown.model_version else "the rules alone"
    first = _route(*(verdict.label for verdict in shown.targets.values()))
    found = [Entry(shown.created_at, "", f"Decided by {by}", first)]
    others = (one for one in shown.revisions if one != shown.decision_id)
    found += [Entry(_decided_at(one, shown), "", "Another decision about this ticket", link=one) for one in others]
    for said in shown.feedback:
        words = ": ".join(filter(None, (said.reason, said.comment)))
        further = (label for target, label in said.targets.items() if target not in ROUTE)
        named = (said.tier, said.category, said.resolver_group, *further) if said.verdict == "corrected" else ()
        found.append(Entry(said.created_at, said.agent, _SAID[said.verdict], _route(*named), words=words))
    for one in view.timeline if view else ():
        if one.what in _HAPPENED:
            route = _route(one.tier, one.category, one.resolver_group)
            found.append(Entry(one.at, "", _HAPPENED[one.what], route, words=one.words))
    return sorted(found, key=lambda one: one.at)


def _decided_at(decision_id: str, shown: DecisionDetail) -> datetime:
    """Return when another decision was made; the time of the one that is shown where its id does not tell."""
    made = made_at(decision_id)
    return shown.created_at if made is None else datetime.fromtimestamp(made, UTC)


def _route(*labels: str | None) -> str:
    return " / ".join(label for label in labels if label)
