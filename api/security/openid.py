"""Sign-in at a provider of OpenID Connect: the authorization code flow with PKCE, by Authlib."""

from __future__ import annotations

import time
from typing import Any
from urllib.parse import urlsplit

import httpx
from authlib.common.errors import AuthlibBaseError
from authlib.integrations.httpx_client import AsyncOAuth2Client
from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from api.security.attempt import Attempt, Identity, provider_failed
from api.settings import Settings, is_loopback
from triage.errors import InvalidRequest

_TIMEOUT_S = 5.0
_FRESH_S = 600.0
"""How long what a provider says of itself is believed, in seconds; an unknown key of its is asked for at once."""
_SIGNED_WITH = ["RS256", "PS256", "ES256", "EdDSA"]
"""Signatures with a public key: `none` and shared secrets are not among them."""
_LEEWAY_S = 60


class OpenId:
    """One provider of OpenID Connect.

    Args:
        settings: Name the provider, this service's id and secret there, and the claim that is the account's name.

    Raises:
        InvalidRequest: The secret cannot be read.
    """

    def __init__(self, settings: Settings) -> None:
        self._address, self._client_id = settings.oidc_issuer.rstrip("/"), settings.oidc_client_id
        self._claim = settings.oidc_claim
        self._secret = _read(settings)
        self._known: tuple[float, dict[str, Any], KeySet] | None = None

    async def address(self, attempt: Attempt, back: str) -> str:
        """Return where to send the browser.

        Args:
            attempt: That begins.
            back: Address that the provider sends it back to.

        Raises:
            NotSignedIn: The provider does not answer.
        """
        provider, _ = await self._provider()
        async with self._client(back) as client:
            address, _ = client.create_authorization_url(
                _https(provider["authorization_endpoint"]),
                state=attempt.state,
                nonce=attempt.nonce,
                code_verifier=attempt.verifier,
            )
        return str(address)

    async def identity(self, attempt: Attempt, answer: str, back: str) -> Identity:
        """Return who has signed in, from the address that the provider sent the browser back to.

        Raises:
            NotSignedIn: The provider refuses, or its token is not for this sign-in.
        """
        provider, keys = await self._provider()
        try:
            async with self._client(back) as client:
                token = await client.fetch_token(
                    _https(provider["token_endpoint"]),
                    authorization_response=answer,
                    state=attempt.state,
                    code_verifier=attempt.verifier,
                )
            claims = self._claims(str(token.get("id_token", "")), keys, issuer=provider["issuer"], nonce=attempt.nonce)
        except (AuthlibBaseError, JoseError, httpx.HTTPError, ValueError, KeyError) as error:
            self._known = None  # its keys may have changed
            raise provider_failed(
                f"the provider's answer does not hold ({type(error).__name__}): begin again"
            ) from error
        name = claims.get(self._claim)
        if not isinstance(name, str) or not name:
            raise provider_failed(f"the provider says nothing of {self._claim}: TRIAGE_OIDC_CLAIM names another claim")
        if self._claim == "email" and claims.get("email_verified") is not True:
            raise provider_failed("the provider has not verified that address")
        return Identity(str(claims["iss"]), str(claims["sub"]), name)

    def _claims(self, token: str, keys: KeySet, *, issuer: str, nonce: str) -> CodeIDToken:
        decoded = jwt.decode(token, keys, algorithms=_SIGNED_WITH)
        expected = {
            "iss": {"essential": True, "value": issuer},
            "aud": {"essential": True, "value": self._client_id},
        }
        claims = CodeIDToken(decoded.claims, decoded.header, expected, {"nonce": nonce, "client_id": self._client_id})
        claims.validate(leeway=_LEEWAY_S)
        if nonce != claims.get("nonce"):
            raise ValueError("nonce")
        return claims

    def _client(self, back: str) -> AsyncOAuth2Client:
        return AsyncOAuth2Client(
            self._client_id,
            self._secret,
            scope="openid profile email",
            redirect_uri=back,
            code_challenge_method="S256",
            timeout=_TIMEOUT_S,
        )

    async def _provider(self) -> tuple[dict[str, Any], KeySet]:
        """Ask the provider for its addresses and keys, unless that was done a moment ago."""
        if self._known is not None and time.monotonic() - self._known[0] < _FRESH_S:
            return self._known[1], self._known[2]
        try:
            async with httpx.AsyncClient(timeout=_TIMEOUT_S) as client:
                found = await client.get(f"{self._address}/.well-known/openid-configuration")
                provider = found.raise_for_status().json()
                keys = await client.get(_https(provider["jwks_uri"]))
                key_set = KeySet.import_key_set(keys.raise_for_status().json())
        except (httpx.HTTPError, JoseError, ValueError, KeyError, TypeError) as error:
            raise provider_failed(f"the provider does not answer ({type(error).__name__}): try again") from error
        if str(provider.get("issuer", "")).rstrip("/") != self._address:
            raise provider_failed("the provider calls itself otherwise than TRIAGE_OIDC_ISSUER")
        self._known = (time.monotonic(), provider, key_set)
        return provider, key_set


def _read(settings: Settings) -> str | None:
    if settings.oidc_client_secret_file is None:
        return None
    try:
        return settings.oidc_client_secret_file.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"TRIAGE_OIDC_CLIENT_SECRET_FILE cannot be read: {error}; see who owns it") from error


def _https(address: str) -> str:
    """Return an address of the provider that nobody on the way can read or change.

    Raises:
        NotSignedIn: It is plain HTTP to another machine.
    """
    parts = urlsplit(address)
    if parts.scheme != "https" and not is_loopback(parts.hostname or ""):
        raise provider_failed("the provider names an address without TLS")
    return address
