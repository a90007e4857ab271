"""Signatures of webhooks as data: how each helpdesk signs, and whether a webhook is its own and fresh."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from api.http.exceptions import NotSignedIn
from api.store.outbox import UNDATED

Algorithm = Literal["sha1", "sha256", "sha384", "sha512", "token"]
Header = Annotated[str, Field(min_length=1)]
Signed = Literal["body", "timestamp+body", "timestamp.body", "body+timestamp", "id.timestamp.body"]


class Signature(BaseModel):
    """How a helpdesk signs its webhooks.

    Attributes:
        algorithm: Hash of the HMAC; ``token`` for a sender that cannot sign and sends the secret itself.
        signed: What goes into it, in this order; a full stop stands for one.
        signature: Header that carries it.
        encoding: How the bytes of it are written.
        prefix: What stands before it.
        several: Whether the header may hold several, with blanks between them, as while a secret is replaced.
        timestamp: Header with the moment of sending; None where none is signed.
        delivery: Header with the sender's own id of the delivery.
        secret_encoding: How the secret is written: as it is, or ``base64``, behind ``whsec_`` or not.
        tolerance_s: How far the sender's clock may be off.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    algorithm: Algorithm = "sha256"
    signed: Signed = "timestamp+body"
    signature: Header = "X-Triage-Signature"
    encoding: Literal["hex", "base64"] = "hex"
    prefix: str = "sha256="
    several: bool = False
    timestamp: Header | None = "X-Triage-Timestamp"
    delivery: Header | None = "X-Triage-Delivery"
    secret_encoding: Literal["text", "base64"] = "text"
    tolerance_s: Annotated[float, Field(gt=0, le=3600)] = 300.0

    @property
    def needs_timestamp(self) -> bool:
        """Whether the moment of sending is part of what is signed."""
        return "timestamp" in self.signed and self.algorithm != "token"

    def fault(self) -> str | None:
        """Return what makes no sense in it, or None."""
        if self.needs_timestamp and self.timestamp is None:
            return "timestamp: it is signed, so name the header that carries it"
        if "id" in self.signed.split(".") and self.delivery is None:
            return "delivery: the id is signed, so name the header that carries it"
        return None

    def of(self, secret: bytes, body: bytes, timestamp: str = "", delivery: str = "") -> str:
        """Return the value of the header for a body.

        Example:
            >>> PRESETS["github"].of(b"It's a Secret to Everybody", b"Hello, World!")[:18]
            'sha256=757107ea0eb'
        """
        if self.algorithm == "token":
            return self.prefix + secret.decode()
        parts = {"timestamp": timestamp.encode(), "body": body, "id": delivery.encode()}
        names = self.signed.replace("+", ".").split(".")
        message = (b"" if "+" in self.signed else b".").join(parts[name] for name in names)
        digest = hmac.new(self._key(secret), message, self.algorithm)
        written = base64.b64encode(digest.digest()).decode() if self.encoding == "base64" else digest.hexdigest()
        return self.prefix + written

    def check_head(self, secrets: Sequence[bytes], headers: Mapping[str, str]) -> None:
        """Refuse a webhook that cannot be signed, whatever its body turns out to be.

        Args:
            secrets: Live secrets.
            headers: The request's headers, by names in lower case.

        Raises:
            NotSignedIn: A header is missing that its signature needs.
        """
        needed = (self.signature, *([self.timestamp] if self.needs_timestamp and self.timestamp else []))
        if not secrets or not all(headers.get(name.lower()) for name in needed):
            raise unsigned()

    def verify(self, secrets: Sequence[bytes], headers: Mapping[str, str], body: bytes, now: float | None) -> list[str]:
        """Check a webhook, and return what it is known by: what was signed, and the sender's own id.

        A body that is signed without a moment is marked as `UNDATED`. One that comes with the secret itself is not:
        whoever could send it again could write another one.

        Args:
            secrets: Live secrets.
            headers: The request's headers, by names in lower case.
            body: The request's body as it came.
            now: Seconds since 1970; the clock's where not given.

        Raises:
            NotSignedIn: It is not signed with one of the secrets, or too old or too new.
        """
        self.check_head(secrets, headers)
        stated = headers.get(self.signature.lower(), "")
        timestamp = headers.get(self.timestamp.lower(), "") if self.timestamp else ""
        delivery = headers.get(self.delivery.lower(), "")[:200] if self.delivery else ""
        expected = [self.of(secret, body, timestamp, delivery) for secret in secrets]
        found = stated.split() if self.several else [stated]
        if not any(hmac.compare_digest(one.encode(), other.encode()) for one in found for other in expected):
            raise NotSignedIn(
                "bad-signature",
                "the webhook's signature is not that of this helpdesk: see that both sides have the same secret, and "
                "that the file of helpdesks says what is signed",
            )
        if self.needs_timestamp:
            self._check_moment(timestamp, time.time() if now is None else now)
            signed = "sig:" + hashlib.sha256(timestamp.encode() + body).hexdigest()
        else:
            signed = ("sig:" if self.algorithm == "token" else UNDATED) + hashlib.sha256(body).hexdigest()
        return [signed, *([f"id:{delivery}"] if delivery else [])]

    def _check_moment(self, timestamp: str, now: float) -> None:
        moment = moment_of(timestamp)
        if moment is None or abs(now - moment) > self.tolerance_s:
            raise NotSignedIn(
                "stale-timestamp",
                f"the webhook's timestamp is more than {self.tolerance_s:g} s off: set the clocks, see the Date header",
            )

    def _key(self, secret: bytes) -> bytes:
        """Return the key of the HMAC; a secret that is not what it must be was refused before the start."""
        return base64.b64decode(secret.removeprefix(b"whsec_")) if self.secret_encoding == "base64" else secret


PRESETS: Mapping[str, Signature] = {
    "triage": Signature(),
    "zendesk": Signature(
        signature="X-Zendesk-Webhook-Signature",
        timestamp="X-Zendesk-Webhook-Signature-Timestamp",
        delivery="X-Zendesk-Webhook-Invocation-Id",
        encoding="base64",
        prefix="",
    ),
    "zammad": Signature(
        algorithm="sha1",
        signed="body",
        signature="X-Hub-Signature",
        prefix="sha1=",
        timestamp=None,
        delivery="X-Zammad-Delivery",
    ),
    "jira": Signature(
        signed="body", signature="X-Hub-Signature", timestamp=None, delivery="X-Atlassian-Webhook-Identifier"
    ),
    "freshdesk": Signature(
        algorithm="token", signed="body", signature="X-Triage-Token", prefix="", timestamp=None, delivery=None
    ),
    "servicenow": Signature(
        signed="timestamp+body",
        signature="X-ServiceNow-Signature",
        timestamp="X-ServiceNow-Timestamp",
        delivery="X-ServiceNow-Delivery",
        encoding="base64",
        prefix="",
    ),
    "github": Signature(signed="body", signature="X-Hub-Signature-256", timestamp=None, delivery="X-GitHub-Delivery"),
    "chatwoot": Signature(
        signed="timestamp.body",
        signature="X-Chatwoot-Signature",
        timestamp="X-Chatwoot-Timestamp",
        delivery="X-Chatwoot-Delivery",
    ),
    "glpi": Signature(
        signed="body+timestamp",
        signature="X-GLPI-Signature",
        timestamp="X-GLPI-Timestamp",
        delivery=None,
        prefix="",
    ),
    "standard-webhooks": Signature(
        signed="id.timestamp.body",
        signature="webhook-signature",
        timestamp="webhook-timestamp",
        delivery="webhook-id",
        encoding="base64",
        prefix="v1,",
        several=True,
        secret_encoding="base64",
    ),
}
"""How the vendors document that they sign.

Freshdesk cannot sign: its automation sends a secret header. ServiceNow signs what its script tells it to: the preset is
what docs/integration.md gives for it.
"""


def is_base64(secret: bytes) -> bool:
    """Say whether a secret is base64, behind ``whsec_`` or not."""
    try:
        return bool(base64.b64decode(secret.removeprefix(b"whsec_"), validate=True))
    except binascii.Error:
        return False


def unsigned() -> NotSignedIn:
    """Return what a webhook without a signature, or to an unknown helpdesk, is told."""
    return NotSignedIn(
        "no-signature",
        "the webhook carries no signature of a known helpdesk: sign what its preset says, see docs/integration.md",
    )


def moment_of(timestamp: str) -> float | None:
    """Read seconds or milliseconds since 1970, or an ISO 8601 date and time.

    Example:
        >>> moment_of("1800000000") == moment_of("1800000000000") == moment_of("2027-01-15T08:00:00Z")
        True
    """
    try:
        if timestamp.isascii() and timestamp.isdigit() and len(timestamp) < 14:
            return int(timestamp) / (1000 if len(timestamp) == 13 else 1)
        return datetime.fromisoformat(timestamp).timestamp()
    except (ValueError, OverflowError):  # the latter at the edge of the calendar
        return None
