"""The queue at `/`: what waits for a person, in views, filtered, searched, sorted, and live."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Annotated

from anyio import to_thread
from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse, Response, StreamingResponse

from api.console.queries import QueueQuery
from api.deps import AccessDep, Parts, PartsDep, Reader
from api.http.exceptions import NotFound
from api.http.schemas import DecisionDetail
from api.routes.pages.frame import counted, group_names, is_blind, label_names, page
from api.security.auth import Principal
from api.security.page_route import PageRoute
from api.store.work.queue import Counts, Filter, Line
from triage.decision import Automation
from triage.errors import StoreUnavailable
from triage.normalise import title_of
from triage.wording import ATTENTION, REASONS, phrase_of, phrase_why_asked

router = APIRouter(include_in_schema=False, route_class=PageRoute)

EVENTS = "text/event-stream"
State = Annotated[str, Query(max_length=64)]
"""What stood for the watched value when a page was read."""
_EXCERPT_CHARS = 160
OUTCOMES = {
    "automatic": ("decided", "good"),
    "suggested": ("suggested", "warn"),
    "blank": ("no suggestion", "muted"),
    "accepted": ("accepted", "good"),
    "corrected": ("corrected", ""),
    "unsure": ("unsure", "muted"),
}
"""What is called of a decision that was or was not judged, and how that looks."""
_VIEW_NAMES = {
    "waiting": "Needs a person",
    "mine": "Taken by me",
    "my_groups": "My groups",
    "suggested": "Suggested",
    "abstained": "Model abstained",
    "audit": "Drawn to check",
    "unsure": "Second opinion",
    "disputed": "Disagreements",
    "corrected": "Corrected",
    "automatic": "Decided alone",
    "all": "Everything",
}
_SORT_NAMES = {
    "urgent": "urgent first",
    "oldest": "oldest first",
    "newest": "newest first",
    "unsure": "least sure first",
}


@dataclass(frozen=True)
class Shown:
    """One line of the queue: its labels are those that count now, and none where a person is to judge first."""

    decision_id: str
    title: str
    excerpt: str
    tier: str | None
    category: str | None
    resolver_group: str | None
    confidence: float | None
    because: str
    outcome: str
    outcome_class: str
    created_at: datetime
    attention: tuple[str, ...]
    claimed_by: str | None
    disputed: bool


@router.get("/")
async def queue(parts: PartsDep, reader: Reader, query: Annotated[QueueQuery, Query()]) -> HTMLResponse:
    """Show a page of the queue."""
    state = await parts.watch.state()
    counts = await to_thread.run_sync(counted, parts, reader)
    lines, more, problem = await to_thread.run_sync(_lines, parts, reader, query)
    done = await to_thread.run_sync(spoken, parts, reader, query.done)
    names = label_names(parts)
    return await page(
        parts,
        reader,
        "queue.html",
        here="queue",
        state=state,
        query=query,
        lines=lines,
        more=more,
        problem=problem,
        done=done,
        counts=counts,
        views=_views(counts, with_groups=bool(reader.groups) or query.view == "my_groups"),
        own_groups=reader.groups,
        sorts=_SORT_NAMES,
        names=names,
        former=_former(names, query, lines, counts),
        groups=group_names(parts),
        reasons=REASONS,
        attention_kinds=ATTENTION,
    )


@router.get("/live")
async def live(request: Request, parts: PartsDep, access: AccessDep, reader: Reader, state: State = "") -> Response:
    """Tell a page whenever the queue changes; who does not ask for events gets nothing to wait for."""
    if not wants_events(request):
        return Response(status_code=204)
    news = parts.watch.changes("queue", partial(access.is_still, request, reader), state)
    return StreamingResponse(news, media_type=EVENTS)


def wants_events(request: Request) -> bool:
    """Say whether a request asks for server-sent events, as browsers do."""
    return EVENTS in request.headers.get("accept", "")


def spoken(parts: Parts, reader: Principal, decision_id: str | None) -> DecisionDetail | None:
    """Return the decision that was just spoken about, so that the next page can say so; None where there is none."""
    if decision_id is None:
        return None
    try:
        return parts.reviews.shown(parts.reviews.decision(decision_id), reader)
    except (NotFound, StoreUnavailable):
        return None


def next_after(parts: Parts, reader: Principal, query: QueueQuery, decision_id: str) -> str | None:
    """Return the id of the ticket that comes after one in a list; at its end the first one that is left."""
    wanted = _wanted(parts, reader, query)
    following = parts.service.store.next_in_queue(wanted, query.sort, decision_id)
    if following is not None:
        return following
    left = parts.service.store.lines(wanted, query.sort, limit=2)
    return next((line.row.id for line in left if line.row.id != decision_id), None)


def previous_of(parts: Parts, reader: Principal, query: QueueQuery, decision_id: str) -> str | None:
    """Return the id of the ticket that comes before one in a list, or None."""
    wanted = _wanted(parts, reader, query)
    return parts.service.store.next_in_queue(wanted, query.sort, decision_id, backwards=True)


def _wanted(parts: Parts, reader: Principal, query: QueueQuery) -> Filter:
    policy = parts.service.model.triager.policy
    return query.filter_for(reader, policy, blind=parts.service.settings.audit_blind)


def _former(
    names: Mapping[str, Mapping[str, str]], query: QueueQuery, lines: Sequence[Shown], counts: Counts
) -> dict[str, list[str]]:
    """Return the labels of tier and category that the policy does not list: those asked for, and those seen here."""
    seen = {
        "tier": {query.tier, *counts.tiers, *(line.tier for line in lines)},
        "category": {query.category, *(line.category for line in lines)},
    }
    return {target: sorted(filter(None, found - names.get(target, {}).keys())) for target, found in seen.items()}


def _views(counts: Counts, *, with_groups: bool) -> list[tuple[str, str, int | None]]:
    """Return each view with its name and how many tickets it has; "my groups" only for somebody who has some."""
    names = {view: name for view, name in _VIEW_NAMES.items() if with_groups or view != "my_groups"}
    return [(view, name, counts.views.get(view)) for view, name in names.items()]


def _lines(parts: Parts, reader: Principal, query: QueueQuery) -> tuple[list[Shown], str | None, str | None]:
    """Return the lines of a page, the id after which the next page begins, and what kept them from being read."""
    wanted = _wanted(parts, reader, query)
    look = partial(parts.service.store.lines, wanted, query.sort, limit=query.limit + 1, after=query.before)
    try:
        lines = look()
    except StoreUnavailable:
        return [], None, "The store does not answer at the moment. New tickets are still decided; this page comes back."
    shown = [_shown(parts, line, parts.reviews.shown(line.row, reader)) for line in lines[: query.limit]]
    return shown, lines[query.limit - 1].row.id if len(lines) > query.limit else None, None


def _because(detail: DecisionDetail) -> str:
    """Return in a few words why a decision is automatic, or why it is not."""
    automatic = Automation.AUTOMATIC.value
    if detail.automation == automatic:
        return phrase_of(detail.reason)
    moved = all(verdict.automation == automatic for verdict in detail.targets.values())
    return phrase_why_asked(detail.reason, drawn=detail.is_audit, moved=moved)


def _shown(parts: Parts, line: Line, detail: DecisionDetail) -> Shown:
    blind = is_blind(parts, detail)
    outcome, look = ("to be judged", "warn") if blind else OUTCOMES[line.verdict or detail.automation]
    now = detail.current_route
    sure = [one.confidence for one in detail.targets.values() if one.confidence is not None]
    body = detail.ticket.body if detail.ticket and detail.ticket.subject else ""
    return Shown(
        decision_id=line.row.id,
        title=detail.title,
        excerpt=title_of("", body, _EXCERPT_CHARS),
        tier=None if blind else now.tier,
        category=None if blind else now.category,
        resolver_group=None if blind else now.resolver_group,
        confidence=None if blind else min(sure, default=None),
        because="" if blind else _because(detail),
        outcome=outcome,
        outcome_class=look,
        created_at=detail.created_at,
        attention=tuple(ATTENTION.get(one.kind, one.kind) for one in detail.attention) if line.flagged else (),
        claimed_by=line.claimed_by,
        disputed=line.disputed,
    )
