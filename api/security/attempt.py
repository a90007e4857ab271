"""A sign-in at a provider that is under way, and who the provider says it was."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from api.http.exceptions import NotSignedIn


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
            raise provider_failed("the browser did not keep what the sign-in began with: begin again")
        return cls(*parts)

    @property
    def cookie(self) -> str:
        """The attempt as a cookie's value."""
        return ".".join(vars(self).values())


@dataclass(frozen=True)
class Identity:
    """Who a provider says has signed in: its address, its own name for the person, and what people call them."""

    issuer: str
    subject: str
    name: str


def provider_failed(why: str) -> NotSignedIn:
    """Return the refusal of a sign-in at a provider, with its reason."""
    return NotSignedIn("openid-failed", f"sign-in with the provider failed: {why}")
