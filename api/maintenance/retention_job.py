"""The retention job: what is past its time is removed every hour, while the service runs."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path

import structlog

from api.settings import Settings
from api.store.erasure import Outside
from api.store.repository import Repository
from api.telemetry import described
from models.embedding_cache import EmbeddingCache
from models.knowledge import KnowledgeFolder
from triage.errors import StoreUnavailable

_FIRST_S, _EVERY_S = 60.0, 3600.0
log = structlog.get_logger(__name__)


def outside_of(home: Path, tell: Callable[[str], object]) -> Outside:
    """Return what removes vectors of texts, and proposals of knowledge, from a home.

    Args:
        home: Of the service.
        tell: Given a sentence for each file of knowledge that cannot be read: it stays, whatever it is made of.
    """
    cache, knowledge = EmbeddingCache.under(home), KnowledgeFolder(home / "knowledge")

    def forget(ticket_ids: Sequence[str]) -> int:
        done = knowledge.forget(*ticket_ids)
        for fault in done.faults:
            tell(fault)
        return done.proposals

    return Outside(cache.forget, forget)


def _log_unread(fault: str) -> None:
    log.warning("retention_unread", what=fault)


class RetentionJob:
    """Removes tickets past their retention, with what is made of them, and old keys, deliveries and sessions.

    It has a thread of its own.

    Args:
        repository: The store.
        settings: Says how long things are kept.
    """

    def __init__(self, repository: Repository, settings: Settings) -> None:
        self._repository, self._outside = repository, outside_of(settings.home, _log_unread)
        self._tickets = timedelta(days=settings.retention_days) if settings.retention_days else None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="retention", daemon=True)

    def start(self) -> None:
        """Begin; the first round comes within a minute or two, so that workers do not all do it at once."""
        self._thread.start()

    def stop(self, within_s: float = 2.0) -> None:
        """Stop; a round that is under way is finished."""
        self._stopping.set()
        self._thread.join(within_s)

    def once(self) -> None:
        """Remove what is past its time; a store that does not answer is tried again next time."""
        try:
            done = self._repository.expire(self._tickets, outside=self._outside)
        except StoreUnavailable as error:
            log.warning("retention_put_off", code=error.code)
            return
        except Exception as error:  # whatever it is, what is past its time must be removed next time
            log.error("retention_failed", **described(error))
            return
        if not done.scrubbed:
            log.warning("retention_not_scrubbed")  # the rows are gone, their words still in the files: tried next time
        if any(done.document().values()):
            log.info("retention", **done.document())

    def _run(self) -> None:
        wait_s = _FIRST_S * random.uniform(0.5, 2.0)
        while not self._stopping.wait(wait_s):
            self.once()
            wait_s = _EVERY_S * random.uniform(0.9, 1.1)
