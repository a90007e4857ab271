"""Knowledge at `/knowledge`: what could be handed down, with its evidence, and what became of what was accepted."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Annotated

from anyio import to_thread
from fastapi import APIRouter, Form, Query
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from pydantic import BaseModel, Field

from api.deps import Parts, PartsDep, Reader, Reviewer
from api.http.exceptions import Contradiction, NotFound
from api.http.schemas import Text
from api.routes.knowledge.entries import EntryId
from api.routes.pages.frame import page
from api.scoring.knowledge import AcceptIn, DismissIn, EntryText, KnowledgeShown, ProposalOut, WithdrawIn
from api.security.auth import Principal
from api.security.page_route import PageRoute
from triage.errors import StoreUnavailable

router = APIRouter(include_in_schema=False, route_class=PageRoute)

SHOWN = 20
"""Proposals on a page: each has its evidence and a form."""
_SHOWN_TICKETS = 60
"""Tickets that a proposal names; the rest is counted."""
_DONE = {
    "accepted": "Accepted: the entry is suggested with its tickets from now on.",
    "dismissed": "Dismissed. It is under “Dismissed”, from where it can be brought back.",
    "restored": "It is back: a proposal waits again, an entry is suggested again.",
    "withdrawn": "Withdrawn: the entry is suggested no more. Its versions stay in the folder.",
}

_GONE = "This proposal is no longer there: newer ones took its place. Those that wait now are below."


class AcceptForm(BaseModel):
    """What is accepted: a title and the article or script, both as the proposal has them where they are empty.

    `instead` is another proposal or entry that it is for, where the one of the address is gone.
    """

    title: Text = Field("", max_length=200)
    text: EntryText = ""
    instead: str = Field("", pattern=r"^(k-[0-9a-f]{4,40})?$")


@dataclass(frozen=True)
class _Said:
    """What the page says on top: that something was done, or why not, and what was written then."""

    done: str = ""
    problem: str = ""
    status: int = 200
    written: AcceptForm | None = None
    meant: str = ""


@router.get("/knowledge")
async def show(
    parts: PartsDep, reader: Reader, done: str = "", start: Annotated[int, Query(ge=0, le=1_000_000)] = 0
) -> HTMLResponse:
    """Show proposals with their evidence, and accepted entries with what they did."""
    return await _page(parts, reader, _Said(done=_DONE.get(done, "")), start)


@router.post("/knowledge/{entry_id}/accept")
async def accept(
    entry_id: EntryId, parts: PartsDep, reader: Reader, reviewer: Reviewer, said: Annotated[AcceptForm, Form()]
) -> Response:
    """Make an entry of a proposal, or its next version; what was written is given back where that cannot be."""
    payload = AcceptIn(agent=reviewer.speaks_as, title=said.title or None, text=said.text or None)
    accept = partial(parts.knowledge.accept, said.instead or entry_id, payload, reviewer)
    try:
        await to_thread.run_sync(accept)
    except (NotFound, StoreUnavailable) as error:
        problem = _GONE if isinstance(error, NotFound) else f"It was not kept: {error}."
        status = 404 if isinstance(error, NotFound) else 503
        return await _page(parts, reader, _Said("", problem, status, written=said, meant=entry_id))
    return RedirectResponse("/knowledge?done=accepted", 303)


@router.post("/knowledge/{entry_id}/dismiss")
async def dismiss(entry_id: EntryId, parts: PartsDep, reader: Reader, reviewer: Reviewer) -> Response:
    """Decide against a proposal."""
    return await _dismissed(entry_id, parts, reviewer, undo=False)


@router.post("/knowledge/{entry_id}/restore")
async def restore(entry_id: EntryId, parts: PartsDep, reader: Reader, reviewer: Reviewer) -> Response:
    """Let a dismissed proposal wait again."""
    return await _dismissed(entry_id, parts, reviewer, undo=True)


@router.post("/knowledge/{entry_id}/withdraw")
async def withdraw(entry_id: EntryId, parts: PartsDep, reader: Reader, reviewer: Reviewer) -> Response:
    """Withdraw an entry."""
    try:
        await to_thread.run_sync(parts.knowledge.withdraw, entry_id, WithdrawIn(agent=reviewer.speaks_as), reviewer)
    except NotFound:
        return await _page(parts, reader, _Said(problem="This entry is no longer there.", status=404))
    return RedirectResponse("/knowledge?done=withdrawn", 303)


async def _dismissed(entry_id: str, parts: Parts, reviewer: Principal, *, undo: bool) -> Response:
    payload = DismissIn(agent=reviewer.speaks_as, undo=undo)
    try:
        await to_thread.run_sync(parts.knowledge.dismiss, entry_id, payload, reviewer)
    except NotFound:
        return await _page(parts, reviewer, _Said(problem=_GONE, status=404))
    except Contradiction:
        said = _Said(problem="Somebody accepted this proposal in the meantime.", status=409)
        return await _page(parts, reviewer, said)
    return RedirectResponse(f"/knowledge?done={'restored' if undo else 'dismissed'}", 303)


async def _page(parts: Parts, reader: Principal, said: _Said, start: int = 0) -> HTMLResponse:
    found = await to_thread.run_sync(parts.knowledge.look, reader)
    waiting = found.waiting[start : start + SHOWN]
    return await page(
        parts,
        reader,
        "knowledge.html",
        status=said.status,
        here="knowledge",
        found=found,
        waiting=waiting,
        start=start,
        following=start + SHOWN if start + SHOWN < len(found.waiting) else None,
        preceding=max(0, start - SHOWN) if start else None,
        decisions=await to_thread.run_sync(_decisions, parts, found, waiting),
        shown_tickets=_SHOWN_TICKETS,
        judges="feedback" in reader.scopes,
        said=said,
    )


def _decisions(parts: Parts, found: KnowledgeShown, waiting: list[ProposalOut]) -> dict[str, str]:
    """Return the decisions of the tickets that are named, as far as the service has seen them."""
    proposed = [one.tickets[:_SHOWN_TICKETS] for one in waiting]
    accepted = [one.tickets[:_SHOWN_TICKETS] for one in found.entries]
    named = {ticket for tickets in (*proposed, *accepted) for ticket in tickets}
    try:
        return parts.service.store.decisions_about(sorted(named)) if named else {}
    except StoreUnavailable:  # the evidence is readable without links
        return {}
