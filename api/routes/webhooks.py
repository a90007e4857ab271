"""`/v1/webhooks/{desk}`: a helpdesk says that a ticket came in, or that somebody corrected its route."""

from __future__ import annotations

from fastapi import APIRouter, Request

from api.deps import WebhooksDep
from api.http.openapi import problems
from api.http.schemas import WebhookOut

router = APIRouter(prefix="/v1", tags=["webhooks"])


@router.post(
    "/webhooks/{desk}",
    responses=problems(401, 404, 413, 422, 503),
    openapi_extra={"requestBody": {"required": True, "content": {"application/json": {"schema": {"type": "object"}}}}},
)
async def webhook(request: Request, desk: str, webhooks: WebhooksDep) -> WebhookOut:
    """Take a webhook that a helpdesk signed; no key is needed. One that was taken before gets the first answer."""
    headers = {name.lower(): value for name, value in request.headers.items()}
    webhooks.check_head(desk, headers)
    return await webhooks.receive(desk, headers, await request.body())
