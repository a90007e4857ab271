"""Updates to helpdesks: sent from the outbox, tried again while a helpdesk is away, kept where it refuses them."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import httpx
import structlog

from api.helpdesks.config import PLACE, HelpdeskConfig, Update, placeholders_of
from api.helpdesks.ssrf_guard import GuardedClient
from api.http.exceptions import NotAllowed
from api.store.autonomy import EVENT
from api.store.outbox import PendingUpdate, UpdateRow
from api.store.repository import Repository
from models.wire import DecisionDocument
from triage.errors import StoreUnavailable

MAX_ATTEMPTS = 12
"""With pauses that double from 2 seconds this takes more than an hour: a helpdesk that was restarted is back."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 2.0, 3600.0
_POLL_S, _HOLD_S, _BATCH = 2.0, 120.0, 10
"""How often the outbox is looked at without being woken, how long claimed updates are this process's, and how many of
them are claimed at once: ten with the usual timeout of 10 s end before the hold does."""
_TRY_AGAIN = (408, 425, 429)
"""Statuses below 500 that ask to try again: timeout, too early, too many requests (RFC 9110, 8470, 6585)."""
log = structlog.get_logger(__name__)


class UpdateSender:
    """Sends pending updates, in a thread of its own; several processes may run one each.

    Args:
        repository: The store with the queue.
        helpdesks: The helpdesks by name.
        on_outcome: Called with a helpdesk's name and ``sent``, ``retry`` or ``dead``.
        first_pause_s: Pause after the first failure; it doubles with each.
    """

    def __init__(
        self,
        repository: Repository,
        helpdesks: Mapping[str, HelpdeskConfig],
        on_outcome: Callable[[str, str], object] = lambda helpdesk, outcome: None,
        first_pause_s: float = FIRST_PAUSE_S,
    ) -> None:
        self._repository = repository
        self._helpdesks = helpdesks
        self._on_outcome = on_outcome
        self._first_pause_s = first_pause_s
        self._wake, self._stopping = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to send, where there is a helpdesk that wants to be told."""
        if any(helpdesk.update or helpdesk.events for helpdesk in self._helpdesks.values()):
            self._thread = threading.Thread(target=self._run, name="update-sender", daemon=True)
            self._thread.start()

    def stop(self, within_s: float = 5.0) -> None:
        """Finish what is being sent, and stop; what is left stays in the queue."""
        self._stopping.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join(within_s)

    def wake(self) -> None:
        """Look at the queue now."""
        self._wake.set()

    def send_due(self) -> int:
        """Send everything that is due now, and return how many updates were tried.

        Raises:
            StoreUnavailable: The store does not answer.
        """
        rows = self._repository.claim_updates(_BATCH, timedelta(seconds=_HOLD_S))
        for row in rows:
            self._send(row)
        return len(rows)

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                busy = self._repository.next_due() is not None and self.send_due() > 0
            except StoreUnavailable as error:
                log.warning("updates_wait", code=error.code)
                busy = False
            if not busy:
                self._wake.wait(_POLL_S)
                self._wake.clear()

    def _send(self, row: UpdateRow) -> None:
        helpdesk = self._helpdesks.get(row.target)
        update = _way_of(helpdesk, row) if helpdesk else None
        if helpdesk is None or update is None:
            self._acknowledge(row, "no such helpdesk in the file of helpdesks", final=True)
            return
        try:
            answer = deliver(helpdesk, update, row)
        except NotAllowed as error:
            self._acknowledge(row, error.code, final=True)
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            self._acknowledge(row, type(error).__name__, final=False)
        else:
            status = answer.status_code
            if 200 <= status < 300:
                self._acknowledge(row, None, final=True)
            else:
                self._acknowledge(
                    row, f"HTTP {status}", final=status < 500 and status not in _TRY_AGAIN, pause_s=_retry_after(answer)
                )

    def _acknowledge(self, row: UpdateRow, error: str | None, *, final: bool, pause_s: float = 0.0) -> None:
        attempts = row.attempts + 1
        dead = error is not None and (final or attempts >= MAX_ATTEMPTS)
        retry_at = None
        if error is not None and not dead:
            pause_s = max(
                pause_s, min(LONGEST_PAUSE_S, self._first_pause_s * 2**row.attempts) * random.uniform(0.75, 1.25)
            )
            retry_at = datetime.now(UTC) + timedelta(seconds=pause_s)
        self._repository.acknowledge_update(row.seq, error=error, retry_at=retry_at)
        outcome = "sent" if error is None else "dead" if dead else "retry"
        log.info("update_tried", helpdesk=row.target, update=row.seq, outcome=outcome, attempts=attempts, error=error)
        self._on_outcome(row.target, outcome)


def pending_update_for(helpdesk: HelpdeskConfig, document: DecisionDocument) -> list[PendingUpdate]:
    """Return what a helpdesk is to be told about a decision; nothing where it does not want to know."""
    if helpdesk.update is None or document.automation not in helpdesk.update.automation:
        return []
    names = ("tier", "category", "resolver_group", "automation", "reason", "model_version")
    payload = {name: getattr(document, name) for name in names}
    return [PendingUpdate(helpdesk.name, document.ticket_id, document.decision_id or "", payload)]


def is_event(row: UpdateRow) -> bool:
    """Say whether an update tells that automation has opened or closed, not what was decided about a ticket."""
    return row.payload.get("event") == EVENT


def _way_of(helpdesk: HelpdeskConfig, row: UpdateRow) -> Update | None:
    return helpdesk.events if is_event(row) else helpdesk.update


def deliver(helpdesk: HelpdeskConfig, update: Update, row: UpdateRow) -> httpx.Response:
    """Send one update, and return the helpdesk's answer; errors are those of `GuardedClient.call`."""
    values = {"ticket_id": row.ticket_id, "decision_id": row.decision_id, **row.payload}
    url = _filled(update.url, {name: quote(str(value), safe="") for name, value in values.items() if value is not None})
    authorization = helpdesk.events_authorization if is_event(row) else helpdesk.authorization
    headers = {"Authorization": authorization} if authorization else {}
    client = GuardedClient(frozenset(update.hosts), update.loopback, update.private)
    return client.call(
        update.method, str(url), timeout_s=update.timeout_s, headers=headers, json=_filled(update.body, values)
    )


def _filled(template: Any, values: Mapping[str, Any]) -> Any:
    """Put values in the places of a template; what has no value is left out of its object."""
    if isinstance(template, dict):
        return {name: _filled(part, values) for name, part in template.items() if _has_values(part, values)}
    if isinstance(template, list):
        return [_filled(part, values) for part in template if _has_values(part, values)]
    if isinstance(template, str):
        return PLACE.sub(lambda place: str(values[place[1]]), template)
    return template


def _has_values(template: Any, values: Mapping[str, Any]) -> bool:
    return not isinstance(template, str) or all(values.get(name) is not None for name in placeholders_of(template))


def _retry_after(answer: httpx.Response) -> float:
    stated = answer.headers.get("retry-after", "")
    return min(LONGEST_PAUSE_S, float(stated)) if stated.isdecimal() else 0.0
