"""Who asks, and whether they may: keys, page sessions, scopes, and requests that another site made a browser send."""

from __future__ import annotations

import hmac
import math
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Annotated, Any, Self, TypeVar
from urllib.parse import urlsplit

from anyio import to_thread
from fastapi import FastAPI, Request, Security
from fastapi.dependencies.models import Dependant
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer
from starlette.exceptions import HTTPException

from api.http.body_fields import query_names
from api.http.exceptions import NotAllowed, NotSignedIn
from api.http.problems import takes_json
from api.security.api_keys import FRESH_S, Keyring, sha256
from api.security.rate_limit import Limiter
from api.security.sign_in import Door
from api.settings import is_loopback, origin_of
from api.store.repository import Repository
from api.store.rows import KEYS, MOST_CLEARANCE, SCOPES, KeyRow, UserRow
from triage.errors import StoreUnavailable

_T = TypeVar("_T")
COOKIE = "triage_session"
ANONYMOUS = "agent"
"""Who speaks on the page of a service that asks nobody who they are."""
CSRF_HEADER = "x-csrf-token"
CSRF_FIELD = "csrf_token"
BEARER = HTTPBearer(
    scheme_name="key",
    description="A key made by `triage keys create`",
    auto_error=False,
)
API_KEY = APIKeyHeader(
    name="X-API-Key", scheme_name="header", description="The same key in a header of its own", auto_error=False
)
_HOSTS_KEPT = 256
"""Host headers whose answer is remembered: a service is called by few names."""
_SAFE = ("GET", "HEAD", "OPTIONS")
OPEN_ROUTES = (
    "GET /livez",
    "GET /readyz",
    "HEAD /livez",
    "HEAD /readyz",
    "GET /sign-in",
    "POST /sign-in",
    "GET /sign-in/openid",
    "GET /sign-in/openid/back",
    "POST /sign-in/proxy",
    "GET /static/{name}",
    "POST /v1/webhooks/{desk}",  # asks for a signature instead
)
"""Routes that need no key; every other one must ask for a scope, or the service does not start."""
_FORM = ("application/x-www-form-urlencoded", "multipart/form-data")


@dataclass(frozen=True)
class Principal:
    """Who asks.

    Attributes:
        key_id: Id of the API key or of the account; None where requests need none.
        name: What people call the key or the person.
        scopes: What it is good for.
        clearance: How sensitive the past tickets are that it may see.
        agent: Who signed in to the page; None for a request with a key.
        csrf: What a request of the page must carry to change anything; None for a request with a key.
        source: The helpdesk that the ticket ids of its requests belong to.
        groups: Resolver groups that the person works for; none for a key.
        has_account: Whether it is a person with an account.
        writes_only: Whether it has tickets decided and does nothing else: it sees no word but those that it sends.
    """

    key_id: str | None
    name: str
    scopes: frozenset[str]
    clearance: int = 0
    agent: str | None = None
    csrf: str | None = None
    source: str = KEYS
    groups: tuple[str, ...] = ()
    has_account: bool = False
    writes_only: bool = False

    @property
    def speaks_as(self) -> str:
        """The name under which this person takes tickets and judges decisions on the page."""
        return self.agent or ANONYMOUS

    @property
    def reads_words(self) -> bool:
        """Whether it may be told what others wrote about a ticket; a mailbox or webhook, which has no key, may."""
        return not self.writes_only and (self.key_id is None or "read" in self.scopes)

    def at_desk(self, desk: str | None) -> Self:
        """Return the same one whose ticket ids are those of a helpdesk; what it may see and do stays as it is.

        Args:
            desk: Name of the helpdesk; None for the principal's own.
        """
        return self if desk is None else replace(self, source=desk)


OPEN = Principal(None, "loopback", frozenset(SCOPES), MOST_CLEARANCE)
"""Whoever asks a service that was started with --open-loopback, while nobody has an account."""
MACHINE = Principal(None, "loopback", frozenset({"predict"}), writes_only=True)
"""The same once people have accounts: programs of this machine have tickets decided, and see and change nothing."""


class Access:
    """What the service knows about who may ask, and how often; kept as `app.state.access`.

    Args:
        store: Where keys and sessions are kept.
        keyring: Which keys there are, asked of the store every few seconds.
        open_loopback: Whether requests need no key; the service must listen on a loopback address then.
        door: Lets people in.
        limiter: Counts the calls of each key; None without a limit.
    """

    def __init__(
        self, store: Repository, keyring: Keyring, door: Door, *, open_loopback: bool = False,
        limiter: Limiter | None = None,
    ) -> None:  # fmt: skip
        self.keyring, self.door = keyring, door
        self.open_loopback = open_loopback
        self.limiter = limiter
        self._store, self._accounts, self._asked_at = store, False, -math.inf

    async def people_sign_in(self) -> bool:
        """Say whether people have accounts here: from the first one on, nobody opens the pages without signing in.

        What was known stands while the store does not answer: then there is nothing to see.
        """
        now = time.monotonic()
        if not self._accounts and now - self._asked_at >= FRESH_S:
            with suppress(StoreUnavailable):
                self._accounts = await to_thread.run_sync(self._store.has_users)
            self._asked_at = now
        return self._accounts

    async def principal(self, request: Request) -> Principal:
        """Return who sent a request, by its key, its session, or because everybody may.

        The key comes as ``Authorization: Bearer KEY`` or ``X-API-Key: KEY``; the session as a cookie.

        Raises:
            NotSignedIn: Nobody who is known.
            NotAllowed: Another site made the browser send it.
            StoreUnavailable: The store does not answer, and the key was not seen lately.
        """
        key = await _key_of(request)
        if key is not None:
            return _principal(await self._looked_up("k", key, self.keyring.by_key))
        token = request.cookies.get(COOKIE)
        if token is not None:
            row, agent = await self._looked_up("s", token, self.keyring.by_session)
            self.door.check_same_person(request, agent)
            principal = _principal(row, agent, csrf_token(token))
            await _check_same_site(request, principal)
            return principal
        if self.open_loopback:
            _check_loopback(request)
            await _check_same_site(request, OPEN)
            return MACHINE if await self.people_sign_in() else OPEN
        raise NotSignedIn("no-key", "no key: send Authorization: Bearer KEY; make one with triage keys create")

    async def is_still(self, request: Request, principal: Principal) -> bool:
        """Say whether a request whose answer goes on would be let in now, as the same one with the same rights.

        What was known stands while the store does not answer.

        Args:
            request: As it came.
            principal: Whom it was of when it was let in.
        """
        try:
            return await self.principal(request) == principal
        except (NotSignedIn, NotAllowed):
            return False
        except StoreUnavailable:
            return True

    async def count(self, principal: Principal) -> None:
        """Count a call against the rate of its key, where there is a rate.

        Raises:
            TooMuch: The calls of this window are used up.
        """
        key_id = principal.key_id or ""
        if self.limiter is not None and self.limiter.waits:
            await to_thread.run_sync(self.limiter.count, key_id)
        elif self.limiter is not None:
            self.limiter.count(key_id)

    async def _looked_up(self, kind: str, secret: str, look: Callable[[str], _T]) -> _T:
        if self.keyring.remembered(kind, secret):
            return look(secret)
        return await to_thread.run_sync(look, secret)


def access_of(request: Request) -> Access:
    """Return what the process that answers knows about who may ask."""
    access: Access = request.app.state.access
    return access


class Guard:
    """A dependency that lets only those through who have a scope, and returns who it is.

    Args:
        scope: That is needed.
        decides: Whether the route does nothing but have tickets decided: then `MACHINE` is let through too.
    """

    def __init__(self, scope: str, *, decides: bool = False) -> None:
        self.scope, self.decides = scope, decides

    async def __call__(
        self,
        request: Request,
        bearer: Annotated[HTTPAuthorizationCredentials | None, Security(BEARER)] = None,
        header: Annotated[str | None, Security(API_KEY)] = None,
    ) -> Principal:
        """Return who asks; the errors are those of `Access.principal`, and `NotAllowed` without the scope.

        Both schemes are named so that OpenAPI lists them; `Access.principal` reads them from the request itself.
        """
        principal: Principal | None = getattr(request.state, "principal", None)
        if principal is None:
            access = access_of(request)
            principal = await access.principal(request)
            request.state.principal = principal
            await access.count(principal)
        if principal.writes_only and not self.decides:
            raise NotSignedIn("no-account", "people have accounts here: sign in, or send a key")
        if self.scope not in principal.scopes:
            raise NotAllowed("missing-scope", f"the key lacks the scope {self.scope!r}: ask for one that has it")
        return principal


def require(scope: str, *, decides: bool = False) -> Guard:
    """Return a dependency that lets only keys and sessions with that scope through.

    Use it as ``principal: Annotated[Principal, Depends(require("read"))]``. A missing, unknown, expired or revoked key
    raises `NotSignedIn` (401), a valid one without the scope `NotAllowed` (403).

    Args:
        scope: One of `api.store.rows.SCOPES`.
        decides: Whether the route does nothing but have tickets decided: programs of a loopback service may then ask
            without a key even where people have accounts.
    """
    if scope not in SCOPES:
        raise ValueError(f"unknown scope {scope!r}: scopes are {', '.join(SCOPES)}")
    return Guard(scope, decides=decides)


class GuardedRoute(APIRoute):
    """A route that asks who it is before it reads the body: strangers learn nothing about what they sent.

    Attributes:
        strict: Methods that take no parameter in the query but those of the route: what one is asked for with a slip in
            the name, it would else answer as if it had not been asked.
    """

    strict = frozenset({"GET"})

    def get_route_handler(self) -> Any:
        """Return the handler with the guards of this route put first."""
        handle, is_api = super().get_route_handler(), self.path.startswith("/v1/")
        known = query_names(self.dependant)

        async def handle_after_guards(request: Request) -> Any:
            await self.admit(request)
            if is_api and request.method in self.strict:
                _check_query(request, known)
            return await handle(request)

        return handle_after_guards

    async def admit(self, request: Request) -> None:
        """Let a request pass the guards of this route, which note who asks in its state; once is enough.

        Raises:
            NotSignedIn: Nobody is known who asks.
            NotAllowed: Who asks may not.
        """
        for guard in _guards(self.dependant):
            await guard(request)


def _check_query(request: Request, known: Sequence[str]) -> None:
    """Refuse parameters in the query that the route does not take.

    Raises:
        RequestValidationError: Naming them as pydantic names what a model does not take.
    """
    strange = [name for name in request.query_params if name not in known]
    if strange:
        faults = [{"type": "extra_forbidden", "loc": ("query", name), "msg": "", "input": ""} for name in strange]
        raise RequestValidationError(faults)


def scopes_of(app: FastAPI) -> dict[tuple[str, str], tuple[str, ...]]:
    """Return the scopes that each route needs, by method and path; none for one that is open to everybody."""
    return {
        (method, route.path): tuple(sorted({guard.scope for guard in _guards(route.dependant)}))
        for route in app.routes
        if isinstance(route, APIRoute)
        for method in sorted(route.methods or ())
    }


def deny_by_default(app: FastAPI) -> None:
    """Refuse to build a service with a route that asks nobody who they are, but for those on the list.

    Raises:
        RuntimeError: Naming the routes.
    """
    unguarded = sorted(f"{method} {path}" for (method, path), scopes in scopes_of(app).items() if not scopes)
    forgotten = [route for route in unguarded if route not in OPEN_ROUTES]
    if forgotten:
        raise RuntimeError(
            f"routes without a scope: {', '.join(forgotten)}; give them require(…) or list them in OPEN_ROUTES"
        )


def check_same_origin(request: Request) -> None:
    """Refuse a request that a browser sent from another site's page.

    Raises:
        NotAllowed: Its `Origin` is neither the host that it asks nor that of `TRIAGE_PUBLIC_URL`.
    """
    origin = request.headers.get("origin")
    if origin is not None and not is_own_origin(request, origin):
        raise NotAllowed(
            "foreign-origin",
            "another site's page sent this: changes are taken from this service's own pages, or with a key",
        )


def is_own_origin(request: Request, origin: str) -> bool:
    """Say whether an origin is this service: the host that a request asks, or where browsers reach it.

    A proxy may ask under another host than the browser does; `TRIAGE_PUBLIC_URL` says which one that is.
    """
    found = origin_of(origin)
    if found is None:
        return False
    asked = origin_of(f"{found[0]}://{request.headers.get('host', '')}")
    return found in (asked, access_of(request).door.public_origin)


def csrf_token(session_token: str) -> str:
    """Return what the page's requests must carry to change anything: only who has the session's token can tell it."""
    return sha256("csrf " + session_token)


def _guards(dependant: Dependant) -> list[Guard]:
    mine = [dependant.call] if isinstance(dependant.call, Guard) else []
    return mine + [guard for inner in dependant.dependencies for guard in _guards(inner)]


def _principal(row: KeyRow | UserRow, agent: str | None = None, csrf: str | None = None) -> Principal:
    is_person = isinstance(row, UserRow)
    groups = row.groups if isinstance(row, UserRow) else ()
    return Principal(
        row.id, row.name, row.scopes, row.clearance, agent=agent, csrf=csrf, groups=groups, has_account=is_person
    )


async def _key_of(request: Request) -> str | None:
    bearer = await BEARER(request)
    return bearer.credentials.strip() if bearer is not None else await API_KEY(request)


def _check_loopback(request: Request) -> None:
    """Refuse a host name that only a rebound DNS answer could have brought here."""
    if not _names_this_machine(request.headers.get("host", "")):
        raise NotAllowed(
            "foreign-host",
            "the request names another host than this machine: use http://127.0.0.1, or start the service with keys",
        )


@lru_cache(maxsize=_HOSTS_KEPT)
def _names_this_machine(host_header: str) -> bool:
    host = urlsplit(f"//{host_header}").hostname or ""
    return is_loopback(host)


async def _check_same_site(request: Request, principal: Principal) -> None:
    """Refuse a change that a page of another site asked for (cross-site request forgery).

    Raises:
        NotAllowed: Another site's page sent it, or it lacks the page's token.
        HTTPException: It is a form, which might hold the token, and the route takes JSON: 415.
    """
    if request.method in _SAFE:
        return
    check_same_origin(request)
    if principal.csrf is None:
        return
    sent = request.headers.get(CSRF_HEADER, "")
    if not sent and request.headers.get("content-type", "").partition(";")[0].strip().lower() in _FORM:
        if takes_json(request):  # left unread: a route may read the body from where it came, and it comes only once
            raise HTTPException(415)
        sent = str((await request.form()).get(CSRF_FIELD, ""))
    if not hmac.compare_digest(sent.encode(), principal.csrf.encode()):
        raise NotAllowed("no-csrf-token", "the page's token is missing or old: reload the page and try again")
