"""The address that the service listens on: taken before anything is loaded, and told to whoever started it."""

from __future__ import annotations

import socket
import sys
import time

from api.server.shared_folder import is_left_behind
from triage.errors import InvalidRequest

_PAUSE_S = 0.2
_LAST_S = 2.0
"""How long workers that have left the address are waited for, in seconds, so that what they leave can be removed."""


def bind(host: str, port: int) -> socket.socket:
    """Take an address; nobody can connect before a server listens on it.

    Raises:
        InvalidRequest: If it is occupied or not this machine's.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        sock = socket.socket(family, kind, protocol)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
    except OSError as error:
        raise InvalidRequest(
            f"cannot listen on {host}:{port}: {error.strerror or error}; stop what holds it, or state another --port"
        ) from error
    sock.setblocking(False)
    sock.set_inheritable(True)
    return sock


def bind_after_the_last(host: str, port: int, patience_s: float) -> socket.socket:
    """Take an address as `bind` does, and wait while only workers hold it whose supervisor was killed: they soon end.

    Args:
        host: The address.
        port: The port.
        patience_s: How long they are waited for, in seconds.

    Raises:
        InvalidRequest: If something else holds it, or they do for longer than that.
    """
    deadline, told = time.monotonic() + patience_s, False
    while True:
        may_wait = is_left_behind(port) and time.monotonic() < deadline
        try:
            sock = bind(host, port)
            break
        except InvalidRequest:
            if not may_wait:
                raise
        if not told:
            sys.stderr.write(
                f"triage serve: workers whose supervisor was killed still answer on {host}:{port}; "
                f"waiting up to {patience_s:.0f} s for them to end\n"
            )
            told = True
        time.sleep(_PAUSE_S)
    ends = time.monotonic() + _LAST_S
    while told and time.monotonic() < ends and is_left_behind(port):
        time.sleep(_PAUSE_S)
    return sock


def announce(sock: socket.socket) -> None:
    """Say on stdout where the service is."""
    host, port = sock.getsockname()[:2]
    where = f"http://{f'[{host}]' if ':' in host else host}:{port}/"
    sys.stdout.write(f"triage serves on {where} (API documentation: {where}docs; stop with Ctrl-C)\n")
    sys.stdout.flush()
