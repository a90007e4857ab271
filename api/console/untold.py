"""What helpdesks were not told, and why, in words for people who run none of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from api.console.overview import Table
from api.store.outbox import DEAD, NO_SUCH_HELPDESK, NOTE, UpdateRow

_WHY = {
    "HTTP 400": "it could not read what it was sent",
    "HTTP 401": "it does not take the login of the service",
    "HTTP 403": "the login of the service may not change this there",
    "HTTP 404": "it has no such ticket, or does not show it to the service",
    "HTTP 410": "it has no such ticket any more",
    "HTTP 422": "it does not take these labels",
    "HTTP 429": "it asks for a pause",
    "ConnectError": "it could not be reached",
    "ConnectionError": "its address could not be found",
    "ReadTimeout": "it did not answer in time",
    "AnswerTooLarge": "its answer was too large to be read",
    "UnreadableAnswer": "it did not say which labels the ticket has there",
    "UnicodeEncodeError": "the login of the service has letters that cannot be sent",
    "egress-refused": "its address is none that the service may call",
    "not-an-id": "the id of the ticket cannot stand in an address",
    NO_SUCH_HELPDESK: "the file of helpdesks names it no more",
}


def why(error: str | None) -> str:
    """Say why a helpdesk was not told something.

    Example:
        >>> why("HTTP 404"), why("HTTP 302"), why("HTTP 503")[:22], why("OddError")
        ('it has no such ticket, or does not show it to the service (HTTP 404)', 'it sent the service elsewhere, as a \
page about maintenance does (HTTP 302)', 'it had a fault of its ', 'the call failed (OddError)')
    """
    said = error or "unknown"
    known = _WHY.get(said)
    if known is None and said.startswith("HTTP 3"):
        known = "it sent the service elsewhere, as a page about maintenance does"
    if known is None and said.startswith("HTTP 5"):
        known = "it had a fault of its own"
    if known is None:
        known = "it refused the call" if said.startswith("HTTP") else "the call failed"
    return known if said == NO_SUCH_HELPDESK else f"{known} ({said})"


def sentence(row: UpdateRow) -> str:
    """Say what a helpdesk was not told of a ticket, why, and what comes of it."""
    what = "given a note on this ticket" if row.kind == NOTE else "told this route"
    if row.state == DEAD:
        cure = f"Whoever runs the service can have it sent again: triage store outbound retry {row.seq}."
        return f"{row.target} was not {what}: {why(row.last_error)}. {cure}"
    return f"{row.target} has not been {what} yet: {why(row.last_error)}. It is tried again."


def untold(counted: Iterable[tuple[str, str | None, int]]) -> Table:
    """Count what helpdesks were not told, by helpdesk and reason.

    Args:
        counted: Helpdesk, error and number of updates that were given up.
    """
    found: Counter[tuple[str, str]] = Counter()
    for helpdesk, error, count in counted:
        found[helpdesk, why(error)] += count
    rows = tuple((helpdesk, reason, count) for (helpdesk, reason), count in found.most_common())
    return Table(
        "untold",
        "What helpdesks were not told",
        "Routes and notes that were given up, as a helpdesk refused them or was away for too long. Their tickets have "
        "other labels there than here. triage store outbound list names them, and retry has them sent again.",
        columns=("helpdesk", "reason", "updates"),
        rows=rows,
    )
