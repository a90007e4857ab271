"""Sign-in at a provider of OpenID Connect: the authorization code flow with PKCE, by Authlib."""

from __future__ import annotations

import os
import re
import ssl
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

import anyio
import httpx
import structlog
from authlib.common.errors import AuthlibBaseError
from authlib.integrations.httpx_client import AsyncOAuth2Client
from authlib.oauth2.rfc6749.parameters import prepare_grant_uri
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import BadSignatureError, InvalidKeyIdError, JoseError
from joserfc.jwk import JWKRegistry, KeySet

from api.http.exceptions import NotSignedIn
from api.security.attempt import Attempt, Identity, ProviderRefused, provider_away, provider_failed
from api.settings import Settings, is_unread_on_the_way, read_line
from triage.errors import InvalidRequest, why_unreadable

_TIMEOUT_S = 5.0
_PATIENCE_S = 10.0
"""How long a provider may take for all that it is asked for at once, in seconds."""
_FRESH_S = 600.0
"""How long what a provider says of itself is believed, in seconds; an unknown key of its is asked for at once."""
_PAUSE_S = 5.0
"""How long a provider that did not say anything of use of itself is not asked again, in seconds: strangers can ask."""
_SCOPE, _CHALLENGE = "openid profile email", "S256"
_ADDRESSES = ("authorization_endpoint", "token_endpoint", "jwks_uri")
_MOST_SUBJECT_CHARS = 255
"""OpenID Connect allows no more, and the store holds no more."""
_CODE = re.compile(r"[A-Za-z0-9_.-]{1,50}")
"""A code of an error that may be shown and logged: too plain to hold anything else."""
_HTTP = sys.modules[
    next(kind.__module__ for kind in AsyncOAuth2Client.__mro__ if kind.__name__ == "AsyncClient").partition(".")[0]
]
"""The library that Authlib speaks HTTP with: httpx2 where it is there."""
_NO_ANSWER: tuple[type[Exception], ...] = (
    httpx.HTTPError, httpx.InvalidURL, _HTTP.HTTPError, _HTTP.InvalidURL, TimeoutError,
    ValueError, TypeError, LookupError, AttributeError, RecursionError,
)  # fmt: skip
"""What comes of a provider that cannot be reached, takes too long or answers with what cannot be read."""
_SIGNED_WITH = ["RS256", "PS256", "ES256", "EdDSA"]
"""Signatures with a public key: `none` and shared secrets are not among them."""
_LEEWAY_S = 60
log = structlog.get_logger(__name__)


class _Provider(NamedTuple):
    """What a provider says of itself, and when it did."""

    says: dict[str, Any]
    keys: KeySet
    at: float


class OpenId:
    """One provider of OpenID Connect.

    Args:
        settings: Name the provider, this service's id and secret there, and the claim that is the account's name.

    Raises:
        InvalidRequest: The secret, or the file of certificates, cannot be read.
    """

    def __init__(self, settings: Settings) -> None:
        self._address, self._client_id = settings.oidc_issuer.rstrip("/"), settings.oidc_client_id
        self._claim = settings.oidc_claim
        self._secret = _read(settings)
        self._known: _Provider | None = None
        self._refused: ProviderRefused | None = None
        self._not_before = 0.0
        self._turn = anyio.Lock()
        self._tls = _certificates()
        """One for all connections: to read the certificates takes 17 ms, in which nobody else would be answered."""

    async def address(self, attempt: Attempt, back: str) -> str:
        """Return where to send the browser.

        Args:
            attempt: That begins.
            back: Address that the provider sends it back to.

        Raises:
            NotSignedIn: The provider does not answer.
        """
        provider = await self._provider()
        address = prepare_grant_uri(
            provider.says["authorization_endpoint"],
            self._client_id,
            "code",
            redirect_uri=back,
            scope=_SCOPE,
            state=attempt.state,
            nonce=attempt.nonce,
            code_challenge=create_s256_code_challenge(attempt.verifier),
            code_challenge_method=_CHALLENGE,
        )
        return str(address)

    async def identity(self, attempt: Attempt, answer: str, back: str) -> Identity:
        """Return who has signed in, from the address that the provider sent the browser back to.

        Raises:
            NotSignedIn: The provider refuses or does not answer, or its token is not for this sign-in.
        """
        code = _code_of(attempt, answer)
        provider = await self._provider()
        try:
            with _asking():
                async with self._client(back) as client:
                    token = await client.fetch_token(
                        provider.says["token_endpoint"],
                        grant_type="authorization_code",
                        code=code,
                        code_verifier=attempt.verifier,
                    )
                id_token = token.get("id_token")
        except NotSignedIn:
            self._known = None  # its addresses may have changed
            raise
        except AuthlibBaseError as error:
            raise _not_held(error) from error
        return self._identity(await self._claims(str(id_token), provider, attempt.nonce))

    def _identity(self, claims: CodeIDToken) -> Identity:
        name, subject = claims.get(self._claim), claims["sub"]
        if not isinstance(subject, str) or not subject.isprintable() or not 0 < len(subject) <= _MOST_SUBJECT_CHARS:
            raise provider_failed("invalid_claim sub", "the provider's own name for you is none that can be kept")
        if not isinstance(name, str) or not name:
            raise provider_failed(
                "no_name", f"the provider says nothing of {self._claim}: TRIAGE_OIDC_CLAIM names another claim"
            )
        if self._claim == "email" and claims.get("email_verified") is not True:
            raise provider_failed("unverified_email", "the provider has not verified that address")
        return Identity(str(claims["iss"]), subject, name)

    async def _claims(self, token: str, provider: _Provider, nonce: str) -> CodeIDToken:
        """Return what a token says that the provider has signed for this sign-in."""
        try:
            try:
                decoded = jwt.decode(token, provider.keys, algorithms=_SIGNED_WITH)
            except (InvalidKeyIdError, BadSignatureError):  # its keys may have changed
                provider = await self._provider(but=provider)
                decoded = jwt.decode(token, provider.keys, algorithms=_SIGNED_WITH)
            expected = {
                "iss": {"essential": True, "value": provider.says["issuer"]},
                "aud": {"essential": True, "value": self._client_id},
            }
            of_attempt = {"nonce": nonce, "client_id": self._client_id}
            claims = CodeIDToken(decoded.claims, decoded.header, expected, of_attempt)
            claims.validate(leeway=_LEEWAY_S)
        except (AuthlibBaseError, JoseError, ValueError, TypeError, KeyError) as error:
            raise _not_held(error) from error
        if nonce != claims.get("nonce"):
            raise provider_failed("invalid_claim nonce", "the provider's answer is to another sign-in: begin again")
        return claims

    def _client(self, back: str) -> AsyncOAuth2Client:
        return AsyncOAuth2Client(
            self._client_id,
            self._secret,
            scope=_SCOPE,
            redirect_uri=back,
            code_challenge_method=_CHALLENGE,
            timeout=_TIMEOUT_S,
            verify=self._tls,
        )

    async def _provider(self, *, but: _Provider | None = None) -> _Provider:
        """Ask the provider for its addresses and keys, unless that was done a moment ago; one request asks for all.

        Args:
            but: What is known to be out of date.

        Raises:
            ProviderRefused: It does not answer, or did not a moment ago.
        """
        async with self._turn:
            known = self._known
            if known is not None and known is not but and time.monotonic() - known.at < _FRESH_S:
                return known
            if self._refused is not None and time.monotonic() < self._not_before:
                raise self._refused.again()
            try:
                self._known = await self._asked()
            except ProviderRefused as error:
                self._refused, self._not_before = error, time.monotonic() + _PAUSE_S
                raise
            self._refused = None
            return self._known

    async def _asked(self) -> _Provider:
        """Return what the provider says of itself now."""
        with _asking():
            async with httpx.AsyncClient(timeout=_TIMEOUT_S, verify=self._tls) as client:
                found = await client.get(f"{self._address}/.well-known/openid-configuration")
                says = found.raise_for_status().json()
                for name in _ADDRESSES:
                    _check_address(says[name])
                keys = await client.get(says["jwks_uri"])
                key_set = _key_set(keys.raise_for_status().json()["keys"])
            if str(says.get("issuer", "")).rstrip("/") != self._address:
                raise provider_failed("other_issuer", "the provider calls itself otherwise than TRIAGE_OIDC_ISSUER")
        return _Provider(says, key_set, time.monotonic())


def _read(settings: Settings) -> str | None:
    if settings.oidc_client_secret_file is None:
        return None
    try:
        return read_line(settings.oidc_client_secret_file, "oidc_client_secret_file")
    except ValueError as error:
        raise InvalidRequest(str(error)) from error


def _certificates() -> ssl.SSLContext:
    """Return the certificates by which a provider is known: those of the environment, else those of `certifi`."""
    try:
        return httpx.create_ssl_context()
    except OSError as error:
        named = os.environ.get("SSL_CERT_FILE", "")
        raise InvalidRequest(
            f"SSL_CERT_FILE {named!r} cannot be read: {why_unreadable(error)}; name a file of certificates (PEM)"
        ) from error


@contextmanager
def _asking() -> Iterator[None]:
    """Ask a provider something; whatever keeps it from an answer that can be read is told as its failure to answer.

    Raises:
        NotSignedIn: It cannot be reached, takes too long, or answers with an error or with what is no answer.
    """
    try:
        with anyio.fail_after(_PATIENCE_S):
            yield
    except _NO_ANSWER as error:
        raise provider_away(type(error).__name__) from error


def _code_of(attempt: Attempt, answer: str) -> str:
    """Return the code by which a provider gives its token, from the address that it sent the browser back to.

    Raises:
        NotSignedIn: The answer is to another sign-in, the provider says no, or there is no code.
    """
    said = {name: values[-1] for name, values in parse_qs(urlsplit(answer).query).items()}
    if said.get("state") != attempt.state:
        raise provider_failed("mismatching_state", "the provider's answer is to another sign-in: begin again")
    if "error" in said:
        shown = said["error"] if _CODE.fullmatch(said["error"]) else "an error without a name"
        raise provider_failed(f"refused {shown}", f"the provider did not let you in ({shown})")
    if "code" not in said:
        raise provider_failed("missing_code", "the provider's answer holds no code: begin again")
    return said["code"]


def _not_held(error: Exception) -> NotSignedIn:
    """Return the refusal of an answer or a token that does not hold, by the error's own code and the claim at fault."""
    code = getattr(error, "error", None)
    plain = isinstance(code, str) and _CODE.fullmatch(code)
    kind = f"{code if plain else type(error).__name__} {getattr(error, 'claim', '')}".strip()
    return provider_failed(kind, f"the provider's answer does not hold ({kind}): begin again")


def _key_set(stated: list[Any]) -> KeySet:
    """Read the keys of a provider; those that cannot be read, as of a curve that is not known here, are left out.

    Raises:
        ValueError: There is none that can be read.
    """
    keys, left_out = [], 0
    for one in stated:
        try:
            keys.append(JWKRegistry.import_key(one))
        except Exception:  # of joserfc, or of what it reads keys with: the others are of use all the same
            left_out += 1
    if left_out:
        log.info("provider_keys_left_out", left_out=left_out, read=len(keys))
    if not keys:
        raise ValueError("keys")
    return KeySet(keys)


def _check_address(address: str) -> None:
    """Refuse an address of the provider that somebody on the way could read or change.

    Raises:
        NotSignedIn: It is plain HTTP to another machine, or no address.
    """
    if not is_unread_on_the_way(address):
        raise provider_failed("no_tls", "the provider names an address without TLS or none at all")
