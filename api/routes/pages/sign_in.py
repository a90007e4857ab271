"""Signing in to the pages: with a password, at a provider, through a proxy or with a key."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated
from urllib.parse import quote, unquote

from anyio import to_thread
from fastapi import APIRouter, Form, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from pydantic import BaseModel, Field

from api.deps import AccessDep, Reader, ServiceDep
from api.http.exceptions import NotSignedIn, TooMuch
from api.http.schemas import Text
from api.pages import render
from api.security.api_keys import sha256
from api.security.attempt import AWAY, Attempt, Identity
from api.security.auth import COOKIE, Access, check_same_origin
from api.security.page_route import MAX_PLACE_CHARS, SIGN_IN, SIGN_OUT, PageRoute, local_place, moved_on
from api.security.sign_in import LIFETIME, PROXY
from api.settings import Settings

if TYPE_CHECKING:
    from api.security.openid import OpenId

_ATTEMPT = "triage_openid"
_ATTEMPT_S = 600
_PATH = "/sign-in/openid"
_NEXT = "triage_next"
"""Cookie that holds where to go after a sign-in at the provider."""
_BEFORE = "triage_before"
"""Cookie that names the session that the browser had: it holds that one's own back on the way from the provider."""


class SignIn(BaseModel):
    """Name and password of an account, or a name and a key."""

    name: Text = Field("", max_length=100)
    password: Text = Field("", max_length=200)
    agent: Text = Field("", max_length=100)
    key: Text = Field("", max_length=200)
    next: Text = Field("", max_length=2 * MAX_PLACE_CHARS)


router = APIRouter(include_in_schema=False, route_class=PageRoute)


@router.get(SIGN_IN)
async def ask(request: Request, service: ServiceDep, access: AccessDep) -> HTMLResponse:
    """Ask who it is, and say where somebody was signed out meanwhile that nothing was saved."""
    query = request.query_params
    problem = NotSignedIn("signed-out", "you were signed out; nothing was saved") if "unsaved" in query else None
    return await _asked(request, access, query.get("next", ""), problem=problem)


@router.post(SIGN_IN)
async def sign_in(
    request: Request,
    service: ServiceDep,
    access: AccessDep,
    said: Annotated[SignIn, Form()],
) -> Response:
    """Open a session with name and password, or with a key where nobody has an account."""
    check_same_origin(request)
    address, before = _address(request), _session(request)
    by_key = partial(access.door.by_key, said.key.strip(), said.agent.strip(), address)
    by_password = partial(access.door.by_password, said.name, said.password, address)
    try:
        token = await to_thread.run_sync(partial(by_key if said.key else by_password, before=before))
    except (NotSignedIn, TooMuch) as error:
        return await _asked(request, access, said.next, problem=error)
    answer = RedirectResponse(local_place(request, said.next), 303)
    _keep(answer, request, service.settings, token)
    return answer


@router.get(_PATH)
async def go_to_provider(request: Request, service: ServiceDep, access: AccessDep) -> Response:
    """Send the browser to the provider that signs people in."""
    place = request.query_params.get("next", "")
    attempt = Attempt.new()
    try:
        provider = _provider(access)
        await to_thread.run_sync(access.door.count, _address(request))
        address = await provider.address(attempt, _back(request, service.settings))
    except (NotSignedIn, TooMuch) as error:
        return await _asked(request, access, place, problem=error)
    answer = RedirectResponse(address, 303)
    kept = {_ATTEMPT: attempt.cookie, _NEXT: quote(local_place(request, place), safe=""), _BEFORE: _session(request)}
    for name, value in kept.items():
        answer.set_cookie(
            name, value or "", max_age=_ATTEMPT_S, path=_PATH, httponly=True,
            samesite="lax", secure=_is_secure(request, service.settings),
        )  # fmt: skip
    return answer


@router.get(f"{_PATH}/back")
async def come_back(request: Request, service: ServiceDep, access: AccessDep) -> Response:
    """Open a session for the person whom the provider has signed in."""
    back, place = _back(request, service.settings), unquote(request.cookies.get(_NEXT, ""))
    try:
        provider, address = _provider(access), _address(request)
        attempt = Attempt.of(request.cookies.get(_ATTEMPT))
        await to_thread.run_sync(access.door.count, address)
        identity = await provider.identity(attempt, f"{back}?{request.url.query}", back)
        before = request.cookies.get(_BEFORE) or _session(request)
        let_in = partial(access.door.by_provider, identity, address, before)
        token = await to_thread.run_sync(let_in)
    except (NotSignedIn, TooMuch) as error:
        return await _asked(request, access, place, problem=error)
    answer = moved_on("Signed in", local_place(request, place))
    _keep(answer, request, service.settings, token)
    for name in (_ATTEMPT, _NEXT, _BEFORE):
        answer.delete_cookie(name, path=_PATH)
    return answer


@router.post("/sign-in/proxy")
async def through_proxy(
    request: Request,
    service: ServiceDep,
    access: AccessDep,
    next: Annotated[str, Form(max_length=2 * MAX_PLACE_CHARS)] = "",
) -> Response:
    """Open a session for the person whom a trusted proxy has signed in."""
    check_same_origin(request)
    named = access.door.named_by_proxy(request)
    try:
        if named is None:
            raise NotSignedIn("no-proxy", "no trusted proxy says who has signed in")
        identity = Identity(PROXY, named.strip(), named.strip())
        token = await to_thread.run_sync(partial(access.door.by_identity, identity, _session(request)))
    except NotSignedIn as error:
        return await _asked(request, access, next, problem=error)
    answer = RedirectResponse(local_place(request, next), 303)
    _keep(answer, request, service.settings, token)
    return answer


@router.post(SIGN_OUT)
async def sign_out(request: Request, service: ServiceDep, access: AccessDep, reader: Reader) -> Response:
    """Close the session."""
    session = _session(request)
    if session:
        await to_thread.run_sync(service.store.close_session, session)
        access.keyring.forget(session)
    answer = RedirectResponse(SIGN_IN, 303)
    answer.delete_cookie(COOKIE)
    return answer


async def _asked(
    request: Request, access: Access, place: str = "", *, problem: NotSignedIn | TooMuch | None = None
) -> HTMLResponse:
    """Show the ways in that there are here, and why the last one did not lead in.

    Args:
        request: Of whoever is to sign in.
        access: Knows the ways in.
        place: Where somebody wants to go then.
        problem: Why they are not there yet.
    """
    page = render(
        "sign_in.html",
        here="sign-in",
        problem=_words(problem) if problem else None,
        accounts=await access.people_sign_in(),
        provider=access.door.openid is not None,
        named=access.door.named_by_proxy(request),
        next=local_place(request, place),
    )
    if isinstance(problem, TooMuch):
        return HTMLResponse(page, 429, headers={"Retry-After": str(problem.retry_after_s)})
    return HTMLResponse(page, 502 if problem is not None and problem.code == AWAY else 200)


def _address(request: Request) -> str:
    return request.client.host if request.client else ""


def _session(request: Request) -> str | None:
    """Return the SHA-256 of the token of the session that the browser has."""
    token = request.cookies.get(COOKIE)
    return sha256(token) if token else None


def _words(problem: NotSignedIn | TooMuch) -> str:
    if isinstance(problem, TooMuch):
        return f"There were too many attempts. Try again in {-(-problem.retry_after_s // 60)} min."
    known = {
        "revoked-key": "This key was revoked.",
        "expired-key": "This key has expired.",
        "unknown-key": "This key is not known. Check it for typing errors.",
        "wrong-password": "This name and this password do not belong together.",
    }
    return known.get(problem.code, f"{str(problem)[:1].upper()}{str(problem)[1:]}.")


def _keep(answer: Response, request: Request, settings: Settings, token: str) -> None:
    """Let the browser keep the token of its session."""
    answer.set_cookie(
        COOKIE, token, max_age=int(LIFETIME.total_seconds()), httponly=True, samesite="strict",
        secure=_is_secure(request, settings),
    )  # fmt: skip


def _provider(access: Access) -> OpenId:
    if access.door.openid is None:
        raise NotSignedIn("no-provider", "nobody signs in with a provider here: TRIAGE_OIDC_ISSUER names one")
    return access.door.openid


def _back(request: Request, settings: Settings) -> str:
    """Return the address that the provider sends the browser back to."""
    here = settings.public_url.rstrip("/") or f"{request.url.scheme}://{request.url.netloc}"
    return f"{here}{_PATH}/back"


def _is_secure(request: Request, settings: Settings) -> bool:
    return request.scope["scheme"] == "https" or settings.public_url.startswith("https:")
