"""Calls that leave the service: only to hosts on a list, resolved once and never elsewhere (against SSRF), bounded."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any
from urllib.parse import urlsplit

import httpx

from api.http.exceptions import NotAllowed

MOST_BYTES = 16 << 20
"""Size of an answer, in bytes, beyond which it is not read: a page of 100 issues with long texts has a few MB."""
_HOLD_IPV4 = tuple(map(ipaddress.IPv6Network, ("64:ff9b::/96", "::/96", "::ffff:0:0:0/96")))
"""NAT64, IPv4-compatible and IPv4-translated addresses: the last 32 bits are an IPv4 address."""
_NEVER = tuple(map(ipaddress.ip_network, ("64:ff9b:1::/48", "192.88.99.0/24", "3fff::/20", "5f00::/16")))
"""Networks that calls never reach, whether private ones are allowed or not and whatever Python's tables say of them:
NAT64 of one's own network (RFC 8215: where in it the IPv4 address stands, only that network knows), relays of 6to4
(RFC 7526, given up), documentation (RFC 9637) and segments of routers (RFC 9602)."""


class AnswerTooLarge(Exception):
    """An answer is larger than anything that is asked for."""


@dataclass(frozen=True)
class GuardedClient:
    """Where calls may go.

    Attributes:
        hosts: Hosts, with their port where it is not the usual one of the scheme.
        loopback: Whether a host may be this machine; only then is ``http`` taken.
        private: Whether a host may be in a private network.
    """

    hosts: frozenset[str]
    loopback: bool = False
    private: bool = False

    def call(self, method: str, url: str, *, timeout_s: float, headers: dict[str, str], json: Any) -> httpx.Response:
        """Send a request to an address that was checked, and return the answer; redirects are not followed.

        The name is resolved once and the connection goes to that very address, so that a name cannot point elsewhere
        between the check and the call. Needs a thread without an event loop.

        Args:
            method: HTTP method; of the answer to anything but GET the status says it all, and a body beyond
                `MOST_BYTES` is left unread.
            url: Where to.
            timeout_s: Time for the whole call, however slowly the answer comes, in seconds.
            headers: Headers of the request.
            json: Its body; None for none.

        Raises:
            NotAllowed: The URL leads where no call may go.
            AnswerTooLarge: What was asked for is larger than `MOST_BYTES`.
            httpx.HTTPError: The call failed, or took too long.
        """
        address = self.resolve(url)
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
        host = f"[{address}]" if ":" in address else address
        pinned = parts._replace(netloc=f"{host}{port}").geturl()
        sent = {"Accept-Encoding": "identity", **headers, "Host": parts.netloc}
        extensions = {"sni_hostname": parts.hostname or ""} if parts.scheme == "https" else {}
        request = httpx.Request(method, pinned, headers=sent, json=json, extensions=extensions)
        return asyncio.run(_answer_of(request, timeout_s))

    def resolve(self, url: str) -> str:
        """Return the address that a URL's host has now, if calls may go there.

        Raises:
            NotAllowed: They may not, or there is no such host.
        """
        try:
            parts = urlsplit(url)
            port = parts.port or (443 if parts.scheme == "https" else 80)
        except ValueError as error:
            raise _refused("it is no URL") from error
        if parts.scheme != "https" and not (parts.scheme == "http" and self.loopback):
            raise _refused("only https is taken, or http to this machine")
        if (
            parts.username is not None
            or parts.password is not None
            or parts.netloc not in self.hosts
            or not parts.hostname
        ):
            raise _refused("the host is not on the list")
        try:
            found = socket.getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise ConnectionError("the host has no address") from error
        addresses = [str(entry[4][0]) for entry in found]
        self._check(addresses, plain=parts.scheme == "http")
        return addresses[0]

    def _check(self, addresses: Iterable[str], plain: bool) -> None:
        for address in addresses:
            ip = reached(address)
            if any(ip in network for network in _NEVER) or (isinstance(ip, ipaddress.IPv6Address) and ip.is_site_local):
                raise _refused("the host is on a network that calls must not reach")
            if ip.is_loopback and self.loopback:
                continue
            if plain:
                raise _refused("http is only taken to this machine")
            if ip.is_global and not _is_special(ip):
                continue
            if not (self.private and ip.is_private and not _is_special(ip)):
                raise _refused("the host is on a network that calls must not reach")


@cache
def _authorities() -> ssl.SSLContext:
    """Return whom calls trust: to read all their certificates takes longer than most calls, so it is done once."""
    return httpx.create_ssl_context(trust_env=False)


async def _answer_of(request: httpx.Request, timeout_s: float) -> httpx.Response:
    """Send a request and read the answer, within a time for both.

    A timeout of a client is one for each read, so that an answer that drips would hold it for as long as it likes.
    """
    trusted = _authorities() if request.url.scheme == "https" else False
    try:
        async with (
            asyncio.timeout(timeout_s),
            httpx.AsyncClient(verify=trusted, follow_redirects=False, trust_env=False, timeout=None) as client,
        ):
            answer = await client.send(request, stream=True)
            content = bytearray()
            async for part in answer.aiter_bytes():
                content += part
                if len(content) > MOST_BYTES:
                    break
            await answer.aclose()
    except TimeoutError as error:
        raise httpx.ReadTimeout(f"no whole answer within {timeout_s:g} s", request=request) from error
    if len(content) > MOST_BYTES and request.method == "GET":
        raise AnswerTooLarge(f"the answer has more than {MOST_BYTES >> 20} MB")
    answer.headers.pop("content-encoding", None)
    return httpx.Response(answer.status_code, headers=answer.headers, content=bytes(content), request=request)


def reached(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """Return the address that packets end up at: IPv6 addresses that stand for an IPv4 one lead to that.

    Mapped (RFC 4291), IPv4-compatible (RFC 4291, given up), IPv4-translated (RFC 2765), NAT64 (RFC 6052), 6to4
    (RFC 3056) and Teredo (RFC 4380) addresses hold an IPv4 address that a gateway on the way may take out of them.

    Example:
        >>> [str(reached(one)) for one in ("64:ff9b::7f00:1", "2002:a9fe:a9fe::1", "::10.0.0.1", "2606:4700::1")]
        ['127.0.0.1', '169.254.169.254', '10.0.0.1', '2606:4700::1']
        >>> str(reached("::ffff:0:10.0.0.1"))
        '10.0.0.1'
    """
    ip = ipaddress.ip_address(address.split("%")[0])
    if isinstance(ip, ipaddress.IPv4Address):
        return ip
    if ip.ipv4_mapped is not None:
        return ip.ipv4_mapped
    if ip.sixtofour is not None:
        return ip.sixtofour
    if ip.teredo is not None:
        return ip.teredo[1]
    holds_ipv4 = any(ip in network for network in _HOLD_IPV4) and not (ip.is_loopback or ip.is_unspecified)
    return ipaddress.IPv4Address(int(ip) & 0xFFFF_FFFF) if holds_ipv4 else ip


def _is_special(ip: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    return ip.is_loopback or ip.is_link_local or ip.is_multicast or ip.is_unspecified or ip.is_reserved


def _refused(why: str) -> NotAllowed:
    return NotAllowed(
        "egress-refused", f"the call may not leave: {why}; see [helpdesks.NAME.update] hosts, loopback and private"
    )
