"""Each vendor's webhooks are verified by the algorithm that its documentation gives, written out here once more."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from standardwebhooks import Webhook

from api.helpdesks.config import load_helpdesks
from api.helpdesks.signatures import PRESETS
from api.http.exceptions import NotSignedIn
from triage.errors import InvalidRequest

SECRET, OTHER = b"a secret of sixteen or more", b"another secret, long enough"
WEBHOOKS_SECRET = "whsec_" + base64.b64encode(b"a key of twenty-four b..").decode()
NOW = 1_800_000_000
BODY = json.dumps({"ticket": {"id": 7, "subject": "Drücker"}}, ensure_ascii=False).encode()
Vector = tuple[dict[str, str], bytes]


def digest(kind: str, message: bytes, secret: bytes = SECRET) -> hmac.HMAC:
    return hmac.new(secret, message, kind)


def zendesk() -> dict[str, str]:
    """base64(HMAC-SHA256(timestamp + body)), the timestamp in ISO 8601."""
    moment = "2027-01-15T08:00:00Z"
    signed = base64.b64encode(digest("sha256", moment.encode() + BODY).digest()).decode()
    return {"x-zendesk-webhook-signature": signed, "x-zendesk-webhook-signature-timestamp": moment}


def zammad() -> dict[str, str]:
    """sha1= and the hexadecimal HMAC-SHA1 of the body."""
    return {"x-hub-signature": "sha1=" + digest("sha1", BODY).hexdigest(), "x-zammad-delivery": "d-1"}


def jira() -> dict[str, str]:
    """WebSub: the method, =, and the hexadecimal HMAC-SHA256 of the body."""
    return {"x-hub-signature": "sha256=" + digest("sha256", BODY).hexdigest(), "x-atlassian-webhook-identifier": "d-1"}


def freshdesk() -> dict[str, str]:
    """No signature: a header of the automation rule carries a secret."""
    return {"x-triage-token": SECRET.decode()}


def servicenow() -> dict[str, str]:
    """base64 of the MAC that the script computes over timestamp and body (GlideCertificateEncryption.generateMac)."""
    signed = base64.b64encode(digest("sha256", f"{NOW}".encode() + BODY).digest()).decode()
    return {"x-servicenow-signature": signed, "x-servicenow-timestamp": f"{NOW}"}


def github() -> dict[str, str]:
    """sha256= and the hexadecimal HMAC-SHA256 of the body."""
    return {"x-hub-signature-256": "sha256=" + digest("sha256", BODY).hexdigest(), "x-github-delivery": "d-1"}


def chatwoot() -> dict[str, str]:
    """sha256= and the hexadecimal HMAC-SHA256 of timestamp, full stop and body."""
    signed = "sha256=" + digest("sha256", f"{NOW}.".encode() + BODY).hexdigest()
    return {"x-chatwoot-signature": signed, "x-chatwoot-timestamp": f"{NOW}", "x-chatwoot-delivery": "d-1"}


def glpi() -> dict[str, str]:
    """The hexadecimal HMAC-SHA256 of body and timestamp."""
    signed = digest("sha256", BODY + f"{NOW}".encode()).hexdigest()
    return {"x-glpi-signature": signed, "x-glpi-timestamp": f"{NOW}"}


VENDORS: dict[str, Callable[[], dict[str, str]]] = {
    one.__name__: one for one in (zendesk, zammad, jira, freshdesk, servicenow, github, chatwoot, glpi)
}
UNDATED = {"zammad", "jira", "freshdesk", "github"}
TOLD = {"freshdesk"}
"""Whose webhooks come with the secret itself: nobody who could replay one is kept out by remembering it."""


@pytest.mark.parametrize("vendor", VENDORS)
def test_what_the_vendor_signs_is_taken_and_nothing_else(vendor: str) -> None:
    preset, sent = PRESETS[vendor], VENDORS[vendor]()
    ids = preset.verify([OTHER, SECRET], sent, BODY, NOW)
    assert ids[0].startswith("body:" if vendor in UNDATED - TOLD else "sig:")
    refused: list[tuple[dict[str, str], bytes, list[bytes]]] = [(sent, BODY, [OTHER]), ({}, BODY, [SECRET])]
    if vendor != "freshdesk":
        refused.append((sent, BODY + b" ", [SECRET]))
    for headers, body, secrets in refused:
        with pytest.raises(NotSignedIn):
            preset.verify(secrets, headers, body, NOW)


@pytest.mark.parametrize("vendor", sorted(set(VENDORS) - UNDATED))
def test_what_is_dated_grows_stale(vendor: str) -> None:
    with pytest.raises(NotSignedIn) as refusal:
        PRESETS[vendor].verify([SECRET], VENDORS[vendor](), BODY, NOW + 301)
    assert refusal.value.code == "stale-timestamp"


def test_standard_webhooks_are_verified_as_their_own_library_signs_them() -> None:
    preset, moment = PRESETS["standard-webhooks"], datetime.fromtimestamp(NOW, UTC)
    signature = Webhook(WEBHOOKS_SECRET).sign("msg_1", moment, BODY.decode())
    sent = {"webhook-id": "msg_1", "webhook-timestamp": f"{NOW}", "webhook-signature": f"v1,bm90aGluZw== {signature}"}
    assert preset.verify([WEBHOOKS_SECRET.encode()], sent, BODY, NOW)[1] == "id:msg_1"
    for change in ({"webhook-id": "msg_2"}, {"webhook-timestamp": f"{NOW + 1}"}):
        with pytest.raises(NotSignedIn):
            preset.verify([WEBHOOKS_SECRET.encode()], sent | change, BODY, NOW)


def test_a_vendor_that_signs_otherwise_is_described_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "desks.toml"
    path.write_text("""
[helpdesks.a]
secrets = ["A"]
signature = "zendesk"
ticket = { id = "id" }
[helpdesks.b]
secrets = ["A"]
tolerance_s = 60
ticket = { id = "id" }
[helpdesks.b.signature]
preset = "github"
algorithm = "sha512"
signature = "X-Other"
prefix = ""
""")
    read = load_helpdesks(path, {"A": SECRET.decode()})
    assert read["a"].signature == PRESETS["zendesk"]
    sent = {"x-other": hmac.new(SECRET, BODY, hashlib.sha512).hexdigest()}
    assert read["b"].signature.verify([SECRET], sent, BODY, NOW) and read["b"].signature.tolerance_s == 60


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ('signature = "zendusk"', "no such preset; presets: chatwoot"),
        ('[helpdesks.a.signature]\npreset = "zammad"\nsigned = "timestamp+body"', "name the header that carries it"),
        ('[helpdesks.a.signature]\nalgorithm = "md5"', "helpdesks|signature"),
        ('signature = "standard-webhooks"', "this signature's secrets are base64"),
    ],
)
def test_a_signature_that_makes_no_sense_is_refused_before_the_start(tmp_path: Path, table: str, message: str) -> None:
    path = tmp_path / "desks.toml"
    path.write_text(f'[helpdesks.a]\nsecrets = ["A"]\nticket = {{ id = "id" }}\n{table}\n')
    with pytest.raises(InvalidRequest, match=message):
        load_helpdesks(path, {"A": SECRET.decode()})
