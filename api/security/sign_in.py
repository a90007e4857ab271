"""Signing in: by password, by key, by a provider of OpenID Connect or by a trusted proxy; each opens a new session."""

from __future__ import annotations

import ipaddress
import secrets
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import structlog
from fastapi import Request
from limits import RateLimitItem

from api.http.exceptions import NotSignedIn
from api.http.middleware import PEER
from api.security.api_keys import Keyring, sha256
from api.security.attempt import Identity
from api.security.passwords import is_password
from api.security.rate_limit import Limiter
from api.settings import Settings, origin_of
from api.store.people.users import login_of
from api.store.repository import Repository
from api.store.rows import UserRow

if TYPE_CHECKING:
    from api.security.openid import OpenId

LIFETIME = timedelta(hours=12)
"""A working day: whoever comes back tomorrow signs in again."""
PROXY = "proxy"
"""The issuer of identities that a trusted proxy states."""
_OF_MANY = 10
"""So many times the attempts under one name from one address may fail from that address, which a whole office may
share, or under that name from all addresses together: it takes ten addresses to keep somebody out, and many strangers
cannot guess on."""
_NETWORK_BITS, _LINE_BITS = 64, 48
"""What of an IPv6 address tells which network it is in, where a machine may use any other for each attempt, and what
tells whose line it is, which may have hundreds of networks (RFC 6177). Attempts under one name count by line: else one
line would be enough to keep somebody out."""
_ATTEMPTS = "attempts to sign in"
log = structlog.get_logger(__name__)


class Door:
    """Lets people in. Its methods ask the store and hash passwords, and so block: call them from worker threads.

    Args:
        store: Where accounts and sessions are kept.
        keyring: Knows keys, and what it remembers of sessions.
        settings: How people sign in here, and how often they may try.
        shared: Directory in which workers count attempts together; None counts in this process alone.
    """

    def __init__(self, store: Repository, keyring: Keyring, settings: Settings, shared: Path | None = None) -> None:
        self._store, self._keyring = store, keyring
        self._header, self._proxies = settings.proxy_header, settings.proxies
        self.public_origin = origin_of(settings.public_url)
        self._new_role = settings.oidc_new_role or None
        self.openid = _provider(settings) if settings.oidc_issuer else None
        self._names = Limiter(settings.sign_ins, shared / "names" if shared else None)
        many = _times(settings.sign_ins, _OF_MANY)
        self._everywhere = Limiter(many, shared / "everywhere" if shared else None)
        self._addresses = Limiter(many, shared / "addresses" if shared else None)

    def by_password(self, name: str, password: str, address: str, before: str | None = None) -> str:
        """Open a session with a password, and return its token.

        Args:
            name: Of the account.
            password: As it was typed.
            address: Where it was typed: attempts are counted by name and address together, and those that fail by
                each of them alone.
            before: SHA-256 of the token of the session that the browser had; it ends.

        Raises:
            NotSignedIn: Name and password do not belong together, or the account is disabled; which, is not told.
            TooMuch: There were too many attempts.
        """
        return self._open(self.check_password(name, password, address), before)

    def check_password(self, name: str, password: str, address: str) -> UserRow:
        """Return the account that a name and a password belong to; errors as for `by_password`."""
        login = sha256(login_of(name))
        self.count(address)
        line = _place_of(address, _LINE_BITS)
        self._names.count(f"{login} {line}", what=_ATTEMPTS, whose="under this name from this address")
        self._everywhere.count(login, what=_ATTEMPTS, whose="under this name")
        found = self._store.user(name)
        right = is_password(found[1] if found else None, password)
        if found is None or not right or found[0].disabled_at is not None:
            log.warning("sign_in_refused", how="password")
            raise NotSignedIn("wrong-password", "name and password do not belong together, or the account is disabled")
        self._everywhere.give_back(login)
        self._addresses.give_back(_place_of(address))
        return found[0]

    def by_key(self, key: str, agent: str, address: str, before: str | None = None) -> str:
        """Open a session with a key, under a name that the person chooses, and return its token.

        Raises:
            NotSignedIn: The key is not valid, or people have accounts here.
            TooMuch: There were too many attempts.
        """
        self.count(address)
        if self._store.has_users():
            raise NotSignedIn("keys-are-for-machines", "people have accounts here: sign in with yours")
        try:
            row = self._keyring.by_key(key)
        except NotSignedIn as error:
            log.warning("sign_in_refused", how="key", kind=error.code)
            raise
        self._addresses.give_back(_place_of(address))
        token = self._fresh(before)
        self._store.open_session(sha256(token), row.id, agent or row.name, datetime.now(UTC) + LIFETIME)
        return token

    def by_identity(self, identity: Identity, before: str | None = None) -> str:
        """Open a session for somebody whom another system has signed in, and return its token.

        Raises:
            NotSignedIn: There is no account for that person, or it is disabled.
        """
        new_role = self._new_role if identity.issuer != PROXY else None
        user = self._store.identify(identity.issuer, identity.subject, identity.name, new_role)
        if user is None or user.disabled_at is not None:
            log.warning("sign_in_refused", how="identity", kind="no-account")
            raise NotSignedIn("no-account", "there is no account for you here, or it is disabled: ask for one")
        return self._open(user, before)

    def by_provider(self, identity: Identity, address: str, before: str | None = None) -> str:
        """Open a session for somebody whom the provider has signed in; errors as for `by_identity`.

        The way to the provider and the way back are attempts, and whoever is let in gets both back.
        """
        token = self.by_identity(identity, before)
        self._addresses.give_back(_place_of(address), calls=2)
        return token

    def named_by_proxy(self, request: Request) -> str | None:
        """Return who a trusted proxy says has signed in; None where no trusted proxy says so."""
        connected = request.scope.get(PEER)
        if not self._header or connected is None:
            return None
        try:
            peer = ipaddress.ip_address(connected[0])
        except ValueError:
            return None
        if not any(peer in network for network in self._proxies):
            return None
        stated = request.headers.getlist(self._header)
        return _as_written(stated[0]) if len(stated) == 1 and stated[0].strip() else None

    def check_same_person(self, request: Request, agent: str) -> None:
        """Refuse a session that is not of the person whom the proxy has signed in meanwhile.

        Raises:
            NotSignedIn: The proxy names somebody else.
        """
        named = self.named_by_proxy(request)
        if named is not None and login_of(named) != login_of(agent):
            raise NotSignedIn("another-person", "somebody else has signed in at the proxy: sign in again")

    def close(self) -> None:
        """Let go of the counts."""
        for counts in (self._names, self._everywhere, self._addresses):
            counts.close()

    def count(self, address: str) -> None:
        """Count an attempt from an address before it is looked at; whoever is let in gets it back.

        Raises:
            TooMuch: There were too many that failed.
        """
        self._addresses.count(_place_of(address), what=_ATTEMPTS, whose="from this address")

    def _open(self, user: UserRow, before: str | None) -> str:
        token = self._fresh(before)
        self._store.open_session(sha256(token), None, user.name, datetime.now(UTC) + LIFETIME, user_id=user.id)
        log.info("signed_in", user=user.id)
        return token

    def _fresh(self, before: str | None) -> str:
        """Return a new token; a session that the browser had, or that somebody put there, ends."""
        if before:
            self._store.close_session(before)
            self._keyring.forget(before)
        return secrets.token_urlsafe(32)


def _place_of(address: str, bits: int = _NETWORK_BITS) -> str:
    """Return where an address is: of IPv6 the first bits, by which a network or a line is known.

    Example:
        >>> _place_of("192.0.2.7"), _place_of("2001:db8:0:5::7"), _place_of("2001:db8:0:5::7", 48), _place_of("")
        ('192.0.2.7', '2001:db8:0:5::', '2001:db8::', '')
    """
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv4Address) or found.ipv4_mapped is not None:
        return address
    return str(ipaddress.IPv6Network((found.packed, bits), strict=False).network_address)


def _as_written(header: str) -> str:
    """Return a header as UTF-8, in which proxies write names, where it is that: servers read each as Latin-1.

    Example:
        >>> _as_written("JÃ¼rgen"), _as_written("Jürgen"), _as_written("kim")
        ('Jürgen', 'Jürgen', 'kim')
    """
    try:
        return header.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return header


def _times(rate: RateLimitItem, times: int) -> RateLimitItem:
    return type(rate)(rate.amount * times, rate.multiples)


def _provider(settings: Settings) -> OpenId:
    from api.security.openid import OpenId  # late: Authlib takes a tenth of a start, and few services need it

    return OpenId(settings)
