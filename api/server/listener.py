"""Letting connections in on a socket that several processes share, as many into one as into another."""

from __future__ import annotations

import asyncio
import errno
import mmap
import os
import socket
from collections.abc import Callable

import structlog

_BACKLOG = 512
_ROUND = 64
"""Most connections that are let in before the event loop turns to whatever else there is to do."""
_PAUSE_S = 0.001
"""How long a process that is ahead of another leaves new connections to it, in seconds: an idle one wakes in less."""
_RECOVERY_S = 1.0
"""How long nobody is let in where the system has no file or memory for another connection, in seconds."""
_EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_LEEWAY, _PARTS = 2, 8
"""A process may be ahead by so many connections, or by this part of what it has."""
_NOT_SERVING = -1
_BYTES = 4
_NUMBERS = 2
"""Numbers a process: its connections, and how often its event loop has come round."""
_MOST_BEATS = 1 << 30
"""After so many it is counted anew."""
log = structlog.get_logger(__name__)


class ConnectionCounts:
    """How many connections each of several processes holds, and that it goes on: numbers in memory that all share.

    Args:
        descriptor: Of an open file of their own, which the processes inherit.
        processes: How many there are.

    Raises:
        OSError: If there is no room for the numbers.
    """

    def __init__(self, descriptor: int, processes: int) -> None:
        size = processes * _NUMBERS * _BYTES
        have = os.fstat(descriptor).st_size
        if have < size:  # written, as a full disk ends a process that touches what has no place there yet
            os.pwrite(descriptor, bytes(size - have), have)
        numbers = memoryview(mmap.mmap(descriptor, size)).cast("i")
        self._counts, self._beats = numbers[:processes], numbers[processes:]

    def clear(self, place: int) -> None:
        """Note that the process in a place does not serve."""
        self._counts[place] = _NOT_SERVING

    def beat(self, place: int) -> int | None:
        """Return a number that changes as long as the process in a place goes on; None where it does not serve."""
        return None if self._counts[place] == _NOT_SERVING else self._beats[place]

    def share(self, place: int) -> ConnectionShare:
        """Return what the process in a place keeps account by."""
        return ConnectionShare(self._counts, self._beats, place)


class ConnectionShare:
    """The connections of this process, beside what others have.

    Args:
        counts: By process, as `ConnectionCounts` keeps them; by default there is no other process.
        beats: By process, likewise.
        place: Of this process.
    """

    def __init__(self, counts: memoryview | None = None, beats: memoryview | None = None, place: int = 0) -> None:
        self._counts = memoryview(bytearray(_BYTES)).cast("i") if counts is None else counts
        self._beats = memoryview(bytearray(_BYTES)).cast("i") if beats is None else beats
        self._place = place
        self._open = 0
        self._serves = False

    def beat(self) -> None:
        """Note that the event loop has come round."""
        self._beats[self._place] = (self._beats[self._place] + 1) % _MOST_BEATS

    def serve(self, serves: bool) -> None:
        """Note whether connections are let in: no other process waits for one that lets in none."""
        self._serves = serves
        self._tell()

    def enter(self) -> None:
        """Count a connection that was let in."""
        self._open += 1
        self._tell()

    def leave(self) -> None:
        """Count off a connection that is closed."""
        self._open -= 1
        self._tell()

    def _tell(self) -> None:
        self._counts[self._place] = self._open if self._serves else _NOT_SERVING

    @property
    def is_ahead(self) -> bool:
        """Whether another process that serves has clearly fewer connections."""
        others = [count for place, count in enumerate(self._counts) if place != self._place and count != _NOT_SERVING]
        return bool(others) and self._open > min(others) + self.part

    @property
    def part(self) -> int:
        """A part of this process's connections: so many more or fewer make no difference."""
        return max(_LEEWAY, self._open // _PARTS)


class Listener:
    """Lets connections in, and leaves them to another process for a moment where that one has fewer.

    By itself the process that wakes first lets in everybody who waits, and sixty clients that connect together are
    served by it alone for as long as they stay connected.

    Args:
        sock: Bound, and not blocking.
        protocol: Makes the protocol of a connection.
        share: Keeps account of this process's connections; whoever makes the protocol counts off what is closed.
    """

    def __init__(self, sock: socket.socket, protocol: Callable[[], asyncio.Protocol], share: ConnectionShare) -> None:
        self._sock = sock
        self._protocol = protocol
        self._share = share
        self._loop = asyncio.get_running_loop()
        self._pause: asyncio.TimerHandle | None = None
        self._connecting: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        """Begin to let in."""
        self._share.serve(True)
        self._sock.listen(_BACKLOG)
        self._loop.add_reader(self._sock, self._on_waiting)

    def close(self) -> None:
        """Let nobody in any more; the socket stays open."""
        self._share.serve(False)
        self._loop.remove_reader(self._sock)
        if self._pause is not None:
            self._pause.cancel()

    def _on_waiting(self) -> None:
        for _ in range(_ROUND):
            if self._share.is_ahead:
                self._rest(_PAUSE_S)
                return
            if not self._let_in():
                return

    def _rest(self, seconds: float) -> None:
        self._loop.remove_reader(self._sock)
        self._pause = self._loop.call_later(seconds, self._resume)

    def _resume(self) -> None:
        """Let some in, whoever is ahead: the others had their time, and nobody waits for a process that is stuck."""
        self._loop.add_reader(self._sock, self._on_waiting)
        if all(self._let_in() for _ in range(self._share.part)):
            self._on_waiting()

    def _let_in(self) -> bool:
        """Let one in; say whether there was one."""
        try:
            connection, _ = self._sock.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return False
        except OSError as error:
            if error.errno not in _EXHAUSTED:
                raise
            log.error("no_more_connections", problem=errno.errorcode[error.errno])
            self._rest(_RECOVERY_S)
            return False
        connection.setblocking(False)
        self._share.enter()
        task = self._loop.create_task(self._connect(connection))
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)
        return True

    async def _connect(self, connection: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(self._protocol, connection)
        except OSError:  # it was closed meanwhile
            self._share.leave()
            connection.close()
