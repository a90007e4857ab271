"""Changes told as they happen: one look at the store a second for everybody who listens in this process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import structlog
from anyio import to_thread
from fastapi.sse import format_sse_event

from api.telemetry import described
from triage.errors import StoreUnavailable

log = structlog.get_logger(__name__)
LOOK_S = 1.0
"""How often the store is asked whether anything changed, in seconds; nobody asks while nobody listens."""
SIGN_S = 15.0
"""How often a listener is sent something, in seconds, so that neither a proxy nor the browser gives up."""


class Watch:
    """Follows one value of the store for any number of listeners.

    Args:
        look: Returns the value; it may block, and runs on a worker thread.
        is_over: Says whether the process is about to stop: then everybody is let go.
    """

    def __init__(self, look: Callable[[], object], is_over: Callable[[], bool]) -> None:
        self._look, self._is_over = look, is_over
        self._listeners = 0
        self._version = 0
        self._seen: object = None
        self._task: asyncio.Task[None] | None = None

    async def changes(self, name: str, may_listen: Callable[[], Awaitable[bool]]) -> AsyncIterator[bytes]:
        """Yield one server-sent event for each change, and a comment now and then.

        Args:
            name: Of the events.
            may_listen: Asked at the beginning and before every sign of life; the news ends where it says no.
        """
        self._listeners += 1
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="live")
        version, since_sign = self._version, SIGN_S
        try:
            while not self._is_over():
                if since_sign >= SIGN_S:
                    if not await may_listen():
                        return
                    yield format_sse_event(comment="here")
                    since_sign = 0.0
                if version != self._version:
                    version = self._version
                    yield format_sse_event(event=name, data_str=str(version))
                await asyncio.sleep(LOOK_S)
                since_sign += LOOK_S
        finally:
            self._listeners -= 1

    async def _run(self) -> None:
        while self._listeners and not self._is_over():
            try:
                seen = await to_thread.run_sync(self._look)
            except StoreUnavailable:
                seen = self._seen
            except Exception as error:  # such as no memory for a thread: pages must hear of what comes after it
                log.error("live_not_looked", **described(error))
                seen = self._seen
            if self._seen is not None and seen != self._seen:
                self._version += 1
            self._seen = seen
            await asyncio.sleep(LOOK_S)
        self._task, self._seen = None, None
