"""The address that the service listens on: taken before anything is loaded, and told to whoever started it."""

from __future__ import annotations

import socket
import sys

from triage.errors import InvalidRequest


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


def announce(sock: socket.socket) -> None:
    """Say on stdout where the service is."""
    host, port = sock.getsockname()[:2]
    where = f"http://{f'[{host}]' if ':' in host else host}:{port}/"
    sys.stdout.write(f"triage serves on {where} (API documentation: {where}docs; stop with Ctrl-C)\n")
    sys.stdout.flush()
