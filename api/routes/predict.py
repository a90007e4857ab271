"""`POST /v1/predict` and `/v1/predict/batch`: tickets in, decisions out."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Body, Depends, Header, Request
from fastapi.responses import JSONResponse, RedirectResponse

from api.http.examples import BATCH_EXAMPLES, DECISION_EXAMPLE, TICKET_EXAMPLES
from api.http.openapi import PROBLEMS
from api.http.schemas import BatchIn, BatchOut, TicketIn, to_ticket
from api.scoring.service import Answers, Service
from api.security.auth import GuardedRoute, Principal, require
from api.store.rows import Attempt
from models.wire import DecisionDocument
from triage.errors import InvalidTicket

router = APIRouter(prefix="/v1", tags=["predict"], route_class=GuardedRoute)

Caller = Annotated[Principal, Depends(require("predict"))]
IdempotencyKey = Annotated[
    str | None,
    Header(
        min_length=1,
        max_length=255,
        pattern=r"^[!-~]+$",
        include_in_schema=False,  # told in the API's description: no schema can say that a used key needs its own body
    ),
]
STORED_HEADER = "Triage-Stored"


@router.post(
    "/predict",
    response_model=DecisionDocument,
    responses={200: {"content": {"application/json": {"example": DECISION_EXAMPLE}}}, **PROBLEMS},
)
async def predict(
    request: Request,
    wire: Annotated[TicketIn, Body(openapi_examples=TICKET_EXAMPLES)],
    caller: Caller,
    idempotency_key: IdempotencyKey = None,
) -> JSONResponse:
    """Decide one ticket: tier, category and resolver group, how sure that is, and why."""
    service: Service = request.app.state.service
    ticket = to_ticket(wire, service.settings.max_text_chars)
    answers = await service.answer([ticket], caller, attempt=await _attempt(request, caller, idempotency_key))
    return _answered(answers.documents[0], answers)


@router.post("/predict/batch", response_model=BatchOut, responses={**PROBLEMS})
async def predict_batch(
    request: Request,
    wire: Annotated[BatchIn, Body(openapi_examples=BATCH_EXAMPLES)],
    caller: Caller,
    idempotency_key: IdempotencyKey = None,
) -> JSONResponse:
    """Decide several tickets, each on its own; the order is kept, and all are decided by the same model."""
    service: Service = request.app.state.service
    most = service.settings.max_batch_tickets
    if len(wire.tickets) > most:
        raise InvalidTicket(
            "tickets",
            "too-long",
            f"{len(wire.tickets)} tickets are too many: at most {most} at once; send several requests",
        )
    tickets = [to_ticket(one, service.settings.max_text_chars) for one in wire.tickets]
    answers = await service.answer(tickets, caller, attempt=await _attempt(request, caller, idempotency_key), bulk=True)
    return _answered({"decisions": answers.documents}, answers)


async def _attempt(request: Request, caller: Principal, key: str | None) -> Attempt | None:
    return Attempt.of(caller.key_id, key, request.method, request.url.path, await request.body()) if key else None


def _answered(document: object, answers: Answers) -> JSONResponse:
    return JSONResponse(document, headers={} if answers.stored else {STORED_HEADER: "false"})


redirects = APIRouter(include_in_schema=False, route_class=GuardedRoute)


@redirects.post("/predict")
async def predict_elsewhere(caller: Caller) -> RedirectResponse:
    """Send callers of the short path to the versioned one, with their body."""
    return RedirectResponse("/v1/predict", 308)
