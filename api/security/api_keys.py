"""API keys: 32 random bytes, shown once, recognised by prefix and SHA-256; looked up at most every two seconds."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta

from api.http.exceptions import NotSignedIn
from api.store.repository import Repository
from api.store.rows import SCOPES, KeyRow, UserRow
from triage.errors import InvalidRequest, StoreUnavailable

MARK = "triage"
_KEY = re.compile(rf"{MARK}_([0-9a-f]{{8}})_[\w-]+", re.ASCII)
FRESH_S = 2.0
"""How long a key that was looked up is believed: a revocation is seen by every worker within this time."""
STALE_S = 600.0
"""How long a key that was seen is believed while the store does not answer."""
_REMEMBERED = 4096

Owner = KeyRow | UserRow
Found = tuple[Owner, str]


def create_key(
    repository: Repository, name: str, scopes: Iterable[str], *, clearance: int = 0, lifetime: timedelta | None = None
) -> tuple[str, KeyRow]:
    """Create a key and return its text, which is not kept anywhere, and its row.

    Args:
        repository: The store.
        name: What people call it.
        scopes: What it is good for; see `SCOPES`.
        clearance: How sensitive the past tickets are that it may see; see the policy's tiers.
        lifetime: How long it is valid; None for ever.

    Raises:
        InvalidRequest: A scope is unknown, or there is none.
    """
    wanted = sorted(set(scopes))
    unknown = sorted(set(wanted) - set(SCOPES))
    if unknown or not wanted:
        said = (
            f"unknown scope {', '.join(map(repr, unknown))}" if unknown else "a key without a scope is good for nothing"
        )
        raise InvalidRequest(f"{said}: scopes are {', '.join(SCOPES)}; name at least one of them")
    prefix, secret = secrets.token_hex(4), secrets.token_urlsafe(32)
    text = f"{MARK}_{prefix}_{secret}"
    expires_at = datetime.now(UTC) + lifetime if lifetime else None
    return text, repository.add_key(
        prefix, sha256(text), name=name, scopes=wanted, clearance=clearance, expires_at=expires_at
    )


def prefix_of(text: str) -> str | None:
    """Return the prefix by which a key is listed; None for a text that is no key, such as a name with lines in it.

    Example:
        >>> prefix_of("triage_3f9a1c20_x7"), prefix_of("prod_3f9a1c20_key")
        ('3f9a1c20', None)
    """
    found = _KEY.fullmatch(text)
    return found[1] if found else None


def sha256(text: str) -> str:
    """Return the SHA-256 of a secret as it is kept; the secret has 256 bits, so that no slow hash is needed."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


class Keyring:
    """Recognises keys and page sessions, and remembers them for a moment so that not every request asks the store.

    Args:
        repository: The store.
        fresh_s: How long what was looked up is believed.
    """

    def __init__(self, repository: Repository, fresh_s: float = FRESH_S) -> None:
        self._repository = repository
        self._fresh_s = fresh_s
        self._seen: OrderedDict[str, tuple[float, Owner, str]] = OrderedDict()
        self._lock = threading.Lock()

    def by_key(self, text: str) -> KeyRow:
        """Return the row of a key that is valid now.

        Raises:
            NotSignedIn: It is unknown, expired or revoked.
            StoreUnavailable: The store does not answer, and the key was not seen lately.
        """
        digest = sha256(text)
        row, _ = self._look("k" + digest, lambda: self._find(text, digest))
        assert isinstance(row, KeyRow)
        return _valid(row)

    def by_session(self, token: str) -> Found:
        """Return the key or account and the agent of a page session that is open now; errors as for `by_key`."""
        digest = sha256(token)
        row, agent = self._look("s" + digest, lambda: self._repository.session(digest))
        if isinstance(row, KeyRow):
            return _valid(row), agent
        if row.disabled_at is not None:
            raise NotSignedIn("disabled-account", "the account was disabled: ask whoever manages accounts")
        return row, agent

    def forget(self, digest: str) -> None:
        """Believe a session no longer, for this process at once.

        Args:
            digest: SHA-256 of its token.
        """
        with self._lock:
            self._seen.pop("s" + digest, None)

    def remembered(self, kind: str, secret: str) -> bool:
        """Say whether a key (``k``) or session (``s``) can be told without asking the store."""
        seen = self._seen.get(kind + sha256(secret))
        return seen is not None and time.monotonic() - seen[0] < self._fresh_s

    def _find(self, text: str, digest: str) -> Found | None:
        parts = text.split("_", 2)
        if len(parts) != 3 or parts[0] != MARK or not parts[1].isalnum() or not parts[1].isascii():
            return None
        found = self._repository.key(parts[1])
        return (found[0], "") if found is not None and hmac.compare_digest(found[1], digest) else None

    def _look(self, name: str, find: Callable[[], Found | None]) -> Found:
        now, seen = time.monotonic(), self._seen.get(name)
        if seen is not None and now - seen[0] < self._fresh_s:
            return seen[1], seen[2]
        try:
            found = find()
        except StoreUnavailable:
            if seen is not None and now - seen[0] < STALE_S:
                return seen[1], seen[2]
            raise
        with self._lock:
            self._seen.pop(name, None)
            if found is not None:
                self._seen[name] = (now, *found)
            while len(self._seen) > _REMEMBERED:
                self._seen.popitem(last=False)
        if found is None:
            raise NotSignedIn(
                "unknown-key",
                "the key or session is not known: it was mistyped, has run out or was never made; "
                "make one with triage keys create",
            )
        return found


def _valid(row: KeyRow) -> KeyRow:
    if row.revoked_at is not None:
        raise NotSignedIn("revoked-key", "the key was revoked: make another with triage keys create")
    if row.expires_at is not None and row.expires_at <= datetime.now(UTC):
        raise NotSignedIn("expired-key", "the key has expired: make another with triage keys create")
    return row
