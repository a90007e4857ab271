"""What a helpdesk's webhook sets off: a decision, feedback, or nothing; each is taken once."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import partial

from anyio import to_thread

from api.helpdesks.config import HelpdeskConfig
from api.helpdesks.inbound import Correction, Delivery, accept, check_head, correction_of, ticket_of
from api.helpdesks.outbound import UpdateSender, pending_updates_for
from api.http.exceptions import NotSignedIn, Refused
from api.http.schemas import WebhookOut
from api.scoring.reviews import Reviews
from api.scoring.service import Service
from api.security.auth import Principal
from api.store.outbox import PendingUpdate
from api.telemetry import show_at_zero
from triage.errors import StoreUnavailable
from triage.ticket import Ticket

UNKNOWN = "unknown"
"""How a helpdesk is counted that is not in the file."""
_UNSIGNED = "no-signature"
_FAILED = "internal-error"
_TAKEN = ("decided", "feedback", "ignored")
_REFUSED = ("bad-signature", "stale-timestamp", _UNSIGNED, "malformed-json", "unknown-label", _FAILED)
"""How most that are refused are counted: shown from the start, so that the first of them is a rise."""
_REPLAYED = "replayed-delivery"
"""How a delivery is counted that was taken before: it gets the first answer, for a sender takes 409 for a failure."""


class WebhookReceiver:
    """Receives the webhooks of helpdesks; one for each process.

    Args:
        service: Decides and records.
        reviews: Keeps corrections.
        helpdesks: The helpdesks by name.
        sender: Tells them what was decided.
    """

    def __init__(
        self, service: Service, reviews: Reviews, helpdesks: Mapping[str, HelpdeskConfig], sender: UpdateSender
    ) -> None:
        self._service, self._reviews, self._helpdesks, self._sender = service, reviews, helpdesks, sender
        show_at_zero(service.metrics.webhooks, helpdesks, (*_TAKEN, _REPLAYED, *_REFUSED))
        show_at_zero(service.metrics.webhooks, (UNKNOWN,), (_UNSIGNED,))

    def check_head(self, name: str, headers: Mapping[str, str]) -> None:
        """Refuse a webhook that no known helpdesk can have signed, before its body is read: half of one takes memory.

        Args:
            name: The helpdesk that the address names.
            headers: The request's headers, by names in lower case.

        Raises:
            NotSignedIn: There is no such helpdesk, or a header is missing that its signature needs.
        """
        helpdesk = self._helpdesks.get(name)
        try:
            check_head(helpdesk, headers)
        except NotSignedIn as error:
            self._count(name, error.code)
            raise

    async def receive(self, name: str, headers: Mapping[str, str], body: bytes) -> WebhookOut:
        """Check a webhook, do what it asks, and count how that went; one that was taken before gets the first answer.

        Args:
            name: The helpdesk that the address names.
            headers: The request's headers, by names in lower case.
            body: The request's body as it came.

        Raises:
            NotSignedIn: It is not signed by the helpdesk, or not fresh.
            NotAcceptable: It cannot be read, or names labels that the policy lacks.
            NotFound: It corrects a ticket that was never decided.
            StoreUnavailable: It was not taken; the sender should try again.
        """
        outcome = _FAILED
        try:
            received, outcome = await self._receive(name, headers, body)
            return received
        except Refused as error:
            outcome = error.code
            raise
        except StoreUnavailable as error:
            outcome = f"store-{error.code}"
            raise
        finally:
            self._count(name, outcome)

    def _count(self, name: str, outcome: str) -> None:
        """Count a webhook; senders may call a helpdesk what they like: only names of the file become labels."""
        known = name if name in self._helpdesks else UNKNOWN
        self._service.metrics.webhooks.labels(known, outcome).inc()

    async def _receive(self, name: str, headers: Mapping[str, str], body: bytes) -> tuple[WebhookOut, str]:
        return await self.take(accept(self._helpdesks.get(name), headers, body))

    async def take(self, delivery: Delivery) -> tuple[WebhookOut, str]:
        """Do what a delivery asks, once, and return the answer and how it is counted; errors are those of `receive`."""
        helpdesk = delivery.helpdesk
        earlier = await self._answered(delivery)
        if earlier is not None:
            return earlier, _REPLAYED
        ticket = ticket_of(helpdesk, delivery.document, self._service.settings.max_text_chars)
        correction = correction_of(helpdesk, delivery.document) if ticket is None else None
        if ticket is not None:
            answer, pending = await self._decide(delivery, ticket)
        elif correction is not None:
            answer, pending = await self._correct(delivery, correction), []
        else:
            answer, pending = WebhookOut(outcome="ignored"), []
        return await self._acknowledge(delivery, answer, pending)

    async def _decide(self, delivery: Delivery, ticket: Ticket) -> tuple[WebhookOut, list[PendingUpdate]]:
        helpdesk = delivery.helpdesk
        caller = Principal(None, f"webhook {helpdesk.name}", frozenset(), helpdesk.clearance, source=helpdesk.name)
        [document] = await self._service.decide([ticket], caller)
        if not document.stored and not self._service.is_given_up(document.decision_id):
            raise StoreUnavailable("locked", "the decision is not kept yet: send the webhook again")
        answer = WebhookOut(outcome="decided", decision_id=document.decision_id, ticket_id=ticket.id)
        return answer, pending_updates_for(helpdesk, document)

    async def _correct(self, delivery: Delivery, correction: Correction) -> WebhookOut:
        keep = partial(
            self._reviews.keep_correction,
            delivery.helpdesk.name,
            correction.ticket_id,
            correction.labels,
            agent=correction.agent,
            comment=correction.comment,
            changed=correction.changed,
        )
        decision_id = await to_thread.run_sync(keep)
        if decision_id is None:
            return WebhookOut(outcome="ignored")
        return WebhookOut(outcome="feedback", decision_id=decision_id, ticket_id=correction.ticket_id)

    async def _answered(self, delivery: Delivery) -> WebhookOut | None:
        """Return what the delivery was answered when it was taken before, or None where it is new."""
        kept = await to_thread.run_sync(self._service.store.answered, delivery.helpdesk.name, delivery.ids)
        return None if kept is None else WebhookOut.model_validate({"outcome": "ignored"} | json.loads(kept))

    async def _acknowledge(
        self, delivery: Delivery, answer: WebhookOut, pending: Sequence[PendingUpdate]
    ) -> tuple[WebhookOut, str]:
        """Note that the delivery was taken, together with its answer and the updates that it caused."""
        take = partial(
            self._service.store.take_delivery,
            delivery.helpdesk.name,
            delivery.ids,
            pending,
            answer=answer.model_dump_json(),
        )
        if await to_thread.run_sync(take):
            self._sender.wake()
            return answer, answer.outcome
        return await self._answered(delivery) or answer, _REPLAYED
