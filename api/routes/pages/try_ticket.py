"""A ticket to try at `/try`: the decision changes as one types, and is kept only where that is asked for."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from pydantic import BaseModel, ValidationError

from api.deps import Caller, Parts, PartsDep, Reader
from api.http.exceptions import TooBusy
from api.http.reception import to_ticket
from api.http.schemas import TicketIn
from api.pages.highlight import pieces
from api.routes.pages.frame import label_names, page
from api.security.page_route import PageRoute
from models.wire import DecisionDocument
from triage.errors import InvalidTicket
from triage.normalise import without_images
from triage.ticket import CHANNELS, Ticket

router = APIRouter(include_in_schema=False, route_class=PageRoute)

_UNREADABLE = "There is nothing to read in this ticket, or it is too long. Please check the text."
_BUSY = "Too many tickets are being looked at. Please try again in a moment."


class Draft(BaseModel):
    """What stands in the form for a new ticket."""

    subject: str = ""
    body: str = ""
    channel: str = ""
    ticket_id: str = ""

    def ticket(self, max_text_chars: int) -> Ticket:
        """Return the ticket that was written; what is empty counts as not stated.

        Raises:
            ValidationError: There is nothing to read in it, or a field is too long.
            InvalidTicket: Its text is longer than the service takes.
        """
        stated = {"id": self.ticket_id.strip(), "subject": self.subject, "body": self.body, "channel": self.channel}
        payload = TicketIn.model_validate({name: value for name, value in stated.items() if value})
        return to_ticket(payload, max_text_chars)


EMPTY = Draft()


@router.get("/try")
async def form(parts: PartsDep, reader: Reader) -> HTMLResponse:
    """Show an empty form."""
    return await _form(parts, reader)


@router.post("/try")
async def keep(parts: PartsDep, reader: Reader, caller: Caller, draft: Annotated[Draft, Form()]) -> Response:
    """Decide a ticket, keep the decision, and show it under its own address."""
    try:
        [document] = await parts.service.decide([draft.ticket(parts.service.settings.max_text_chars)], caller)
    except (ValidationError, InvalidTicket):
        return await _form(parts, reader, draft=draft, problem=_UNREADABLE)
    except TooBusy:
        return await _form(parts, reader, draft=draft, problem=_BUSY)
    if document.stored:
        return RedirectResponse(f"/decisions/{document.decision_id}?view=all", 303)
    return await _form(parts, reader, draft=draft, document=document)


@router.post("/try/preview")
async def preview(parts: PartsDep, reader: Reader, caller: Caller, draft: Annotated[Draft, Form()]) -> HTMLResponse:
    """Show what would be decided about a ticket that is still being written; nothing is kept."""
    problem, document = None, None
    try:
        document = await parts.service.preview(draft.ticket(parts.service.settings.max_text_chars), caller)
    except (ValidationError, InvalidTicket):
        problem = _UNREADABLE if draft.subject.strip() or draft.body.strip() else None
    except TooBusy:
        problem = _BUSY
    return await _form(parts, reader, draft=draft, document=document, problem=problem, template="preview.html")


async def _form(
    parts: Parts,
    reader: Reader,
    *,
    draft: Draft = EMPTY,
    document: DecisionDocument | None = None,
    problem: str | None = None,
    template: str = "try.html",
) -> HTMLResponse:
    terms = {one.term: one.weight for one in document.explanation.terms} if document else {}
    alarms = [one.evidence for one in document.attention] if document else []
    return await page(
        parts,
        reader,
        template,
        here="try",
        draft=draft,
        document=document,
        problem=problem,
        read=pieces(without_images(draft.body), terms, alarms),
        channels=CHANNELS,
        names=label_names(parts),
    )
