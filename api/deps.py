"""What routes ask for: the service and its parts, and who sends the request."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Header, Request

from api.helpdesks.receiver import WebhookReceiver
from api.learning.jobs import Runner
from api.learning.worth_asking import WorthAsking
from api.pages.live import Watch
from api.scoring.knowledge import Knowledge
from api.scoring.reviews import Reviews
from api.scoring.service import Service
from api.scoring.threads import TicketThreads
from api.security.auth import Access, Principal, access_of, require
from api.store.rows import IdempotencyKey


@dataclass(frozen=True)
class Parts:
    """The parts of one process that routes use; kept as `app.state.parts`."""

    service: Service
    reviews: Reviews
    webhooks: WebhookReceiver
    threads: TicketThreads
    worth_asking: WorthAsking
    jobs: Runner
    knowledge: Knowledge
    watch: Watch
    watch_tickets: Watch


def parts_of(request: Request) -> Parts:
    """Return the parts of the process that answers."""
    parts: Parts = request.app.state.parts
    return parts


async def _parts(request: Request) -> Parts:
    return parts_of(request)


async def _service(request: Request) -> Service:
    return parts_of(request).service


async def _reviews(request: Request) -> Reviews:
    return parts_of(request).reviews


async def _webhooks(request: Request) -> WebhookReceiver:
    return parts_of(request).webhooks


async def _threads(request: Request) -> TicketThreads:
    return parts_of(request).threads


async def _knowledge(request: Request) -> Knowledge:
    return parts_of(request).knowledge


async def _access(request: Request) -> Access:
    return access_of(request)


PartsDep = Annotated[Parts, Depends(_parts)]
ServiceDep = Annotated[Service, Depends(_service)]
ReviewsDep = Annotated[Reviews, Depends(_reviews)]
WebhooksDep = Annotated[WebhookReceiver, Depends(_webhooks)]
ThreadsDep = Annotated[TicketThreads, Depends(_threads)]
KnowledgeDep = Annotated[Knowledge, Depends(_knowledge)]
AccessDep = Annotated[Access, Depends(_access)]

Reader = Annotated[Principal, Depends(require("read"))]
Caller = Annotated[Principal, Depends(require("predict"))]
Decider = Annotated[Principal, Depends(require("predict", decides=True))]
"""Of the routes that have tickets decided and do nothing else."""
Reviewer = Annotated[Principal, Depends(require("feedback"))]
Trainer = Annotated[Principal, Depends(require("train"))]
PeopleReader = Annotated[Principal, Depends(require("people"))]
Admin = Annotated[Principal, Depends(require("admin"))]

IdempotencyHeader = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        pattern=r"^[!-~]+$",
        include_in_schema=False,  # told in the API's description: no schema can say that a used key needs its own body
    ),
]


async def idempotency_key(request: Request, principal: Principal, stated: str | None) -> IdempotencyKey | None:
    """Return the idempotency key of a request with what it asks, or None where it carries none."""
    if stated is None:
        return None
    return IdempotencyKey.of(
        principal.key_id, stated, method=request.method, path=request.scope["path"], body=await request.body()
    )
