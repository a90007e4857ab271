"""One serving process: uvicorn on a bound socket, and a stop that answers whoever was let in."""

from __future__ import annotations

import asyncio
import os
import resource
import socket
import sys
import threading
import time
from types import FrameType

import structlog
import uvicorn

from api.app import create_app
from api.scoring.service import Service
from api.server.address import announce
from api.server.listener import ConnectionShare, Listener
from api.server.signals import on_hangup
from api.server.slow_clients import slow_client_protocol
from api.settings import Settings
from api.telemetry import configure_logs

_SWITCH_S = 0.0005
"""The event loop gives the interpreter's lock away with every read and write, and waits this long to have it back."""
_LEFT_S = 4.0
"""Time after the last answer in which a process ends by itself, in seconds: a second less than its supervisor waits."""
_ADDRESS_SPACE_MB = {False: 768, True: 1536}
"""Address space of a process by rules alone and with a bundle: 660 and 1,220 MB at most when measured, and a margin."""
_LEFT_BEHIND = 1
"""Exit status of a process that had to leave a thread behind."""
log = structlog.get_logger(__name__)


class Server(uvicorn.Server):
    """uvicorn, which turns unready first, then stops letting in, then answers everybody, and exits with 0.

    Args:
        config: uvicorn's configuration.
        service: What has to turn unready.
        drain_s: How long it still lets in after it turned unready.
        share: Keeps account of its connections beside those of other processes.
        parent: Id of the supervising process, without which a worker stops; None for no supervisor.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        service: Service,
        drain_s: float,
        *,
        share: ConnectionShare,
        parent: int | None = None,
    ) -> None:
        super().__init__(config)
        self._share = share
        self._listeners: list[Listener] = []
        self._service = service
        self._drain_s = drain_s
        self._parent = parent
        self._leave_at: float | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to stop; a second signal changes nothing."""
        self._begin_to_leave()

    def _begin_to_leave(self) -> None:
        if self._leave_at is None:
            leave_within(self._drain_s + (self.config.timeout_graceful_shutdown or 0) + _LEFT_S)
            self._service.draining = True
            self._leave_at = time.monotonic() + self._drain_s

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start the application, then let in."""
        await super().startup([])
        for sock in sockets or ():
            listener = Listener(sock, self._protocol, self._share)
            listener.start()
            self._listeners.append(listener)

    def _protocol(self) -> asyncio.Protocol:
        made: asyncio.Protocol = self.config.http_protocol_class(  # type: ignore[call-arg]
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
        return made

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Let nobody in any more, and answer whoever was."""
        for listener in self._listeners:
            listener.close()
        await super().shutdown(sockets)

    async def on_tick(self, counter: int) -> bool:
        """Say whether it is time to stop letting in."""
        await super().on_tick(counter)
        self._share.beat()
        if self._parent is not None and os.getppid() != self._parent:
            self._begin_to_leave()
        return self._leave_at is not None and time.monotonic() >= self._leave_at


def leave_within(seconds: float) -> None:
    """End this process in a time, whatever its threads wait for: Python joins them first, and a disk may never answer.

    Args:
        seconds: Time that is left to end as usual.
    """

    def leave() -> None:
        time.sleep(seconds)
        log.error("left_behind", threads=[thread.name for thread in threading.enumerate() if not thread.daemon])
        os._exit(_LEFT_BEHIND)

    threading.Thread(target=leave, name="leave", daemon=True).start()


def memory_shortage(with_model: bool, limit: int) -> dict[str, int] | None:
    """Return how much address space this process may have and how much it takes, in MB; None where it has enough.

    Below that, a library that cannot get memory ends the whole process, in the middle of a request.

    Args:
        with_model: Whether it serves a bundle, not the rules alone.
        limit: The limit in bytes, as `resource.getrlimit` has it.
    """
    needed = _ADDRESS_SPACE_MB[with_model]
    if limit == resource.RLIM_INFINITY or limit >= needed << 20:
        return None
    return {"limit_mb": limit >> 20, "needed_mb": needed}


def serve_on(
    sock: socket.socket, settings: Settings, parent: int | None = None, share: ConnectionShare | None = None
) -> None:
    """Serve on a bound socket until told to stop.

    Args:
        sock: What `bind` returned, here or in the process that supervises this one.
        settings: The service's settings.
        parent: Id of the supervising process, if there is one.
        share: Keeps account of this process's connections; None where there is no other process.

    Raises:
        TriageError: If the store, the policy, the rules or the bundle that was named cannot be used.
    """
    sys.setswitchinterval(_SWITCH_S)
    app = create_app(settings)
    configure_logs(settings.log_level)
    service: Service = app.state.parts.service
    service.model.start()
    shortage = memory_shortage(service.model.is_loaded, resource.getrlimit(resource.RLIMIT_AS)[0])
    if shortage is not None:
        log.warning("memory_limit_low", **shortage, cure="raise ulimit -v, or serve by rules alone")
    if parent is None:
        announce(sock)
    share = share or ConnectionShare()
    config = uvicorn.Config(
        app,
        http=slow_client_protocol(settings, service.admission, service.metrics, share),
        ws="none",
        lifespan="on",
        loop="asyncio",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # the application reads them, and keeps the address that is really there
        timeout_keep_alive=round(settings.keep_alive_s),
        timeout_graceful_shutdown=round(settings.grace_s),
    )
    server = Server(config, service, settings.drain_s, share=share, parent=parent)
    on_hangup(server.handle_exit)  # uvicorn handles the others
    server.run(sockets=[sock])
    leave_within(_LEFT_S)
