"""What a helpdesk's webhook sets off: a decision, feedback, or nothing; each is taken once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from anyio import to_thread

from api.helpdesks.config import HelpdeskConfig
from api.helpdesks.inbound import Correction, Delivery, accept, correction_of, ticket_of
from api.helpdesks.outbound import UpdateSender, pending_update_for
from api.http.exceptions import Refused, Replayed
from api.http.schemas import WebhookOut
from api.scoring.reviews import Reviews
from api.scoring.service import Service
from api.security.auth import Principal
from api.store.outbox import PendingUpdate
from triage.errors import StoreUnavailable
from triage.ticket import Ticket


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

    async def receive(self, name: str, headers: Mapping[str, str], body: bytes) -> WebhookOut:
        """Check a webhook, do what it asks, and count how that went.

        Args:
            name: The helpdesk that the address names.
            headers: The request's headers, by names in lower case.
            body: The request's body as it came.

        Raises:
            NotSignedIn: It is not signed by the helpdesk, or not fresh.
            Replayed: It was taken before.
            NotAcceptable: It cannot be read, or names labels that the policy lacks.
            NotFound: It corrects a ticket that was never decided.
            StoreUnavailable: It was not taken; the sender should try again.
        """
        outcome = "internal-error"
        try:
            received = await self._receive(name, headers, body)
            outcome = received.outcome
            return received
        except Refused as error:
            outcome = error.code
            raise
        except StoreUnavailable as error:
            outcome = f"store-{error.code}"
            raise
        finally:  # senders may call a helpdesk what they like: only names of the file become labels
            known = name if name in self._helpdesks else "unknown"
            self._service.metrics.webhooks.labels(known, outcome).inc()

    async def _receive(self, name: str, headers: Mapping[str, str], body: bytes) -> WebhookOut:
        delivery = accept(self._helpdesks.get(name), headers, body)
        helpdesk = delivery.helpdesk
        await self._refuse_replay(delivery)
        ticket = ticket_of(helpdesk, delivery.document, self._service.settings.max_text_chars)
        if ticket is not None:
            return await self._decide(delivery, ticket)
        correction = correction_of(helpdesk, delivery.document)
        if correction is not None:
            return await self._correct(delivery, correction)
        await self._acknowledge(delivery)
        return WebhookOut(outcome="ignored")

    async def _decide(self, delivery: Delivery, ticket: Ticket) -> WebhookOut:
        helpdesk = delivery.helpdesk
        caller = Principal(None, f"webhook {helpdesk.name}", frozenset(), helpdesk.clearance, source=helpdesk.name)
        [document] = await self._service.decide([ticket], caller)
        if not document.stored and not self._service.is_given_up(document.decision_id):
            raise StoreUnavailable("locked", "the decision is not kept yet: send the webhook again")
        await self._acknowledge(delivery, pending_update_for(helpdesk, document))
        self._sender.wake()
        return WebhookOut(outcome="decided", decision_id=document.decision_id, ticket_id=ticket.id)

    async def _correct(self, delivery: Delivery, correction: Correction) -> WebhookOut:
        keep = partial(
            self._reviews.keep_correction,
            delivery.helpdesk.name,
            correction.ticket_id,
            (correction.tier, correction.category),
            agent=correction.agent,
            comment=correction.comment,
        )
        decision_id = await to_thread.run_sync(keep)
        await self._acknowledge(delivery)
        return WebhookOut(outcome="feedback", decision_id=decision_id, ticket_id=correction.ticket_id)

    async def _refuse_replay(self, delivery: Delivery) -> None:
        def seen() -> bool:
            return any(self._service.store.has_delivery(delivery.helpdesk.name, one) for one in delivery.ids)

        if await to_thread.run_sync(seen):
            raise _replayed()

    async def _acknowledge(self, delivery: Delivery, pending: Sequence[PendingUpdate] = ()) -> None:
        """Note that the delivery was taken, together with the updates that it caused."""
        store = self._service.store
        if not await to_thread.run_sync(store.take_delivery, delivery.helpdesk.name, delivery.ids, pending):
            raise _replayed()


def _replayed() -> Replayed:
    return Replayed("replayed-delivery", "this webhook was taken before: nothing was done again")
