"""The agent page at `/`: paste a ticket, see where it should go and why, accept or correct it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from anyio import to_thread
from fastapi import APIRouter, Depends, Form, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from pydantic import ValidationError

from api.http.exceptions import NotFound, Refused, TooBusy
from api.http.schemas import TicketIn, to_ticket
from api.pages import render, static
from api.routes.decisions import described, kept
from api.routes.feedback import FeedbackIn, keep_feedback, take_back
from api.routes.session import SIGN_IN, PageRoute
from api.scoring.service import Service
from api.security.api_keys import sha256
from api.security.auth import COOKIE, Access, Principal, require
from triage.errors import InvalidTicket, StoreUnavailable
from triage.ticket import CHANNELS

router = APIRouter(include_in_schema=False, route_class=PageRoute)

Reader = Annotated[Principal, Depends(require("read"))]
Predictor = Annotated[Principal, Depends(require("predict"))]
Speaker = Annotated[Principal, Depends(require("feedback"))]
_LATEST = 20
_TITLE_CHARS = 90
_ANONYMOUS = "agent"
_DRAFT = {"subject": "", "body": "", "channel": "", "ticket_id": ""}


@router.get("/")
async def desk(request: Request, reader: Reader) -> HTMLResponse:
    """Show an empty form and the latest decisions."""
    return await _page(request, reader)


@router.get("/decisions/{decision_id}")
async def decision(request: Request, decision_id: str, reader: Reader) -> HTMLResponse:
    """Show one decision, and the form for the next ticket."""
    service: Service = request.app.state.service
    try:
        row = await to_thread.run_sync(kept, service, decision_id)
    except NotFound:
        if "text/html" not in request.headers.get("accept", ""):
            raise
        message = "There is no such decision: it was never made here, or is past its retention."
        return await _page(request, reader, problem=message)
    return await _page(request, reader, shown=described(row, reader, service))


@router.post("/")
async def suggest(
    request: Request,
    reader: Reader,
    caller: Predictor,
    body: Annotated[str, Form()] = "",
    subject: Annotated[str, Form()] = "",
    channel: Annotated[str, Form()] = "",
    ticket_id: Annotated[str, Form()] = "",
) -> Response:
    """Decide what was pasted, and show the decision under its own address."""
    service: Service = request.app.state.service
    draft = {"subject": subject, "body": body, "channel": channel, "ticket_id": ticket_id}
    try:
        stated = {"id": ticket_id.strip(), "subject": subject, "body": body, "channel": channel}
        wire = TicketIn.model_validate({name: value for name, value in stated.items() if value})
        ticket = to_ticket(wire, service.settings.max_text_chars)
        answers = await service.answer([ticket], caller)
    except (ValidationError, InvalidTicket):
        message = "There is nothing to read in this ticket, or it is too long. Please check the text."
        return await _page(request, reader, draft=draft, problem=message)
    except TooBusy:
        return await _page(
            request, reader, draft=draft, problem="Too many tickets are being looked at. Please try again in a moment."
        )
    answer = answers.documents[0]
    if answers.stored:
        return RedirectResponse(f"/decisions/{answer['decision_id']}", 303)
    return await _page(
        request,
        reader,
        shown={**answer, "ticket": {"subject": subject, "body": body}, "withheld": False, "standing": None},
    )


@router.post("/decisions/{decision_id}/feedback")
async def feedback(
    request: Request,
    decision_id: str,
    speaker: Speaker,
    verdict: Annotated[str, Form()],
    tier: Annotated[str, Form()] = "",
    category: Annotated[str, Form()] = "",
) -> Response:
    """Keep what the agent says about a decision."""
    service: Service = request.app.state.service
    try:
        said = FeedbackIn.model_validate(
            {"verdict": verdict, "tier": tier or None, "category": category or None, "agent": _agent(speaker)}
        )
    except ValidationError as error:
        raise NotFound(
            "no-such-verdict", "the page sent a verdict that is not known: reload it and try again"
        ) from error
    return await _changed(
        request, decision_id, speaker, lambda: keep_feedback(service, decision_id, said, speaker, None)
    )


@router.post("/decisions/{decision_id}/undo")
async def undo(request: Request, decision_id: str, speaker: Speaker, feedback_id: Annotated[str, Form()]) -> Response:
    """Take back what was said."""
    service: Service = request.app.state.service
    return await _changed(
        request,
        decision_id,
        speaker,
        lambda: take_back(service, decision_id, feedback_id, _agent(speaker), speaker),
    )


@router.post("/sign-out")
async def sign_out(request: Request, reader: Reader) -> Response:
    """Close the session."""
    token = request.cookies.get(COOKIE)
    if token:
        service: Service = request.app.state.service
        access: Access = request.app.state.access
        await to_thread.run_sync(service.repository.close_session, sha256(token))
        access.keyring.forget(token)
    answer = RedirectResponse(SIGN_IN, 303)
    answer.delete_cookie(COOKIE)
    return answer


async def _changed(request: Request, decision_id: str, reader: Principal, change: Any) -> Response:
    """Make a change and show the decision; where it cannot be made, say so on the page."""
    try:
        await to_thread.run_sync(change)
    except StoreUnavailable:
        return await _page(
            request, reader, problem="The store does not answer: nothing was saved. Please try again in a moment."
        )
    except NotFound:
        raise
    except Refused as error:
        service: Service = request.app.state.service
        row = await to_thread.run_sync(kept, service, decision_id)
        return await _page(request, reader, shown=described(row, reader, service), problem=str(error))
    return RedirectResponse(f"/decisions/{decision_id}", 303)


async def _page(
    request: Request,
    reader: Principal,
    *,
    shown: Mapping[str, Any] | None = None,
    draft: Mapping[str, str] = _DRAFT,
    problem: str | None = None,
) -> HTMLResponse:
    service: Service = request.app.state.service
    triager = service.desk.triager
    policy = triager.policy
    entries = {target: policy.entries(target) for target in policy.targets}
    names = {
        target: {entry.label: entry.name for entry in known if entry.label in policy.labels(target)}
        for target, known in entries.items()
    }
    latest = await _latest(service, reader)
    document = render(
        "desk.html",
        here="desk",
        shown={**shown, "title": _title(shown)} if shown else None,
        draft=draft,
        problem=problem,
        latest=latest,
        names=names,
        channels=CHANNELS,
        csrf=reader.csrf or "",
        agent=reader.agent,
        model_version=triager.model_version,
        policy_version=policy.version,
        max_chars=service.settings.max_text_chars,
    )
    return HTMLResponse(document)


async def _latest(service: Service, reader: Principal) -> list[dict[str, Any]] | None:
    try:
        rows = await to_thread.run_sync(service.repository.latest, _LATEST)
    except StoreUnavailable:
        return None
    return [_line(described(row, reader, service)) for row in rows]


def _line(document: dict[str, Any]) -> dict[str, Any]:
    standing = document["standing"]
    outcome, look = {
        "automatic": ("decided", "good"),
        "suggested": ("suggested", "warn"),
        "blank": ("no suggestion", "muted"),
    }[document["automation"]]
    if standing:
        outcome, look = {
            "accepted": ("accepted", "good"),
            "corrected": ("corrected", ""),
            "unsure": ("unsure", "muted"),
        }[standing["verdict"]]
    corrected = {target: standing[target] for target in ("tier", "category") if standing and standing[target]}
    return {**document, **corrected, "title": _title(document), "outcome": outcome, "outcome_class": look}


def _title(document: Mapping[str, Any]) -> str:
    """Name a decision by its subject, else the beginning of its text, else the ticket's id."""
    ticket = document.get("ticket") or {}
    words = " ".join((ticket.get("subject") or ticket.get("body") or "").split())
    return (words[:_TITLE_CHARS] + "…" if len(words) > _TITLE_CHARS else words) or f"Ticket {document['ticket_id']}"


def _agent(speaker: Principal) -> str:
    return speaker.agent or _ANONYMOUS


assets = APIRouter(include_in_schema=False)


@assets.get("/static/{name}")
async def asset(name: str) -> Response:
    """Send a style sheet, script or picture of the pages."""
    found = static(name)
    if found is None:
        raise NotFound("not-found", "there is no such file: see the page's source")
    content, media_type = found
    return Response(content, media_type=media_type, headers={"Cache-Control": "no-cache"})
