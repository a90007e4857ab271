"""The agent page at `/`: paste a ticket, see where it should go and why, accept or correct it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Annotated

from anyio import to_thread
from fastapi import APIRouter, Depends, Form, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from pydantic import BaseModel, ValidationError

from api.deps import Caller, Parts, Reader, Reviewer, parts_of
from api.http.exceptions import NotFound, Refused, TooBusy
from api.http.reception import to_ticket
from api.http.schemas import DecisionDetail, FeedbackIn, TicketIn, TicketOut
from api.pages import render, static
from api.scoring.autonomy import TargetAutonomy
from api.security.auth import Principal
from api.security.page_route import PageRoute
from triage.errors import InvalidTicket, StoreUnavailable
from triage.ticket import CHANNELS, Ticket
from triage.wording import ATTENTION

router = APIRouter(include_in_schema=False, route_class=PageRoute)

_LATEST = 20
_ANONYMOUS = "agent"
_OUTCOMES = {
    "automatic": ("decided", "good"),
    "suggested": ("suggested", "warn"),
    "blank": ("no suggestion", "muted"),
    "accepted": ("accepted", "good"),
    "corrected": ("corrected", ""),
    "unsure": ("unsure", "muted"),
}


class Draft(BaseModel):
    """What stands in the form for a new ticket."""

    subject: str = ""
    body: str = ""
    channel: str = ""
    ticket_id: str = ""

    def ticket(self, max_text_chars: int) -> Ticket:
        """Return the ticket that was pasted; what is empty counts as not stated.

        Raises:
            ValidationError: There is nothing to read in it, or a field is too long.
            InvalidTicket: Its text is longer than the service takes.
        """
        stated = {"id": self.ticket_id.strip(), "subject": self.subject, "body": self.body, "channel": self.channel}
        payload = TicketIn.model_validate({name: value for name, value in stated.items() if value})
        return to_ticket(payload, max_text_chars)


class Opinion(BaseModel):
    """What an agent says of a decision on the page; what is empty counts as not stated."""

    verdict: str
    tier: str = ""
    category: str = ""
    resolver_group: str = ""
    reason: str = ""


EMPTY = Draft()


@dataclass(frozen=True)
class Line:
    """One line of the list of latest decisions: its labels are those that count now."""

    decision_id: str
    title: str
    tier: str | None
    category: str | None
    resolver_group: str | None
    outcome: str
    outcome_class: str
    created_at: datetime
    attention: tuple[str, ...] = ()


async def _parts(request: Request) -> Parts:
    return parts_of(request)


PartsDep = Annotated[Parts, Depends(_parts)]


@router.get("/")
async def agent_page(parts: PartsDep, reader: Reader) -> HTMLResponse:
    """Show an empty form and the latest decisions."""
    return await _page(parts, reader)


@router.get("/decisions/{decision_id}")
async def decision(request: Request, decision_id: str, parts: PartsDep, reader: Reader) -> HTMLResponse:
    """Show one decision, and the form for the next ticket."""
    try:
        shown = await to_thread.run_sync(_shown, parts, decision_id, reader)
    except NotFound:
        if "text/html" not in request.headers.get("accept", ""):
            raise
        message = "There is no such decision: it was never made here, or is past its retention."
        return await _page(parts, reader, problem=message)
    return await _page(parts, reader, shown=shown)


@router.post("/")
async def suggest(
    parts: PartsDep,
    reader: Reader,
    caller: Caller,
    draft: Annotated[Draft, Form()],
) -> Response:
    """Decide what was pasted, and show the decision under its own address."""
    try:
        [document] = await parts.service.decide([draft.ticket(parts.service.settings.max_text_chars)], caller)
    except (ValidationError, InvalidTicket):
        message = "There is nothing to read in this ticket, or it is too long. Please check the text."
        return await _page(parts, reader, draft=draft, problem=message)
    except TooBusy:
        message = "Too many tickets are being looked at. Please try again in a moment."
        return await _page(parts, reader, draft=draft, problem=message)
    if document.stored:
        return RedirectResponse(f"/decisions/{document.decision_id}", 303)
    shown = DecisionDetail(
        **dict(document),
        created_at=datetime.now(UTC),
        desk=caller.source,
        revision=1,
        ticket=TicketOut(subject=draft.subject, body=draft.body, channel=draft.channel or None),
        withheld=False,
        standing=None,
        feedback=[],
        revisions=[],
    )
    return await _page(parts, reader, shown=shown)


@router.post("/decisions/{decision_id}/feedback")
async def feedback(
    decision_id: str,
    parts: PartsDep,
    reviewer: Reviewer,
    opinion: Annotated[Opinion, Form()],
) -> Response:
    """Keep what the agent says about a decision."""
    try:
        stated = {name: value.strip() for name, value in opinion if value.strip()}
        said = FeedbackIn.model_validate({**stated, "agent": _agent(reviewer)})
    except ValidationError as error:
        raise NotFound(
            "no-such-verdict", "the page sent a verdict that is not known: reload it and try again"
        ) from error
    return await _changed(parts, decision_id, reviewer, partial(parts.reviews.keep, decision_id, said, reviewer))


@router.post("/decisions/{decision_id}/undo")
async def undo(decision_id: str, parts: PartsDep, reviewer: Reviewer, feedback_id: Annotated[str, Form()]) -> Response:
    """Take back what was said."""
    take_back = partial(parts.reviews.take_back, decision_id, feedback_id, agent=_agent(reviewer), reviewer=reviewer)
    return await _changed(parts, decision_id, reviewer, take_back)


async def _changed(parts: Parts, decision_id: str, reader: Principal, change: Callable[[], object]) -> Response:
    """Make a change and show the decision; where it cannot be made, say so on the page."""
    try:
        await to_thread.run_sync(change)
    except StoreUnavailable:
        message = "The store does not answer: nothing was saved. Please try again in a moment."
        return await _page(parts, reader, problem=message)
    except NotFound:
        raise
    except Refused as error:
        shown = await to_thread.run_sync(_shown, parts, decision_id, reader)
        return await _page(parts, reader, shown=shown, problem=str(error))
    return RedirectResponse(f"/decisions/{decision_id}", 303)


async def _page(
    parts: Parts,
    reader: Principal,
    *,
    shown: DecisionDetail | None = None,
    draft: Draft = EMPTY,
    problem: str | None = None,
) -> HTMLResponse:
    triager = parts.service.model.triager
    policy = triager.policy
    entries = {target: policy.entries(target) for target in policy.targets}
    names = {
        target: {entry.label: entry.name for entry in known if entry.label in policy.labels(target)}
        for target, known in entries.items()
    }
    document = render(
        "agent.html",
        here="agent",
        shown=shown,
        draft=draft,
        problem=problem,
        latest=await to_thread.run_sync(_latest, parts, reader),
        names=names,
        groups=[group.name for group in policy.groups],
        autonomy=await to_thread.run_sync(_autonomy, parts),
        blind=shown is not None and _is_blind(parts, shown),
        channels=CHANNELS,
        csrf=reader.csrf or "",
        agent=reader.agent,
        model_version=triager.model_version,
        policy_version=policy.version,
        max_chars=parts.service.settings.max_text_chars,
    )
    return HTMLResponse(document)


def _shown(parts: Parts, decision_id: str, reader: Principal) -> DecisionDetail:
    return parts.reviews.shown(parts.reviews.decision(decision_id), reader)


def _latest(parts: Parts, reader: Principal) -> list[Line] | None:
    """Return the lines of the list of latest decisions, or None where the store does not answer.

    What must not wait and nobody has confirmed stands first.
    """
    try:
        rows = parts.service.store.latest(_LATEST, samples=False)
    except StoreUnavailable:
        return None
    shown = (parts.reviews.shown(row, reader) for row in rows)
    return sorted((_line(one, _is_blind(parts, one)) for one in shown), key=lambda line: not line.attention)


def _autonomy(parts: Parts) -> dict[str, TargetAutonomy]:
    """Return how far the model may go by target; nothing where the store does not answer."""
    try:
        return parts.service.autonomy.describe()
    except StoreUnavailable:
        return {}


def _is_blind(parts: Parts, shown: DecisionDetail) -> bool:
    """Say whether a person is to judge the ticket before seeing what the model says."""
    return parts.service.settings.audit_blind and shown.is_audit and shown.standing is None


def _line(shown: DecisionDetail, blind: bool) -> Line:
    attention = () if shown.standing else tuple(ATTENTION.get(one.kind, one.kind) for one in shown.attention)
    if blind:
        return Line(
            decision_id=shown.decision_id or "",
            title=shown.title,
            tier=None,
            category=None,
            resolver_group=None,
            outcome="to be judged",
            outcome_class="warn",
            created_at=shown.created_at,
            attention=attention,
        )
    outcome, look = _OUTCOMES[shown.standing.verdict if shown.standing else shown.automation]
    return Line(
        decision_id=shown.decision_id or "",
        title=shown.title,
        tier=shown.tier,
        category=shown.category,
        resolver_group=shown.resolver_group,
        outcome=outcome,
        outcome_class=look,
        created_at=shown.created_at,
        attention=attention,
    )


def _agent(reviewer: Principal) -> str:
    return reviewer.agent or _ANONYMOUS


assets = APIRouter(include_in_schema=False)


@assets.get("/static/{name}")
async def asset(name: str) -> Response:
    """Send a style sheet, script or picture of the pages."""
    found = static(name)
    if found is None:
        raise NotFound("not-found", "there is no such file: see the page's source")
    content, media_type = found
    return Response(content, media_type=media_type, headers={"Cache-Control": "no-cache"})
