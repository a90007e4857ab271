"""What people and the log are told of a provider that is down, broken, has new keys or says what does not hold."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
from joserfc import jws
from joserfc.jwk import ECKey, RSAKey
from structlog.testing import capture_logs

from api.app import create_app
from api.security import openid
from api.security.auth import COOKIE
from api.settings import load_settings
from api.store.people.users import Rights
from triage.errors import InvalidRequest

from ...conftest import free_port
from ..local_client import TestClient
from .conftest import store_of

HTML = {"Accept": "text/html"}
BRAINPOOL = {"kty": "EC", "kid": "other", "crv": "brainpoolP256r1", "x": "AAAA", "y": "AAAA"}


def a_key(kid: str) -> RSAKey:
    return RSAKey.generate_key(2048, {"kid": kid})


def signed_with(key: Any, claims: dict[str, Any]) -> str:
    header = {"alg": "RS256" if key.key_type == "RSA" else "ES256", "kid": key.kid}
    return jws.serialize_compact(header, json.dumps(claims).encode(), key)


class Provider(ThreadingHTTPServer):
    """A provider on loopback; a test changes what it says."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.key: Any = a_key("first")
        self.others: list[Any] = []
        self.claims: dict[str, Any] = {"preferred_username": "anna"}
        self.about: dict[str, Any] = {}
        self.token: Callable[[Provider, _Answers], None] = lambda provider, answers: answers.say(provider.granted())
        self.sign: Callable[[dict[str, Any]], str] = lambda claims: signed_with(self.key, claims)
        self.nonce, self.asked = "", 0

    def says(self, path: str) -> dict[str, Any] | None:
        self.asked += 1
        ends = {"authorization_endpoint": "/auth", "token_endpoint": "/token", "jwks_uri": "/jwks"}
        about = {"issuer": self.url, **{name: self.url + end for name, end in ends.items()}, **self.about}
        keys = [*self.others, self.key.as_dict(private=False)]
        return {"/.well-known/openid-configuration": about, "/jwks": {"keys": keys}}.get(path)

    def granted(self) -> dict[str, str]:
        now = int(time.time())
        claims = {"iss": self.url, "aud": "triage", "sub": "s-1", "exp": now + 60, "iat": now, "nonce": self.nonce}
        said = {name: value for name, value in {**claims, **self.claims}.items() if value is not None}
        return {"access_token": "at", "token_type": "Bearer", "id_token": self.sign(said)}


class _Answers(BaseHTTPRequestHandler):
    server: Provider

    def do_GET(self) -> None:
        said = self.server.says(self.path)
        self.say(said or {}, 200 if said else 404)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.server.token(self.server, self)

    def say(self, what: Any, status: int = 200) -> None:
        body = what if isinstance(what, bytes) else json.dumps(what).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def hang_up(self) -> None:
        self.close_connection = True

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def provider() -> Iterator[Provider]:
    server = Provider()
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def serve(tmp_path: Path, provider: Provider) -> Iterator[Callable[..., TestClient]]:
    """Start the service, with an account for anna."""
    running: list[TestClient] = []

    def start(**settings: Any) -> TestClient:
        stated = {"home": tmp_path, "rules_only": True, "oidc_issuer": provider.url, "oidc_client_id": "triage"}
        app = create_app(load_settings(**{**stated, **settings}))
        running.append(TestClient(app, raise_server_exceptions=False, follow_redirects=False))
        running[-1].__enter__()
        store_of(running[-1]).add_user("anna", Rights(["lead"], 2), None)
        return running[-1]

    yield start
    for client in running:
        client.__exit__(None, None, None)


def come_back(client: TestClient, provider: Provider, **said: str | None) -> Any:
    """Go to the provider and come back with what it says: a code, unless the test says otherwise."""
    away = client.get("/sign-in/openid", headers=HTML)
    assert away.status_code == 303, away.text
    asked = dict(parse_qsl(urlsplit(away.headers["location"]).query))
    provider.nonce = asked["nonce"]
    answer = {"code": "a-code-that-is-secret", "state": asked["state"], **said}
    query = urlencode({name: value for name, value in answer.items() if value is not None})
    return client.get(f"/sign-in/openid/back?{query}", headers=HTML)


def problem_on(page: Any) -> str:
    found = re.search(r'role="alert"[^>]*>(.*?)</', page.text, re.DOTALL)
    assert found is not None and 'class="' in page.text, page.text
    return " ".join(found[1].split())


def is_in(client: TestClient) -> bool:
    return COOKIE in client.cookies and client.get("/v1/users").status_code == 200


def hangs(provider: Provider, answers: _Answers) -> None:
    time.sleep(1)
    answers.hang_up()


def trickles(provider: Provider, answers: _Answers) -> None:
    for _ in range(20):
        answers.wfile.write(b"HTTP/1.1 200 OK\r\n" if _ == 0 else b"X-More: 1\r\n")
        time.sleep(0.1)


@pytest.mark.parametrize(
    "token",
    [
        lambda provider, answers: answers.say({}, 500),
        lambda provider, answers: answers.say({}, 503),
        lambda provider, answers: answers.hang_up(),
        lambda provider, answers: answers.say(b"<html>hello"),
        lambda provider, answers: answers.say([1, 2]),
        lambda provider, answers: answers.say(b"[" * 100_000),
        hangs,
        trickles,
    ],
    ids=["500", "503", "hangs up", "no JSON", "a list", "deep", "hangs", "trickles"],
)
def test_a_provider_that_gives_no_token_is_said_to_be_away(
    serve: Callable[..., TestClient], provider: Provider, monkeypatch: pytest.MonkeyPatch, token: Any
) -> None:
    monkeypatch.setattr(openid, "_TIMEOUT_S", 0.5)
    monkeypatch.setattr(openid, "_PATIENCE_S", 0.8)
    client = serve()
    provider.token = token
    answer = come_back(client, provider)
    assert answer.status_code == 502 and not is_in(client)
    assert "the provider does not answer" in problem_on(answer)
    provider.token = lambda provider, answers: answers.say(provider.granted())
    assert come_back(client, provider).status_code == 200 and is_in(client)


def test_a_provider_that_is_away_is_asked_once_by_however_many_and_again_after_a_pause(
    serve: Callable[..., TestClient], provider: Provider
) -> None:
    client = serve()
    provider.about = {"jwks_uri": f"{provider.url}/away"}
    with capture_logs() as logged:
        pages = [client.get("/sign-in/openid", headers=HTML) for _ in range(5)]
    assert {page.status_code for page in pages} == {502} and len({problem_on(page) for page in pages}) == 1
    assert provider.asked == 2  # its addresses, and its keys, which are not there
    assert [entry["kind"] for entry in logged if entry["event"] == "sign_in_refused"] == ["HTTPStatusError"] * 5
    provider.about = {}
    client.app.state.access.door.openid._not_before = 0.0  # type: ignore[attr-defined]
    assert come_back(client, provider).status_code == 200 and is_in(client)


def test_whoever_asks_for_the_way_to_the_provider_costs_no_reading_of_certificates(
    serve: Callable[..., TestClient], provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = serve()

    def read(*_: Any, **__: Any) -> None:
        raise AssertionError("certificates are read once, at the start")

    monkeypatch.setattr(ssl, "create_default_context", read)
    monkeypatch.setattr(ssl.SSLContext, "load_verify_locations", read)
    assert come_back(client, provider).status_code == 200 and is_in(client)


@pytest.mark.parametrize("text", [None, "no certificate"])
def test_certificates_that_cannot_be_read_are_named_at_the_start(
    serve: Callable[..., TestClient], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str | None
) -> None:
    file = tmp_path / "certificates.pem"
    if text is not None:
        file.write_text(text)
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    with pytest.raises(InvalidRequest, match=r"SSL_CERT_FILE '.*certificates\.pem' cannot be read: "):
        serve()


def test_ways_to_the_provider_and_back_are_counted_by_address_where_nobody_is_let_in(
    serve: Callable[..., TestClient], provider: Provider
) -> None:
    client = serve(sign_in_rate="1/minute")
    for _ in range(12):
        assert come_back(client, provider).status_code == 200 and is_in(client)
    client.cookies.clear()
    assert {client.get("/sign-in/openid", headers=HTML).status_code for _ in range(10)} == {303}
    refused = client.get("/sign-in/openid", headers=HTML)
    assert refused.status_code == 429 and "too many attempts" in problem_on(refused)
    attempt = {"Cookie": "triage_openid=state.nonce.verifier"}
    assert client.get("/sign-in/openid/back?state=state&code=x", headers={**HTML, **attempt}).status_code == 429


def test_a_token_endpoint_at_which_nobody_listens_is_said_to_be_away(
    serve: Callable[..., TestClient], provider: Provider
) -> None:
    client = serve()
    provider.about = {"token_endpoint": f"http://127.0.0.1:{free_port()}/token"}
    answer = come_back(client, provider)
    assert answer.status_code == 502 and "the provider does not answer" in problem_on(answer)


@pytest.mark.parametrize(
    ("about", "told"),
    [
        ({"authorization_endpoint": None}, "without TLS or none at all"),
        ({"token_endpoint": 5}, "does not answer"),
        ({"jwks_uri": "https://127.0.0.1:99999/jwks"}, "without TLS"),
        ({"jwks_uri": "http://localhost.evil.example/jwks"}, "without TLS"),
        ({"authorization_endpoint": "javascript://localhost/%0Aalert(1)"}, "without TLS"),
        ({"issuer": "https://other.example"}, "calls itself otherwise"),
    ],
)
def test_a_provider_that_says_nonsense_of_itself_is_refused(
    serve: Callable[..., TestClient], provider: Provider, about: dict[str, Any], told: str
) -> None:
    provider.about = about
    answer = serve().get("/sign-in/openid", headers=HTML)
    assert answer.status_code in (200, 502) and told in problem_on(answer)


@pytest.mark.parametrize("kid", ["second", "first"], ids=["another id", "the same id"])
def test_the_first_sign_in_after_the_keys_were_renewed_holds(
    serve: Callable[..., TestClient], provider: Provider, kid: str
) -> None:
    client = serve()
    assert come_back(client, provider).status_code == 200 and is_in(client)
    asked = provider.asked
    assert come_back(client, provider).status_code == 200 and provider.asked == asked
    client.cookies.clear()
    provider.key = a_key(kid)
    come_back(client, provider)
    assert is_in(client) and provider.asked == asked + 2


def test_keys_that_cannot_be_read_are_left_out(serve: Callable[..., TestClient], provider: Provider) -> None:
    broken = [BRAINPOOL, {"kty": "OKP", "crv": "Ed9", "x": "AA"}, {"kty": ["RSA"]}, {}, None, {"kty": "AKP", "pub": ""}]
    provider.others, provider.key = broken, ECKey.generate_key("P-256", {"kid": "read"})
    client = serve()
    come_back(client, provider)
    assert is_in(client)


def test_a_provider_without_a_key_that_can_be_read_does_not_answer(
    serve: Callable[..., TestClient], provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provider, "says", lambda path, says=provider.says: {**says(path), "keys": [BRAINPOOL]})
    assert serve().get("/sign-in/openid", headers=HTML).status_code == 502


def b64(part: bytes) -> str:
    return base64.urlsafe_b64encode(part).rstrip(b"=").decode()


def by_hand(header: dict[str, Any], claims: dict[str, Any], secret: bytes | None) -> str:
    signed = f"{b64(json.dumps(header).encode())}.{b64(json.dumps(claims).encode())}"
    mac = hmac.new(secret, signed.encode(), hashlib.sha256).digest() if secret is not None else b""
    return f"{signed}.{b64(mac)}"


@pytest.mark.parametrize("kid", [{"kid": "first"}, {}], ids=["with the key's id", "without"])
@pytest.mark.parametrize("form", ["PEM", "DER", "JWK", "none"])
def test_a_token_signed_with_the_public_key_as_a_secret_or_not_at_all_is_refused(
    serve: Callable[..., TestClient], provider: Provider, form: str, kid: dict[str, str]
) -> None:
    client, key = serve(), provider.key
    public = json.dumps(key.as_dict(private=False)).encode()
    secret = {"PEM": key.as_pem(private=False), "DER": key.as_der(private=False), "JWK": public}.get(form)
    algorithm = "none" if form == "none" else "HS256"
    provider.sign = lambda claims: by_hand({"alg": algorithm, **kid}, claims, secret)
    with capture_logs() as logged:
        answer = come_back(client, provider)
    assert "does not hold" in problem_on(answer) and COOKIE not in client.cookies
    assert [entry["kind"] for entry in logged if entry["event"] == "sign_in_refused"] == ["unsupported_algorithm"]


def forged(provider: Provider) -> None:
    evil = a_key("first")
    provider.sign = lambda claims: signed_with(evil, claims)


@pytest.mark.parametrize(
    ("spoil", "said", "kind", "told"),
    [
        (forged, {}, "bad_signature", "does not hold (bad_signature): begin again"),
        ({"nonce": "x"}, {}, "invalid_claim nonce", "does not hold"),
        ({"nonce": None}, {}, "missing_claim nonce", "does not hold"),
        ({"aud": "other"}, {}, "invalid_claim aud", "does not hold"),
        ({"iss": "https://evil.example"}, {}, "invalid_claim iss", "does not hold"),
        ({"exp": 1}, {}, "expired_token exp", "does not hold"),
        ({"sub": ["s-1"]}, {}, "invalid_claim sub", "provider"),
        ({"sub": "s\0"}, {}, "invalid_claim sub", "provider"),
        ({"sub": "s" * 256}, {}, "invalid_claim sub", "provider"),
        ({"preferred_username": None}, {}, "no_name", "says nothing of preferred_username"),
        ({}, {"state": "of-another"}, "mismatching_state", "begin again"),
        ({}, {"state": None}, "mismatching_state", "begin again"),
        ({}, {"code": None}, "missing_code", "holds no code"),
        ({}, {"code": None, "error": "access_denied"}, "refused access_denied", "did not let you in (access_denied)"),
        ({}, {"error": "<b>a-code-that-is-secret"}, "refused an error without a name", "did not let you in (an error"),
    ],
)  # fmt: skip
def test_a_refused_sign_in_is_logged_with_its_kind_and_no_secret(
    serve: Callable[..., TestClient], provider: Provider, spoil: Any, said: dict[str, Any], kind: str, told: str
) -> None:
    client = serve()
    if callable(spoil):
        spoil(provider)
    else:
        provider.claims |= spoil
    with capture_logs() as logged:
        answer = come_back(client, provider, **said)
    assert answer.status_code == 200 and told in problem_on(answer) and COOKIE not in client.cookies
    [entry] = [entry for entry in logged if entry["event"] == "sign_in_refused"]
    assert (entry["how"], entry["kind"], entry["log_level"]) == ("openid", kind, "warning")
    assert not {"secret", "eyJ", provider.nonce} & set(re.findall(r"secret|eyJ|[\w-]{43}", json.dumps(logged)))


def test_a_code_that_the_provider_refuses_is_logged_with_its_code(
    serve: Callable[..., TestClient], provider: Provider
) -> None:
    client = serve()
    come_back(client, provider)
    asked = provider.asked
    provider.token = lambda provider, answers: answers.say({"error": "invalid_grant"}, 400)
    with capture_logs() as logged:
        answer = come_back(client, provider)
    assert "(invalid_grant)" in problem_on(answer)
    assert [entry["kind"] for entry in logged if entry["event"] == "sign_in_refused"] == ["invalid_grant"]
    assert provider.asked == asked  # a made-up code does not make the service ask for addresses and keys anew


def test_a_sign_in_with_a_key_that_is_not_known_is_logged(serve: Callable[..., TestClient], tmp_path: Path) -> None:
    app = create_app(load_settings(home=tmp_path / "without", rules_only=True))
    with TestClient(app) as client, capture_logs() as logged:
        client.post("/sign-in", data={"key": "trg_unknown_key"}, headers=HTML)
    assert [(entry["how"], entry["kind"]) for entry in logged if entry["event"] == "sign_in_refused"] == [
        ("key", "unknown-key")
    ]


@pytest.mark.parametrize(
    ("name", "account"),
    [
        ("A" * 500, "A" * 100),
        ("Eve\0\nof\tIT ", "Eve of IT"),
        ("Eve\u202e\ud800", "Eve"),
        ("   ", "s-1"),
        ("\0", "s-1"),
        ("anna\0", "s-1"),
        ("guest#EXT#/example", "guest#EXT#/example"),
    ],
    ids=["long", "unprintable", "surrogate", "blank", "nothing", "of somebody else", "of a guest"],
)
def test_a_name_that_no_account_may_have_is_cleaned_for_a_new_one(
    serve: Callable[..., TestClient], provider: Provider, name: str, account: str
) -> None:
    client = serve(oidc_new_role="agent")
    provider.claims = {"preferred_username": name}
    for _ in range(2):
        assert come_back(client, provider).status_code == 200 and COOKIE in client.cookies
        [session] = store_of(client).sessions()
        assert session.agent == account
    assert sorted(user.name for user in store_of(client).users()) == sorted(["anna", account])


def test_a_cleaned_name_opens_nobody_elses_account(serve: Callable[..., TestClient], provider: Provider) -> None:
    client = serve(oidc_new_role="agent")
    provider.claims = {"preferred_username": "anna\0", "sub": "ANNA"}
    assert "no account for you" in problem_on(come_back(client, provider))
    refusing = serve(home=client.app.state.parts.service.settings.home / "other")  # type: ignore[attr-defined]
    assert "no account for you" in problem_on(come_back(refusing, provider))


@pytest.mark.parametrize(
    "issuer",
    [
        "http://127.0.0.1.evil.example",
        "http://localhost.evil.example/x",
        "http://127.0.0.1@evil.example",
        "http://127.0.0.1:80@evil.example",
        "http://localhost\\@evil.example",
        "http://localhostevil.example",
        "http://login.example",
        "http://",
        "https://",
        "https://login.example:port",
        "https://anna@login.example",
        "file:///etc/passwd",
        "login.example",
    ],
)
def test_an_issuer_without_tls_on_another_machine_is_refused_at_the_start(tmp_path: Path, issuer: str) -> None:
    with pytest.raises(InvalidRequest, match="TRIAGE_OIDC_ISSUER"):
        load_settings(home=tmp_path, oidc_issuer=issuer, oidc_client_id="triage")


@pytest.mark.parametrize(
    "issuer", ["https://login.example/realms/desk", "http://127.0.0.1:8080/x", "http://localhost", "http://[::1]:8080"]
)
def test_an_issuer_with_tls_or_on_this_machine_is_taken(tmp_path: Path, issuer: str) -> None:
    assert load_settings(home=tmp_path, oidc_issuer=issuer, oidc_client_id="triage").oidc_issuer == issuer
