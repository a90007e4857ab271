"""Signing in to the pages: a key opens a session, and the browser keeps only that."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime, timedelta
from typing import Annotated

from anyio import to_thread
from fastapi import APIRouter, Form, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from api.deps import AccessDep, Reader, ServiceDep
from api.http.exceptions import NotSignedIn
from api.http.schemas import Text
from api.pages import render
from api.security.api_keys import sha256
from api.security.auth import COOKIE, GuardedRoute, check_same_origin
from api.security.page_route import SIGN_IN, PageRoute

LIFETIME = timedelta(hours=12)


router = APIRouter(include_in_schema=False, route_class=GuardedRoute)
pages = APIRouter(include_in_schema=False, route_class=PageRoute)


@router.get(SIGN_IN)
async def ask() -> HTMLResponse:
    """Ask for a key."""
    return HTMLResponse(render("sign_in.html", here="sign-in", problem=None))


@router.post(SIGN_IN)
async def sign_in(
    request: Request,
    service: ServiceDep,
    access: AccessDep,
    agent: Annotated[Text, Form(min_length=1, max_length=100)],
    key: Annotated[Text, Form(min_length=1, max_length=200)],
) -> Response:
    """Open a session with a key."""
    check_same_origin(request)
    token = secrets.token_urlsafe(32)

    def open_session() -> None:
        row = access.keyring.by_key(key.strip())
        expires_at = datetime.now(UTC) + LIFETIME
        service.store.open_session(sha256(token), row.id, agent.strip() or row.name, expires_at)

    try:
        await to_thread.run_sync(open_session)
    except NotSignedIn as error:
        return HTMLResponse(render("sign_in.html", here="sign-in", problem=_problem(error)))
    answer = RedirectResponse("/", 303)
    secure = request.scope["scheme"] == "https"
    answer.set_cookie(
        COOKIE, token, max_age=int(LIFETIME.total_seconds()), httponly=True, samesite="strict", secure=secure
    )
    return answer


@pages.post("/sign-out")
async def sign_out(request: Request, service: ServiceDep, access: AccessDep, reader: Reader) -> Response:
    """Close the session."""
    token = request.cookies.get(COOKIE)
    if token:
        await to_thread.run_sync(service.store.close_session, sha256(token))
        access.keyring.forget(token)
    answer = RedirectResponse(SIGN_IN, 303)
    answer.delete_cookie(COOKIE)
    return answer


def _problem(error: NotSignedIn) -> str:
    return {"revoked-key": "This key was revoked.", "expired-key": "This key has expired."}.get(
        error.code, "This key is not known. Check it for typing errors."
    )
