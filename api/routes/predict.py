"""`POST /v1/predict` and `/v1/predict/batch`: tickets in, decisions out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Body, Depends, Query, Request, Response
from fastapi.responses import RedirectResponse
from pydantic import ValidationError

from api.deps import Caller, IdempotencyHeader, ServiceDep, idempotency_key
from api.http.examples import BATCH_EXAMPLES, DECISION_EXAMPLE, TICKET_EXAMPLES
from api.http.openapi import PROBLEMS
from api.http.problems import Fault, problem_of_faults, validation_problem
from api.http.reception import Received, to_ticket
from api.http.schemas import BatchIn, BatchOut, ProblemOut, TicketIn
from api.security.auth import GuardedRoute
from models.wire import DecisionDocument
from triage.errors import InvalidTicket

router = APIRouter(prefix="/v1", tags=["predict"], route_class=GuardedRoute)

STORED_HEADER = "Triage-Stored"


@dataclass(frozen=True)
class Wishes:
    """What a request asks for beside its tickets: an answer given once for a key, and whether it says why."""

    idempotency: IdempotencyHeader = None
    explain: Annotated[bool, Query(description="false: do not say why")] = True


WishesDep = Annotated[Wishes, Depends()]


@router.post(
    "/predict",
    responses={200: {"content": {"application/json": {"example": DECISION_EXAMPLE}}}, **PROBLEMS},
)
async def predict(
    request: Request,
    response: Response,
    payload: Annotated[TicketIn, Body(openapi_examples=TICKET_EXAMPLES)],
    service: ServiceDep,
    caller: Caller,
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
    caller: Caller,
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
async def predict_elsewhere(caller: Caller) -> RedirectResponse:
    """Send callers of the short path to the versioned one, with their body."""
    return RedirectResponse("/v1/predict", 308)
