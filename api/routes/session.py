"""Signing in to the pages: a key opens a session, and the browser keeps only that."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from urllib.parse import urlsplit

from anyio import to_thread
from fastapi import APIRouter, Form, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from api.http.exceptions import NotAllowed, NotSignedIn
from api.pages import render
from api.scoring.service import Service
from api.security.api_keys import sha256
from api.security.auth import COOKIE, Access, GuardedRoute

LIFETIME = timedelta(hours=12)
SIGN_IN = "/sign-in"


class PageRoute(GuardedRoute):
    """A route that sends a browser without a session to the sign-in page, not to an error for programs."""

    def get_route_handler(self) -> Callable[[Request], Any]:
        """Return the handler with the way to the sign-in page."""
        handle = super().get_route_handler()

        async def handle_or_send_away(request: Request) -> Any:
            try:
                return await handle(request)
            except NotSignedIn:
                if "text/html" not in request.headers.get("accept", ""):
                    raise
                answer = RedirectResponse(SIGN_IN, 303)
                answer.delete_cookie(COOKIE)
                return answer

        return handle_or_send_away


router = APIRouter(include_in_schema=False, route_class=GuardedRoute)


@router.get(SIGN_IN)
async def ask() -> HTMLResponse:
    """Ask for a key."""
    return HTMLResponse(render("sign_in.html", here="sign-in", problem=None))


@router.post(SIGN_IN)
async def sign_in(
    request: Request,
    agent: Annotated[str, Form(min_length=1, max_length=100)],
    key: Annotated[str, Form(min_length=1, max_length=200)],
) -> Response:
    """Open a session with a key."""
    origin = request.headers.get("origin")
    if origin is not None and urlsplit(origin).netloc != request.headers.get("host"):
        raise NotAllowed("foreign-origin", "another site's page sent this: sign in on this service's own page")
    service: Service = request.app.state.service
    access: Access = request.app.state.access
    token = secrets.token_urlsafe(32)

    def open_session() -> None:
        row = access.keyring.by_key(key.strip())
        service.repository.open_session(sha256(token), row.id, agent.strip() or row.name, datetime.now(UTC) + LIFETIME)

    try:
        await to_thread.run_sync(open_session)
    except NotSignedIn as error:
        return HTMLResponse(render("sign_in.html", here="sign-in", problem=_told(error)))
    answer = RedirectResponse("/", 303)
    secure = request.url.scheme == "https"
    answer.set_cookie(
        COOKIE, token, max_age=int(LIFETIME.total_seconds()), httponly=True, samesite="strict", secure=secure
    )
    return answer


def _told(error: NotSignedIn) -> str:
    return {"revoked-key": "This key was revoked.", "expired-key": "This key has expired."}.get(
        error.code, "This key is not known. Check it for typing errors."
    )
