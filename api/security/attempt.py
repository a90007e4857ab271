"""A sign-in at a provider that is under way, and who the provider says it was."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

import structlog

from api.http.exceptions import NotSignedIn

FAILED, AWAY = "openid-failed", "openid-away"
"""Codes of a sign-in at a provider that does not hold, and of a provider that does not answer as one."""
log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Attempt:
    """A sign-in that is under way; kept in a cookie of the browser that began it.

    Attributes:
        state: Comes back with the answer, and must be the same.
        nonce: Stands in the provider's token, and must be the same.
        verifier: Proves to the provider that the same service asks (RFC 7636).
    """

    state: str
    nonce: str
    verifier: str

    @classmethod
    def new(cls) -> Attempt:
        """Begin one."""
        return cls(*(secrets.token_urlsafe(32) for _ in range(3)))

    @classmethod
    def of(cls, cookie: str | None) -> Attempt:
        """Read the one of a cookie.

        Raises:
            NotSignedIn: There is none.
        """
        parts = (cookie or "").split(".")
        if len(parts) != 3 or not all(parts):
            raise provider_failed("no_attempt", "the browser did not keep what the sign-in began with: begin again")
        return cls(*parts)

    @property
    def cookie(self) -> str:
        """The attempt as a cookie's value."""
        return ".".join(vars(self).values())


class ProviderRefused(NotSignedIn):
    """A sign-in at a provider that is refused; it is logged as it is made.

    Args:
        code: `FAILED` or `AWAY`.
        kind: What went wrong, for the log: never what a provider or a browser has sent.
        message: The same for the person, with what to do.
    """

    def __init__(self, code: str, kind: str, message: str) -> None:
        super().__init__(code, message)
        self.kind = kind
        log.warning("sign_in_refused", how="openid", kind=kind)

    def again(self) -> ProviderRefused:
        """Return the same refusal for somebody else."""
        return ProviderRefused(self.code, self.kind, str(self))


@dataclass(frozen=True)
class Identity:
    """Who a provider says has signed in: its address, its own name for the person, and what people call them."""

    issuer: str
    subject: str
    name: str


def provider_failed(kind: str, why: str) -> ProviderRefused:
    """Log that a sign-in at a provider is refused, and return the refusal.

    Args:
        kind: What went wrong, for the log: never what a provider or a browser has sent.
        why: The same for the person, with what to do.
    """
    return ProviderRefused(FAILED, kind, f"sign-in with the provider failed: {why}")


def provider_away(kind: str) -> ProviderRefused:
    """Log that a provider cannot be reached or does not answer as one, and return the refusal of the sign-in."""
    why = f"the provider does not answer ({kind}): try again"
    return ProviderRefused(AWAY, kind, f"sign-in with the provider failed: {why}")
