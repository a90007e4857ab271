"""How connections are let in: evenly among processes, and again after the system had no more files."""

from __future__ import annotations

import select
import socket
import subprocess
import sys
import tempfile
from contextlib import ExitStack

from api.server.listener import ConnectionCounts

_CLIENTS = 8
_SERVER = """
import asyncio, resource, socket
from api.server.listener import ConnectionShare, Listener

class Echo(asyncio.Protocol):
    def connection_made(self, transport): self.transport = transport
    def data_received(self, data): self.transport.write(data)
    def connection_lost(self, error): share.leave()

async def main():
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    sock.setblocking(False)
    Listener(sock, Echo, share).start()
    resource.setrlimit(resource.RLIMIT_NOFILE, (sock.fileno() + 4, 64))
    print(sock.getsockname()[1], flush=True)
    await asyncio.sleep(60)

share = ConnectionShare()
asyncio.run(main())
"""


def test_a_process_is_ahead_of_those_that_serve() -> None:
    with tempfile.TemporaryFile() as file:
        counts = ConnectionCounts(file.fileno(), 3)
        for place in range(3):
            counts.clear(place)
        first, second = counts.share(0), ConnectionCounts(file.fileno(), 3).share(1)
    first.serve(True)
    for _ in range(20):
        first.enter()
    assert not first.is_ahead  # nobody else serves
    second.serve(True)
    assert first.is_ahead and not second.is_ahead
    for _ in range(18):
        second.enter()
    assert not first.is_ahead and not second.is_ahead  # two more or fewer make no difference
    for _ in range(4):
        first.leave()
    assert not second.is_ahead
    first.leave()
    assert second.is_ahead
    first.serve(False)
    assert not second.is_ahead
    first.leave()
    assert not second.is_ahead  # what closes later changes nothing
    first.serve(True)
    second.serve(False)
    counts.clear(0)
    assert not second.is_ahead  # the process ended


def test_connections_are_let_in_again_once_there_are_files() -> None:
    server = subprocess.Popen([sys.executable, "-c", _SERVER], stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        port = int(server.stdout.readline())
        with ExitStack() as held:
            clients = [
                held.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10)) for _ in range(_CLIENTS)
            ]
            for client in clients:
                client.sendall(b"hello")
            answered = [select.select([client], [], [], 0.2)[0] != [] for client in clients]
            assert 0 < sum(answered) < _CLIENTS  # the others wait for a file
            for client in clients:  # each that closes makes room for another
                assert client.recv(5) == b"hello"
                client.close()
    finally:
        server.kill()
        server.communicate()
