"""`/v1/webhooks/{desk}`: a helpdesk says that a ticket came in, or that somebody corrected its route."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from anyio import to_thread
from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from api.helpdesks.config import HelpdeskConfig
from api.helpdesks.inbound import Correction, Delivery, accept, correction_of, ticket_of
from api.helpdesks.outbound import UpdateSender, pending_update_for
from api.http.exceptions import NotFound, Refused, Replayed
from api.http.openapi import problems
from api.routes.feedback import labels_of
from api.scoring.service import Service
from api.security.auth import Principal
from api.store.feedback import Statement
from triage.errors import StoreUnavailable
from triage.ticket import Ticket

router = APIRouter(prefix="/v1", tags=["webhooks"])


class Taken(BaseModel):
    """What became of a webhook."""

    outcome: str = Field(description="decided, feedback or ignored", pattern="^(decided|feedback|ignored)$")
    decision_id: str | None = None
    ticket_id: str | None = None


class Taking:
    """Takes webhooks; one for each process, kept as `app.state.taking`.

    Args:
        service: What decides and records.
        desks: The helpdesks by name.
        courier: Who tells them what was decided.
    """

    def __init__(self, service: Service, desks: Mapping[str, HelpdeskConfig], courier: UpdateSender) -> None:
        self.service, self.desks, self.courier = service, desks, courier

    async def take(self, name: str, headers: Mapping[str, str], body: bytes) -> Taken:
        """Check a webhook, do what it asks, and count how that went; errors are those of `_take`."""
        outcome = "internal-error"
        try:
            taken = await self._take(name, headers, body)
            outcome = taken.outcome
            return taken
        except Refused as error:
            outcome = error.code
            raise
        except StoreUnavailable as error:
            outcome = f"store-{error.code}"
            raise
        finally:  # whoever sends may call a desk what they like: only names of the file become labels
            self.service.metrics.webhooks.labels(name if name in self.desks else "unknown", outcome).inc()

    async def _take(self, name: str, headers: Mapping[str, str], body: bytes) -> Taken:
        """Check a webhook, and do what it asks.

        Raises:
            NotSignedIn: It is not signed by the desk, or not fresh.
            Replayed: It was taken before.
            NotAcceptable: It cannot be read, or names labels that the policy lacks.
            NotFound: It corrects a ticket that was never decided.
            StoreUnavailable: It was not taken; the sender should try again.
        """
        desk = self.desks.get(name)
        delivery = accept(desk, headers, body)
        assert desk is not None  # an unknown desk has no signature that could be right, so this is never reached
        await self._refuse_replays(desk, delivery)
        ticket = ticket_of(desk, delivery.document, self.service.settings.max_text_chars)
        if ticket is not None:
            return await self._decide(desk, delivery, ticket)
        correction = correction_of(desk, delivery.document)
        if correction is not None:
            return await self._correct(desk, delivery, correction)
        await self._settle(desk, delivery, [])
        return Taken(outcome="ignored")

    async def _decide(self, desk: HelpdeskConfig, delivery: Delivery, ticket: Ticket) -> Taken:
        sender = Principal(None, f"webhook {desk.name}", frozenset(), desk.clearance, source=desk.name)
        answers = await self.service.answer([ticket], sender)
        if not answers.stored:
            raise StoreUnavailable("locked", "the decision is not kept yet: send the webhook again")
        answer = answers.documents[0]
        await self._settle(desk, delivery, pending_update_for(desk, answer))
        self.courier.wake()
        return Taken(outcome="decided", decision_id=answer["decision_id"], ticket_id=ticket.id)

    async def _correct(self, desk: HelpdeskConfig, delivery: Delivery, correction: Correction) -> Taken:
        repository = self.service.repository

        def keep() -> str:
            rows = repository.latest(1, ticket_id=correction.ticket_id, source=desk.name)
            if not rows:
                raise NotFound("no-such-decision", "nothing was decided about that ticket: send the ticket first")
            labels = labels_of(self.service.desk.triager.policy, correction.tier, correction.category)
            decided = (rows[0].answer.get("tier"), rows[0].answer.get("category"))
            verdict = "accepted" if labels == decided else "corrected"
            stated = (None, None) if verdict == "accepted" else labels
            said = Statement(verdict, correction.agent, *stated, comment=correction.comment)
            repository.feedback(rows[0].id, said)
            self.service.metrics.feedback.labels(verdict).inc()
            return rows[0].id

        decision_id = await to_thread.run_sync(keep)
        await self._settle(desk, delivery, [])
        return Taken(outcome="feedback", decision_id=decision_id, ticket_id=correction.ticket_id)

    async def _refuse_replays(self, desk: HelpdeskConfig, delivery: Delivery) -> None:
        def seen() -> bool:
            return any(self.service.repository.has_delivery(desk.name, one) for one in delivery.ids)

        if await to_thread.run_sync(seen):
            raise _replayed()

    async def _settle(self, desk: HelpdeskConfig, delivery: Delivery, pending: list[Any]) -> None:
        taken = await to_thread.run_sync(self.service.repository.take_delivery, desk.name, delivery.ids, pending)
        if not taken:
            raise _replayed()


def _replayed() -> Replayed:
    return Replayed("replayed-delivery", "this webhook was taken before: nothing was done again")


@router.post(
    "/webhooks/{desk}",
    response_model=Taken,
    responses=problems(401, 404, 409, 413, 422, 503),
    openapi_extra={"requestBody": {"required": True, "content": {"application/json": {"schema": {"type": "object"}}}}},
)
async def webhook(request: Request, desk: str) -> Taken:
    """Take a webhook that a helpdesk signed: HMAC-SHA256 over its timestamp and body; no key is needed."""
    taking: Taking = request.app.state.taking
    headers = {name.lower(): value for name, value in request.headers.items()}
    return await taking.take(desk, headers, await request.body())
