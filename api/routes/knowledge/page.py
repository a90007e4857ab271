"""Knowledge at `/knowledge`: what could be handed down, with its evidence, and what became of what was accepted."""

from __future__ import annotations

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
from api.scoring.knowledge import MAX_ENTRY_CHARS, AcceptIn, DismissIn, KnowledgeShown, ProposalOut
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
    "restored": "The proposal waits again.",
}


class AcceptForm(BaseModel):
    """What is accepted: a title and the article or script, both as the proposal has them where they are empty."""

    title: Text = Field("", max_length=200)
    text: Text = Field("", max_length=MAX_ENTRY_CHARS)


@router.get("/knowledge")
async def show(
    parts: PartsDep, reader: Reader, done: str = "", start: Annotated[int, Query(ge=0, le=1_000_000)] = 0
) -> HTMLResponse:
    """Show proposals with their evidence, and accepted entries with what they did."""
    return await _page(parts, reader, done=_DONE.get(done, ""), start=start)


@router.post("/knowledge/{entry_id}/accept")
async def accept(
    entry_id: EntryId, parts: PartsDep, reader: Reader, reviewer: Reviewer, said: Annotated[AcceptForm, Form()]
) -> Response:
    """Make an entry of a proposal, or its next version."""
    payload = AcceptIn(agent=reviewer.speaks_as, title=said.title or None, text=said.text or None)
    try:
        await to_thread.run_sync(parts.knowledge.accept, entry_id, payload)
    except NotFound:
        return await _gone(parts, reader)
    return RedirectResponse("/knowledge?done=accepted", 303)


@router.post("/knowledge/{entry_id}/dismiss")
async def dismiss(entry_id: EntryId, parts: PartsDep, reader: Reader, reviewer: Reviewer) -> Response:
    """Decide against a proposal."""
    return await _dismissed(entry_id, parts, reviewer, undo=False)


@router.post("/knowledge/{entry_id}/restore")
async def restore(entry_id: EntryId, parts: PartsDep, reader: Reader, reviewer: Reviewer) -> Response:
    """Let a dismissed proposal wait again."""
    return await _dismissed(entry_id, parts, reviewer, undo=True)


async def _dismissed(entry_id: str, parts: Parts, reviewer: Principal, *, undo: bool) -> Response:
    payload = DismissIn(agent=reviewer.speaks_as, undo=undo)
    try:
        await to_thread.run_sync(parts.knowledge.dismiss, entry_id, payload)
    except NotFound:
        return await _gone(parts, reviewer)
    except Contradiction:
        return await _page(parts, reviewer, problem="Somebody accepted this proposal in the meantime.", status=409)
    return RedirectResponse(f"/knowledge?done={'restored' if undo else 'dismissed'}", 303)


async def _gone(parts: Parts, reader: Principal) -> HTMLResponse:
    words = "This proposal is no longer there: newer ones took its place. Those that wait now are below."
    return await _page(parts, reader, problem=words, status=404)


async def _page(
    parts: Parts, reader: Principal, *, done: str = "", problem: str = "", status: int = 200, start: int = 0
) -> HTMLResponse:
    found = await to_thread.run_sync(parts.knowledge.look)
    waiting = found.waiting[start : start + SHOWN]
    return await page(
        parts,
        reader,
        "knowledge.html",
        status=status,
        here="knowledge",
        found=found,
        waiting=waiting,
        start=start,
        following=start + SHOWN if start + SHOWN < len(found.waiting) else None,
        preceding=max(0, start - SHOWN) if start else None,
        decisions=await to_thread.run_sync(_decisions, parts, found, waiting),
        shown_tickets=_SHOWN_TICKETS,
        judges="feedback" in reader.scopes,
        done=done,
        problem=problem,
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
