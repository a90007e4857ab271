"""Calls leave only to hosts on the list, and never to where only this machine or this network should reach."""

from __future__ import annotations

import http.server
import ssl
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from api.helpdesks import ssrf_guard
from api.helpdesks.ssrf_guard import AnswerTooLarge, GuardedClient
from api.http.exceptions import NotAllowed


class Listener(http.server.BaseHTTPRequestHandler):
    """Counts who comes, and sends whoever asks for it elsewhere."""

    seen: list[str]

    def do_PUT(self) -> None:
        self.seen.append(self.path)
        self.send_response(302 if self.path == "/away" else 200)
        self.send_header("Location", "/elsewhere")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        for _ in range(40 if self.path == "/large" else 1):
            self.wfile.write(b" " * (1 << 20))

    def log_message(self, *arguments: object) -> None:
        """Keep quiet."""


@pytest.fixture
def listener() -> Iterator[tuple[int, list[str]]]:
    """A server on loopback: its port, and the paths that were asked for."""
    seen: list[str] = []
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), type("Seen", (Listener,), {"seen": seen}))
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield server.server_address[1], seen
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A key and a certificate for the name localhost that no authority has signed, in one file."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    made = made.serial_number(1).not_valid_before(now - timedelta(1)).not_valid_after(now + timedelta(1))
    signed = made.add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), False).sign(key, SHA256())
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    own = tmp_path / "own.pem"
    own.write_bytes(signed.public_bytes(Encoding.PEM) + secret)
    return own


def test_only_certificates_of_known_authorities_for_the_very_host_are_trusted(
    certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Listener)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    named = [f"{host}:{server.server_address[1]}" for host in ("localhost", "127.0.0.1")]
    client = GuardedClient(frozenset(named), loopback=True)

    def status(host: str) -> int:
        return client.call("GET", f"https://{host}/", timeout_s=5, headers={}, json=None).status_code

    try:
        for host in named * 2:  # the second time with what was kept of the first
            with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
                status(host)
        trusting = ssl.create_default_context(cafile=certificate)
        monkeypatch.setattr(ssrf_guard, "_authorities", lambda: trusting)
        assert status(named[0]) == 200
        with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            status(named[1])
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


EVIL = (
    "https://127.0.0.1:{port}/",
    "https://localhost:{port}/",
    "http://127.0.0.1:{port}/",
    "https://[::1]:{port}/",
    "https://[::ffff:127.0.0.1]:{port}/",
    "https://2130706433:{port}/",
    "https://0x7f.1:{port}/",
    "https://0177.0.0.1:{port}/",
    "https://127.1:{port}/",
    "https://0.0.0.0:{port}/",
    "https://169.254.169.254/latest/meta-data/",
    "https://10.0.0.1/",
    "https://192.168.1.1/",
    "https://[fe80::1]/",
    "https://[fd00::1]/",
    "https://224.0.0.1/",
    "https://user:password@127.0.0.1:{port}/",
    "file:///etc/passwd",
    "gopher://127.0.0.1:{port}/",
    "//127.0.0.1:{port}/",
    "https://",
    "https://[",
    "https://desk.example.org.evil.example/",
)


@pytest.mark.parametrize("url", EVIL)
def test_nothing_is_called_that_must_not_be(url: str, listener: tuple[int, list[str]]) -> None:
    port, seen = listener
    url = url.format(port=port)
    host = url.split("/")[2].split("@")[-1] if url.count("/") > 1 else ""
    for hosts in (frozenset({"desk.example.org"}), frozenset({host})):
        if hosts == {"desk.example.org.evil.example"}:
            continue
        with pytest.raises((NotAllowed, OSError)):
            GuardedClient(hosts).call("GET", url, timeout_s=2, headers={}, json={})
    assert seen == []


@pytest.mark.parametrize(
    "address",
    [
        *("64:ff9b::127.0.0.1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::808:808", "64:ff9b:1:7f00:0:100:808:808"),
        *("2002:7f00:1::", "2002:a9fe:a9fe::1", "2002:c0a8:101::1", "::127.0.0.1", "::169.254.169.254"),
        *("::ffff:10.0.0.1", "2001:0:4136:e378:8000:63bf:80ff:fffe", "fec0::1"),
        *("::ffff:0:127.0.0.1", "::ffff:0:a9fe:a9fe"),
    ],
)
def test_an_address_that_stands_for_one_inside_is_not_called(address: str) -> None:
    with pytest.raises(NotAllowed):
        GuardedClient(frozenset({f"[{address}]"})).resolve(f"https://[{address}]/")


@pytest.mark.parametrize("private", [False, True])
@pytest.mark.parametrize("host", ["[200::1]", "[4000::1]", "[3fff::1]", "[5f00::1]", "192.88.99.1"])
def test_an_address_of_a_reserved_network_is_not_called(host: str, private: bool) -> None:
    with pytest.raises(NotAllowed):
        GuardedClient(frozenset({host}), private=private).resolve(f"https://{host}/")


@pytest.mark.parametrize("address", ["64:ff9b::808:808", "2002:808:808::1", "2606:4700::1111"])
def test_an_address_that_stands_for_one_outside_is_called(address: str) -> None:
    assert GuardedClient(frozenset({f"[{address}]"})).resolve(f"https://[{address}]/") == address


def test_a_private_network_may_be_allowed_but_never_the_special_addresses() -> None:
    addresses = {"10.0.0.1": True, "192.168.1.1": True, "[fd00::1]": True}
    addresses |= {"127.0.0.1": False, "169.254.169.254": False, "[fe80::1]": False, "0.0.0.0": False, "[::1]": False}
    for host, allowed in addresses.items():
        egress = GuardedClient(frozenset({host}), private=True)
        if allowed:
            assert egress.resolve(f"https://{host}/") == host.strip("[]")
        else:
            with pytest.raises(NotAllowed):
                egress.resolve(f"https://{host}/")


def test_a_desk_on_this_machine_is_called_and_redirects_are_not_followed(listener: tuple[int, list[str]]) -> None:
    port, seen = listener
    egress = GuardedClient(frozenset({f"localhost:{port}"}), loopback=True)
    for path in ("/", "/away"):
        egress.call("PUT", f"http://localhost:{port}{path}", timeout_s=5, headers={}, json={})
    assert seen == ["/", "/away"]


def test_a_name_that_resolves_elsewhere_the_second_time_is_not_followed(
    listener: tuple[int, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    port, seen = listener
    answers = iter(["93.184.216.34", "127.0.0.1", "127.0.0.1"])
    monkeypatch.setattr("socket.getaddrinfo", lambda *a, **k: [(2, 1, 6, "", (next(answers), port))])
    egress = GuardedClient(frozenset({f"rebound.example:{port}"}))
    assert egress.resolve(f"https://rebound.example:{port}/") == "93.184.216.34"
    with pytest.raises(NotAllowed):
        egress.resolve(f"https://rebound.example:{port}/")
    assert seen == []


def test_one_bad_address_among_good_ones_is_enough_to_refuse(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [(2, 1, 6, "", ("93.184.216.34", 443)), (2, 1, 6, "", ("10.0.0.1", 443))]
    monkeypatch.setattr("socket.getaddrinfo", lambda *a, **k: found)
    with pytest.raises(NotAllowed):
        GuardedClient(frozenset({"desk.example"})).resolve("https://desk.example/")


def test_an_answer_that_is_too_large_is_not_read(listener: tuple[int, list[str]]) -> None:
    port, _ = listener
    egress = GuardedClient(frozenset({f"127.0.0.1:{port}"}), loopback=True)
    url = f"http://127.0.0.1:{port}/"
    assert len(egress.call("GET", url, timeout_s=20, headers={}, json=None).content) == 1 << 20
    with pytest.raises(AnswerTooLarge, match="16 MB"):
        egress.call("GET", f"{url}large", timeout_s=20, headers={}, json=None)
