"""Changes told as they happen: one look at the store a second for everybody who listens in this process."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable

import structlog
from anyio import to_thread
from fastapi.sse import format_sse_event

from api.telemetry import described
from triage.errors import StoreUnavailable

_STATE_CHARS = 16
log = structlog.get_logger(__name__)
LOOK_S = 1.0
"""How often the store is asked whether anything changed, in seconds; nobody asks while nobody listens."""
SIGN_S = 15.0
"""How often a listener is sent something, in seconds, so that neither a proxy nor the browser gives up."""


class Watch:
    """Follows one value of the store for any number of listeners.

    Args:
        look: Returns the value, which looks the same in every process; it may block, and runs on a worker thread.
        is_over: Says whether the process is about to stop: then everybody is let go.
    """

    def __init__(self, look: Callable[[], object], is_over: Callable[[], bool]) -> None:
        self._look, self._is_over = look, is_over
        self._listeners = 0
        self._state: str | None = None
        self._task: asyncio.Task[None] | None = None

    async def state(self) -> str:
        """Return what stands for the value as it is now; empty where the store does not answer.

        A page notes it before it reads what it shows, so that its news begin with what came since.
        """
        try:
            return await to_thread.run_sync(self._look_now)
        except StoreUnavailable:
            return ""

    async def changes(
        self, name: str, may_listen: Callable[[], Awaitable[bool]], since: str = ""
    ) -> AsyncIterator[bytes]:
        """Yield one server-sent event for each change, and a comment now and then.

        Args:
            name: Of the events.
            since: State that the listener knows; empty for the one that is seen first.
            may_listen: Asked at the beginning and before every sign of life; the news ends where it says no.
        """
        self._listeners += 1
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="live")
        known, since_sign = since or self._state, SIGN_S
        try:
            while not self._is_over():
                if since_sign >= SIGN_S:
                    if not await may_listen():
                        return
                    yield format_sse_event(comment="here")
                    since_sign = 0.0
                rest = LOOK_S
                if known != self._state:
                    if known is not None and self._state is not None:
                        yield format_sse_event(event=name, data_str=self._state)
                        rest = 2 * LOOK_S  # who reads anew each time is not asked to do so every second
                    known = self._state or known
                await asyncio.sleep(rest)
                since_sign += rest
        finally:
            self._listeners -= 1

    async def _run(self) -> None:
        while self._listeners and not self._is_over():
            try:
                self._state = await to_thread.run_sync(self._look_now)
            except StoreUnavailable:
                pass
            except Exception as error:  # such as no memory for a thread: pages must hear of what comes after it
                log.error("live_not_looked", **described(error))
            await asyncio.sleep(LOOK_S)
        self._task, self._state = None, None

    def _look_now(self) -> str:
        return hashlib.sha256(repr(self._look()).encode()).hexdigest()[:_STATE_CHARS]
