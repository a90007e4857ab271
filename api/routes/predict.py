"""`POST /v1/predict` and `/v1/predict/batch`: tickets in, decisions out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Body, Depends, Query, Request, Response
from fastapi.responses import RedirectResponse
from pydantic import ValidationError
from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive, Scope, Send

from api.deps import Decider, IdempotencyHeader, ServiceDep, idempotency_key, parts_of
from api.http.examples import BATCH_EXAMPLES, DECISION_EXAMPLE, TICKET_EXAMPLES
from api.http.openapi import PROBLEMS
from api.http.problems import Fault, problem_of_faults, validation_problem
from api.http.reception import Received, to_ticket
from api.http.schemas import BatchIn, BatchOut, ProblemOut, TicketIn
from api.security.auth import GuardedRoute
from models.wire import DecisionDocument
from triage.errors import InvalidTicket

_JSON = ("application/json", "application/json; charset=utf-8")


class PlainTicketRoute(GuardedRoute):
    """Decides a ticket that comes without any wish at once: resolving what a route asks for takes longer than reading.

    Whatever is out of the ordinary, such as a fault in the ticket, an idempotency key or a query, is left to FastAPI,
    whose answers to ordinary tickets are the same.
    """

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request by the short way, or by the long one, which reads the same body."""
        if scope["method"] not in (self.methods or ()):
            await super().handle(scope, receive, send)
            return
        request = Request(scope, receive, send)
        await self.admit(request)
        body = await _plain_body(request)
        payload = None if body is None else _ticket_in(body)
        if payload is None:
            await super().handle(scope, receive if body is None else _once_more(body, receive), send)
            return
        service = parts_of(request).service
        ticket = to_ticket(payload, service.settings.max_text_chars)
        documents = await service.decide([ticket], request.state.principal)
        response = Response(documents[0].model_dump_json(by_alias=True), media_type="application/json")
        _say_whether_stored(response, documents)
        await response(scope, receive, send)


async def _plain_body(request: Request) -> bytes | None:
    """Return the body of a request that may be nothing but a ticket; None, with the body unread, for any other."""
    headers = request.headers
    is_plain = not request.scope["query_string"] and "idempotency-key" not in headers
    if not is_plain or headers.get("content-type", "").lower() not in _JSON:
        return None
    try:
        return await request.body()
    except ClientDisconnect:  # the framework has an answer to that
        return None


def _ticket_in(body: bytes) -> TicketIn | None:
    """Return the ticket of a body; None where it cannot be read, to which the framework has an answer."""
    try:
        return TicketIn.model_validate(json.loads(body))
    except (ValueError, RecursionError):
        return None


def _once_more(body: bytes, receive: Receive) -> Receive:
    """Return what hands out a body that was read already, and then goes on."""
    parts: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive_again() -> Message:
        return parts.pop() if parts else await receive()

    return receive_again


plain = APIRouter(prefix="/v1", tags=["predict"], route_class=PlainTicketRoute)
router = APIRouter(prefix="/v1", tags=["predict"], route_class=GuardedRoute)

STORED_HEADER = "Triage-Stored"


@dataclass(frozen=True)
class Wishes:
    """What a request asks for beside its tickets: an answer given once for a key, and whether it says why."""

    idempotency: str | None
    explain: bool


async def _wishes(
    idempotency: IdempotencyHeader = None,
    explain: Annotated[
        bool, Query(description="false: do not say why; a decision that is made so never says why")
    ] = True,
) -> Wishes:
    """Read the wishes; a class as a dependency would be called on a thread of the pool."""
    return Wishes(idempotency, explain)


WishesDep = Annotated[Wishes, Depends(_wishes)]


@plain.post(
    "/predict",
    responses={200: {"content": {"application/json": {"example": DECISION_EXAMPLE}}}, **PROBLEMS},
)
async def predict(
    request: Request,
    response: Response,
    payload: Annotated[TicketIn, Body(openapi_examples=TICKET_EXAMPLES)],
    service: ServiceDep,
    caller: Decider,
    wishes: WishesDep,
) -> DecisionDocument:
    """Decide one ticket: tier, category and resolver group, how sure that is, and why."""
    ticket = to_ticket(payload, service.settings.max_text_chars)
    key = await idempotency_key(request, caller, wishes.idempotency)
    documents = await service.decide([ticket], caller, idempotency_key=key, explain=wishes.explain)
    _say_whether_stored(response, documents)
    return documents[0]


@router.post("/predict/batch", responses={**PROBLEMS})
async def predict_batch(
    request: Request,
    response: Response,
    payload: Annotated[BatchIn, Body(openapi_examples=BATCH_EXAMPLES)],
    service: ServiceDep,
    caller: Decider,
    wishes: WishesDep,
) -> BatchOut:
    """Decide several tickets, each on its own; the order is kept, and all are decided by the same model.

    One that cannot be read has a problem in its place.
    """
    read = [_read(one, place, service.settings.max_text_chars) for place, one in enumerate(payload.tickets)]
    tickets = [one for one in read if isinstance(one, Received)]
    key = await idempotency_key(request, caller, wishes.idempotency)
    documents: list[DecisionDocument] = []
    if tickets:
        documents = await service.decide(tickets, caller, idempotency_key=key, bulk=True, explain=wishes.explain)
    _say_whether_stored(response, documents)
    made = iter(documents)
    return BatchOut(decisions=[next(made) if isinstance(one, Received) else one for one in read])


def _read(stated: object, place: int, max_text_chars: int) -> Received | ProblemOut:
    """Read one ticket of a batch, or say why it cannot be read."""
    try:
        return to_ticket(TicketIn.model_validate(stated), max_text_chars)
    except ValidationError as error:
        problem = problem_of_faults(error.errors(include_input=False, include_url=False), ("tickets", place), TicketIn)
    except InvalidTicket as error:
        problem = validation_problem([Fault(("tickets", place, *error.field.split(".")), error.code)])
    return ProblemOut.model_validate(problem.document())


def _say_whether_stored(response: Response, documents: Sequence[DecisionDocument]) -> None:
    if not all(document.stored for document in documents):
        response.headers[STORED_HEADER] = "false"


redirects = APIRouter(include_in_schema=False, route_class=GuardedRoute)


@redirects.post("/predict")
async def predict_elsewhere(request: Request, caller: Decider) -> RedirectResponse:
    """Send callers of the short path to the versioned one, with their body and their query."""
    return RedirectResponse(f"/v1/predict?{query}" if (query := request.url.query) else "/v1/predict", 308)
