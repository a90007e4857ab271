"""One ticket: the requester's words beside the decision, what people said, and one key for each thing to do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType
from typing import Annotated, Any, TypeVar
from urllib.parse import parse_qsl
from uuid import uuid4

from anyio import to_thread
from fastapi import APIRouter, Depends, Form, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response, StreamingResponse
from pydantic import BaseModel, Field, ValidationError

from api.console.queries import QueueQuery
from api.console.timeline import entries
from api.console.untold import sentence
from api.deps import AccessDep, Caller, Parts, PartsDep, Reader, Reviewer
from api.http.exceptions import Contradiction, NotAllowed, NotFound, Refused, TooBusy
from api.http.schemas import DecisionDetail, FeedbackIn, FeedbackOut, Name, Text
from api.http.ticket_schemas import MAX_ANSWERS, MAX_QUESTION_CHARS, AnswersIn, EventIn, TicketViewOut
from api.pages.highlight import Piece, pieces
from api.routes.pages.frame import group_names, is_blind, label_names, page, refusal
from api.routes.pages.queue import EVENTS, OUTCOMES, State, next_after, previous_of, spoken, wants_events
from api.scoring.knowledge import FittingOut
from api.scoring.threads import Handling
from api.security.auth import Principal, require
from api.security.page_route import PageRoute
from api.store.rows import UNDONE
from models.wire import TargetDocument
from triage.errors import StoreUnavailable

Led = TypeVar("Led")
router = APIRouter(include_in_schema=False, route_class=PageRoute, dependencies=[Depends(require("read"))])
"""Every answer may show the ticket, also one that says why something was not saved."""

FURTHER = "targets."
"""What the name of a field begins with that holds the label of a target beside tier and category."""

REASONS_TO_CORRECT = (
    "another team owns this service",
    "needs rights that this tier lacks",
    "can be solved at first contact",
    "the words name another service",
    "several requests in one ticket",
    "the rule is out of date",
)
"""What is offered as the reason of a correction; anything else may be written."""
_NO_REASON = "Nothing is saved yet: a correction needs a reason. Pick one from the list, or write your own."


EventId = Annotated[Text, Field(max_length=64)]
"""Under which an event of the page is kept; empty for one that is made up."""


class Opinion(BaseModel):
    """What an agent says of a decision on the page; what is empty counts as not stated.

    Attributes:
        verdict: What is said of the decision: accepted, corrected or undone.
        tier: As corrected.
        category: As corrected.
        resolver_group: As corrected.
        reason: Of the correction, one of those that are offered or another one.
        other_reason: In the agent's own words, where none of the offered ones is chosen.
        seen: Id of the verdict that stood when the page was shown: another one may have come since.
        again: Id of the verdict that is said once more as it is, after something came up that must not wait.
        moves: Of who accepts: how often events had moved the ticket when the page was shown.
        back: Query of the list that the ticket was opened from.
    """

    verdict: str
    tier: str = ""
    category: str = ""
    resolver_group: str = ""
    reason: str = ""
    other_reason: str = ""
    seen: str = ""
    again: str = ""
    moves: int | None = None
    back: str = ""

    @property
    def why(self) -> str:
        """The reason, picked or written; empty where there is none."""
        return self.reason.strip() or self.other_reason.strip()


class Answers(BaseModel):
    """What the requester answered, question by question; what is empty was not answered.

    Attributes:
        question: As they were asked.
        answer: In the requester's words, in the same order.
        event_id: Under which they are kept: sent twice, they are kept once.
        back: Query of the list that the ticket was opened from.
    """

    question: list[Annotated[Text, Field(min_length=1)]] = []
    answer: list[Text] = []
    event_id: EventId = ""
    back: str = ""

    @property
    def given(self) -> list[tuple[str, str]]:
        """Each question that was answered, with its answer."""
        pairs = zip(self.question, self.answer, strict=False)
        return [(ask, told.strip()) for ask, told in pairs if told.strip()]

    @property
    def stated(self) -> list[dict[str, str]]:
        """The same as programs state it."""
        return [{"question": ask[:MAX_QUESTION_CHARS], "text": told} for ask, told in self.given[:MAX_ANSWERS]]


@dataclass(frozen=True)
class Unsaved:
    """What could not be saved, so that nobody has to type it again.

    Attributes:
        problem: Why, in a sentence.
        status: HTTP status of the page that says so.
        labels: Labels that were chosen in a correction, by target; None where none was made.
        reason: Why, one of those that are offered.
        other_reason: Why, in the agent's words.
        answers: What the requester answered, by question.
    """

    problem: str
    status: int = 409
    labels: Mapping[str, str] | None = None
    reason: str = ""
    other_reason: str = ""
    answers: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


@router.get("/decisions/{decision_id}")
async def ticket(decision_id: str, parts: PartsDep, reader: Reader, query: Annotated[QueueQuery, Query()]) -> Response:
    """Show one ticket with its decision; an id that leads to another decision is shown under that one."""
    stands = (await to_thread.run_sync(parts.reviews.decision, decision_id)).id
    if stands != decision_id:
        return RedirectResponse(f"/decisions/{stands}?{query.link()}", 303)
    return await _ticket_page(parts, reader, decision_id, query)


@router.get("/decisions/{decision_id}/live")
async def live(
    request: Request, decision_id: str, parts: PartsDep, access: AccessDep, reader: Reader, state: State = ""
) -> Response:
    """Tell the page of a ticket whenever something changes, and note that somebody has it open."""
    if not wants_events(request):
        return Response(status_code=204)
    store, me = parts.service.store, reader.speaks_as

    async def looks_on() -> bool:
        if not await access.is_still(request, reader):
            return False
        await to_thread.run_sync(_unless_away, store.look, decision_id, me)
        return True

    async def changes() -> AsyncIterator[bytes]:
        try:
            async for event in parts.watch_tickets.changes("ticket", looks_on, state):
                yield event
        finally:
            # Not awaited: a browser that went away has cancelled this task.
            asyncio.get_running_loop().run_in_executor(None, partial(_unless_away, store.look_away, decision_id, me))

    return StreamingResponse(changes(), media_type=EVENTS)


@router.get("/decisions/{decision_id}/others")
async def others(
    decision_id: str, parts: PartsDep, reader: Reader, seen: Annotated[str, Query(max_length=64)] = ""
) -> HTMLResponse:
    """Show who else has the ticket open or has taken it, and what was said since the page was shown."""
    values = await to_thread.run_sync(lambda: _others(parts, reader, decision_id, seen))
    return await page(parts, reader, "others.html", **values)


@router.post("/decisions/{decision_id}/feedback")
async def feedback(
    request: Request, decision_id: str, parts: PartsDep, reviewer: Reviewer, opinion: Annotated[Opinion, Form()]
) -> Response:
    """Keep what the agent says about a decision, and show the next ticket."""
    sent = await request.form()
    further = {name.removeprefix(FURTHER): str(label) for name, label in sent.items() if name.startswith(FURTHER)}
    said = _stated(opinion, further, reviewer)
    query = _list_of(opinion.back)
    if said.verdict == "corrected" and said.reason is None and not opinion.again:
        shown = await to_thread.run_sync(_shown, parts, reviewer, decision_id)
        if not is_blind(parts, shown):  # who judges before seeing the decision does not know whether this corrects it
            unsaved = _unsaved(_NO_REASON, opinion, further, status=422)
            return await _ticket_page(parts, reviewer, decision_id, query, unsaved=unsaved)
    standing = await to_thread.run_sync(_standing, parts, decision_id)
    problem = await _kept(lambda: _keep(parts, reviewer, decision_id, said, again=opinion.again, moves=opinion.moves))
    if problem is not None:
        unsaved = _unsaved(problem, opinion, further)
        return await _ticket_page(parts, reviewer, decision_id, query, unsaved=unsaved)
    if (standing or "") != opinion.seen:  # somebody spoke in the meantime: both are kept, and this agent is to know
        return RedirectResponse(f"/decisions/{decision_id}?{query.link(told='both')}", 303)
    following = await to_thread.run_sync(lambda: next_after(parts, reviewer, query, decision_id))
    place = f"/decisions/{following}" if following else "/"
    return RedirectResponse(f"{place}?{query.link(done=decision_id)}", 303)


@router.post("/decisions/{decision_id}/undo")
async def undo(
    decision_id: str,
    parts: PartsDep,
    reviewer: Reviewer,
    feedback_id: Annotated[str, Form()],
    back: Annotated[str, Form()] = "",
) -> Response:
    """Take back what was said, and show the ticket again."""
    me, query = reviewer.speaks_as, _list_of(back)
    take_back = partial(parts.reviews.take_back, decision_id, feedback_id, agent=me, reviewer=reviewer)
    return await _changed(parts, reviewer, decision_id, query, change=take_back)


@router.post("/decisions/{decision_id}/claim")
async def claim(decision_id: str, parts: PartsDep, reviewer: Reviewer, back: Annotated[str, Form()] = "") -> Response:
    """Take a ticket, or renew the claim."""
    change = partial(parts.service.store.claim, decision_id, reviewer.speaks_as)
    return await _changed(parts, reviewer, decision_id, _list_of(back), change=change)


@router.post("/decisions/{decision_id}/release")
async def release(decision_id: str, parts: PartsDep, reviewer: Reviewer, back: Annotated[str, Form()] = "") -> Response:
    """Give a ticket back."""
    change = partial(parts.service.store.release, decision_id, reviewer.speaks_as)
    return await _changed(parts, reviewer, decision_id, _list_of(back), change=change)


@router.post("/decisions/{decision_id}/answers")
async def answers(decision_id: str, parts: PartsDep, caller: Caller, told: Annotated[Answers, Form()]) -> Response:
    """Keep what the requester answered: the ticket is decided anew with it, and moves where that is sure enough."""
    query, shown = _list_of(told.back), await to_thread.run_sync(_shown, parts, caller, decision_id)
    if not told.given:
        unsaved = Unsaved("Nothing was answered: write what the requester says beside a question.")
        return await _ticket_page(parts, caller, decision_id, query, unsaved=unsaved)
    problem = await _noted(partial(_take_answers, parts, caller, shown, told=told))
    if problem is not None:
        unsaved = Unsaved(problem, answers=dict(told.given))
        return await _ticket_page(parts, caller, decision_id, query, unsaved=unsaved)
    return RedirectResponse(f"/decisions/{decision_id}?{query.link(told='answers')}", 303)


@router.post("/decisions/{decision_id}/move")
async def move(
    decision_id: str,
    parts: PartsDep,
    reviewer: Reviewer,
    tier: Annotated[Name, Form()],
    event_id: Annotated[EventId, Form()] = "",
    back: Annotated[str, Form()] = "",
) -> Response:
    """Move a ticket to another tier because an escalation criterion is met; the first decision is not called wrong."""
    query, shown = _list_of(back), await to_thread.run_sync(_shown, parts, reviewer, decision_id)
    problem = await _noted(partial(_take_move, parts, reviewer, shown, event_id=event_id, tier=tier))
    if problem is not None:
        return await _ticket_page(parts, reviewer, decision_id, query, unsaved=Unsaved(problem))
    return RedirectResponse(f"/decisions/{decision_id}?{query.link(told='moved')}", 303)


@router.post("/decisions/{decision_id}/answers/preview")
async def preview_answers(
    decision_id: str, parts: PartsDep, caller: Caller, told: Annotated[Answers, Form()]
) -> HTMLResponse:
    """Show what the answers of the requester would change; nothing is kept."""
    shown = await to_thread.run_sync(_shown, parts, caller, decision_id)
    moved, problem = [], None
    if is_blind(parts, shown):
        problem = "Judge the ticket first: after that the page shows what the model says."
    elif told.given and shown.ticket is not None:
        try:
            after = await _with_answers(parts.threads.preview, parts, caller, shown, told=told)
            moved = [(name, shown.targets[name], one) for name, one in after.targets.items() if name in shown.targets]
        except TooBusy:
            problem = "Too much to do at the moment: try again."
        except NotFound:
            raise
        except (StoreUnavailable, Refused) as error:
            problem = refusal(error)
    return await page(parts, caller, "answers.html", moved=moved, problem=problem)


@router.get("/tickets")
async def by_ticket_id(parts: PartsDep, reader: Reader, id: Annotated[str, Query(max_length=255)] = "") -> Response:
    """Open a past ticket by the helpdesk's id of it; one that was never decided here is told on a page."""
    rows = await to_thread.run_sync(partial(parts.service.store.latest, 1, ticket_id=id)) if "\x00" not in id else []
    if not rows:
        raise NotFound(
            "no-such-ticket",
            "this ticket was never decided here: it belongs to the history that the model was trained on",
        )
    return RedirectResponse(f"/decisions/{rows[0].id}?view=all", 303)


async def _ticket_page(
    parts: Parts,
    reader: Principal,
    decision_id: str,
    query: QueueQuery,
    *,
    unsaved: Unsaved | None = None,
) -> HTMLResponse:
    """Show a ticket.

    Args:
        parts: Of this process.
        reader: Who asks.
        decision_id: The decision about it.
        query: The list that it was opened from.
        unsaved: What could not be saved, and why.
    """

    def look() -> dict[str, Any]:
        shown = parts.reviews.shown(parts.reviews.decision(decision_id), reader)
        untold = parts.service.store.untold(shown.desk, shown.ticket_id)
        return {
            "shown": shown,
            "untold": None if untold is None else sentence(untold),
            "done": spoken(parts, reader, query.done),
            "following": next_after(parts, reader, query, decision_id),
            "previous": previous_of(parts, reader, query, decision_id),
            "reopened": shown.standing is not None and shown.stored and parts.service.store.reopened(decision_id),
            **_others(parts, reader, decision_id, shown.standing.feedback_id if shown.standing else ""),
        }

    state = await parts.watch_tickets.state()
    values = await to_thread.run_sync(look)
    shown = values["shown"]
    assert isinstance(shown, DecisionDetail)
    handling = await _handling(parts, reader, shown)
    route = handling.view.route if handling else None
    near = [one.ticket_id for one in shown.explanation.similar]
    subject, body = marked(shown)
    return await page(
        parts,
        reader,
        "ticket.html",
        here="queue",
        status=unsaved.status if unsaved else 200,
        state=state,
        spoken_words=OUTCOMES,
        query=query,
        back=query.link(),
        before=_said_before(shown),
        unsaved=unsaved,
        blind=is_blind(parts, shown),
        subject=subject,
        body=body,
        names=label_names(parts),
        groups=group_names(parts),
        reasons_to_correct=REASONS_TO_CORRECT,
        handling=handling,
        now=route if route and route.event_id else None,
        moves=_moves(shown, handling),
        moved_times=moved_by_events(handling.view) if handling else None,
        entries=entries(shown, handling.view if handling else None),
        opens=await to_thread.run_sync(parts.service.store.decisions_about, near),
        fitting=await to_thread.run_sync(_fitting, parts, reader, shown),
        event_id=str(uuid4()),
        **values,
    )


def _shown(parts: Parts, reader: Principal, decision_id: str) -> DecisionDetail:
    return parts.reviews.shown(parts.reviews.decision(decision_id), reader)


async def _handling(parts: Parts, reader: Principal, shown: DecisionDetail) -> Handling | None:
    """Return what goes on with a ticket; None for a text that another one has replaced, and where it is too busy."""
    if is_blind(parts, shown) or shown.revisions[-1:] not in ([], [shown.decision_id]):
        return None
    try:
        return await parts.threads.handling(shown.ticket_id, reader.at_desk(shown.desk))
    except (TooBusy, NotFound):
        return None


def _fitting(parts: Parts, reader: Principal, shown: DecisionDetail) -> list[FittingOut]:
    """Return the entries of knowledge that fit a ticket; none where they may not be read, or are away."""
    if is_blind(parts, shown) or shown.ticket is None:
        return []
    try:
        return parts.knowledge.fitting(shown.ticket_id, reader.at_desk(shown.desk)).entries
    except (NotAllowed, NotFound, StoreUnavailable):
        return []


def _moves(shown: DecisionDetail, handling: Handling | None) -> list[tuple[str, TargetDocument, TargetDocument]]:
    """Return each target as it was decided first and as it would be now, where something was written since."""
    if handling is None or not any(one.what in ("comment", "answer", "attempt") for one in handling.view.timeline):
        return []
    after = handling.decision.targets
    return [(name, one, after[name]) for name, one in shown.targets.items() if name in after]


async def _take_answers(parts: Parts, caller: Principal, shown: DecisionDetail, told: Answers) -> None:
    await _with_answers(parts.threads.answer, parts, caller, shown, told=told)


async def _with_answers(
    take: Callable[[str, AnswersIn, Principal], Awaitable[Led]],
    parts: Parts,
    caller: Principal,
    shown: DecisionDetail,
    *,
    told: Answers,
) -> Led:
    """Have the answers of a form taken or tried as those of now, and return what that led to."""
    desk = caller.at_desk(shown.desk)
    at = await to_thread.run_sync(parts.threads.moment, shown.ticket_id, desk)
    stated = {"id": told.event_id or str(uuid4()), "at": at.isoformat(), "answers": told.stated}
    return await take(shown.ticket_id, AnswersIn.model_validate(stated), desk)


async def _take_move(parts: Parts, reviewer: Principal, shown: DecisionDetail, event_id: str, tier: str) -> None:
    desk = reviewer.at_desk(shown.desk)
    at = await to_thread.run_sync(parts.threads.moment, shown.ticket_id, desk)
    status = {"kind": "status", "status": "escalated", "tier": tier, "at": at.isoformat()}
    event = EventIn.model_validate({"id": event_id or str(uuid4()), **status})
    await parts.threads.take(shown.ticket_id, event, desk)


async def _noted(take: Callable[[], Awaitable[None]]) -> str | None:
    """Note what happened to a ticket; return what kept it from being noted, in a sentence for the page, or None.

    Raises:
        NotFound: There is no such ticket.
    """
    try:
        await take()
    except NotFound:
        raise
    except (StoreUnavailable, Refused) as error:
        return refusal(error)
    return None


def _unsaved(problem: str, opinion: Opinion, further: Mapping[str, str], status: int = 409) -> Unsaved:
    """Return what an agent has said and could not be saved; only a correction is more than a button."""
    if opinion.verdict != "corrected":
        return Unsaved(problem, status)
    own = {"tier": opinion.tier, "category": opinion.category, "resolver_group": opinion.resolver_group}
    return Unsaved(problem, status, {**own, **further}, reason=opinion.reason, other_reason=opinion.other_reason)


def marked(shown: DecisionDetail) -> tuple[list[Piece], list[Piece]]:
    """Return subject and text of a ticket with the words marked that counted, or that say it must not wait."""
    if shown.ticket is None:
        return [], []
    terms = {one.term: one.weight for one in shown.explanation.terms}
    alarms = [one.evidence for one in shown.attention]
    return pieces(shown.ticket.subject, terms, alarms), pieces(shown.ticket.body, terms, alarms)


def _others(parts: Parts, reader: Principal, decision_id: str, seen: str) -> dict[str, Any]:
    """Return who else is at a ticket, and what was said of it since it was shown."""
    store, me = parts.service.store, reader.speaks_as
    row = parts.reviews.decision(decision_id)
    standing = row.standing
    try:
        viewers = [name for name in store.viewers(decision_id) if name != me]
        claimed = store.claim_of(decision_id)
    except StoreUnavailable:
        viewers, claimed = [], None
    return {
        "viewers": viewers,
        "claimed_by": claimed,
        "news": standing if standing is not None and standing.id != seen else None,
        "decision_id": decision_id,
        "seen": seen,
    }


def _said_before(shown: DecisionDetail) -> FeedbackOut | None:
    """Return what was said of a ticket right before the last word that stands; None where a word was taken back."""
    mine = next((place for place, said in enumerate(shown.feedback) if said == shown.standing), 0)
    return next((said for said in shown.feedback[:mine][-1:] if said.verdict != UNDONE), None)


def _stated(opinion: Opinion, further: Mapping[str, str], reviewer: Principal) -> FeedbackIn:
    targets = {target: label for target, label in further.items() if label.strip()}
    stated: dict[str, Any] = {
        name: value.strip()
        for name in ("verdict", "tier", "category", "resolver_group")
        if (value := getattr(opinion, name)).strip()
    }
    if opinion.why:
        stated["reason"] = opinion.why
    try:
        return FeedbackIn.model_validate({**stated, "targets": targets, "agent": reviewer.speaks_as})
    except ValidationError as error:
        raise NotFound(
            "no-such-verdict", "the page sent a verdict that is not known: reload it and try again"
        ) from error


def _list_of(back: str) -> QueueQuery:
    """Read the list that a ticket was opened from; what is no list is the usual one."""
    try:
        return QueueQuery.model_validate(dict(parse_qsl(back)))
    except ValidationError:
        return QueueQuery()


def _keep(
    parts: Parts, reviewer: Principal, decision_id: str, said: FeedbackIn, *, again: str, moves: int | None
) -> None:
    """Keep what an agent says, or what stands already once more.

    Raises:
        Contradiction: The ticket, or what stands, is not what the agent saw.
    """
    if again:
        parts.reviews.repeat(decision_id, again, reviewer.speaks_as, reviewer)
        return
    row = parts.reviews.decision(decision_id)
    if moves is not None and row.ticket_id is not None:
        now = moved_by_events(parts.threads.view(row.ticket_id, reviewer.at_desk(row.source)))
        if now != moves:
            raise Contradiction("moved-since", "the ticket has moved since this page was shown: look where it is now")
    parts.reviews.keep(decision_id, said, reviewer)


def moved_by_events(view: TicketViewOut) -> int:
    """Count how often events have moved a ticket."""
    return sum(one.what == "route" for one in view.timeline)


def _standing(parts: Parts, decision_id: str) -> str | None:
    standing = parts.reviews.decision(decision_id).standing
    return standing.id if standing is not None else None


async def _kept(change: Callable[[], object]) -> str | None:
    """Make a change; return what kept it from being made, in a sentence for the page, or None.

    Raises:
        NotFound: There is no such ticket.
    """
    try:
        await to_thread.run_sync(change)
    except NotFound:
        raise
    except (StoreUnavailable, Refused) as error:
        return refusal(error)
    return None


async def _changed(
    parts: Parts, reviewer: Principal, decision_id: str, query: QueueQuery, *, change: Callable[[], object]
) -> Response:
    """Make a change and show the ticket; where it cannot be made, the page says why."""
    problem = await _kept(change)
    if problem is not None:
        return await _ticket_page(parts, reviewer, decision_id, query, unsaved=Unsaved(problem))
    return RedirectResponse(f"/decisions/{decision_id}?{query.link()}", 303)


def _unless_away(note: Callable[[str, str], None], decision_id: str, me: str) -> None:
    """Note who looks at a ticket; where the store does not answer, nobody is told, and nothing else stops."""
    try:
        note(decision_id, me)
    except StoreUnavailable:
        return
