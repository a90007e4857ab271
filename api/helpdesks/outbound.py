"""Updates to helpdesks: sent from the outbox, tried again while a helpdesk is away, kept where it refuses them."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import httpx
import structlog

from api.helpdesks.config import PLACE, HelpdeskConfig, Update, placeholders_of
from api.helpdesks.paths import holds_object, text_at
from api.helpdesks.ssrf_guard import GuardedClient
from api.http.exceptions import NotAllowed
from api.store.autonomy import EVENT
from api.store.outbox import (
    NO_SUCH_HELPDESK,
    NOTE,
    ROUTE,
    TARGET_PLACE,
    PendingUpdate,
    Targets,
    UpdateRow,
    name_in_payload,
)
from api.store.repository import Repository
from api.telemetry import described
from models.wire import DecisionDocument
from triage.errors import StoreUnavailable
from triage.prediction import ROUTE as TARGETS_OF_ROUTE
from triage.wording import ATTENTION
from triage_client.errors import NotAnId
from triage_client.paths import path_part

MAX_ATTEMPTS = 12
"""With pauses that double from 2 seconds this takes more than an hour: a helpdesk that was restarted is back."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 2.0, 3600.0
_POLL_S, _HOLD_S = 2.0, 180.0
"""How often the outbox is looked at without being woken, and how long a claimed update is this process's: what stands
there is read and then written, each within the timeout, which is a minute at most. Before it is sent it is held anew;
what another process has claimed meanwhile is left to that one."""
OUTCOMES = ("sent", "retry", "dead", "kept")
"""How updates are counted."""
_UNREAD = "an object"
"""What a label counts as of which a helpdesk gives an object: it is set there, to nothing that was told it."""
_VALUES = ("value", "display_value")
"""Under which names ServiceNow tells a value as it is stored, and as people see it."""
_TRY_AGAIN = (408, 409, 412, 425, 429)
"""Statuses below 500 that ask to try again: timeout, conflict, changed meanwhile, too early, too many requests
(RFC 9110, 8470, 6585)."""
log = structlog.get_logger(__name__)


@dataclass
class _Lane:
    """What one thread sends.

    Attributes:
        targets: To whom.
        name: What the thread is called by.
        wake: Set where there may be something to send.
        thread: The thread, once it runs.
    """

    targets: Targets
    name: str
    wake: threading.Event = field(default_factory=threading.Event)
    thread: threading.Thread | None = None


class UpdateSender:
    """Sends pending updates, in a thread for each helpdesk, so that a slow one holds up no other; one by one to each.

    Several processes may run one each.

    Args:
        repository: The store with the queue.
        helpdesks: The helpdesks by name.
        on_outcome: Called with a helpdesk's name and ``sent``, ``retry``, ``dead``, or ``kept`` where a person's
            route stands there.
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
        told = [name for name, helpdesk in helpdesks.items() if helpdesk.update or helpdesk.note or helpdesk.events]
        self._lanes = [_Lane(Targets(frozenset({name})), name) for name in told]
        self._lanes.append(_Lane(Targets(frozenset(told), others=True), "others"))
        self._stopping = threading.Event()

    def start(self) -> None:
        """Begin to send, where there is a helpdesk that wants to be told."""
        for lane in self._lanes if len(self._lanes) > 1 else ():
            lane.thread = threading.Thread(target=self._run, args=(lane,), name=f"updates {lane.name}", daemon=True)
            lane.thread.start()

    def stop(self, within_s: float = 5.0) -> None:
        """Finish what is being sent, and stop; what is left stays in the queue."""
        self._stopping.set()
        self.wake()
        until = time.monotonic() + within_s
        for lane in self._lanes:
            if lane.thread is not None:
                lane.thread.join(max(0.0, until - time.monotonic()))

    def wake(self) -> None:
        """Look at the queue now."""
        for lane in self._lanes:
            lane.wake.set()

    def alarm(self, source: str, document: DecisionDocument) -> list[PendingUpdate]:
        """Return what a helpdesk is to be told of a ticket that must not wait; nothing where there is no such one."""
        helpdesk = self._helpdesks.get(source)
        return [] if helpdesk is None else pending_updates_for(helpdesk, document)

    def send_due(self) -> int:
        """Send everything that is due now, and return how many updates were tried.

        Raises:
            StoreUnavailable: The store does not answer.
        """
        now = datetime.now(UTC)
        return sum(sum(iter(partial(self._send_next, lane, now), False)) for lane in self._lanes)

    def _send_next(self, lane: _Lane, due_by: datetime | None = None) -> bool:
        """Send what a helpdesk is to be told next, and say whether there was anything that is due."""
        hold = timedelta(seconds=_HOLD_S)
        rows = self._repository.claim_updates(1, hold, targets=lane.targets, due_by=due_by)
        for row in rows:
            self._send(row)
        return bool(rows)

    def _run(self, lane: _Lane) -> None:
        while not self._stopping.is_set():
            try:
                busy = self._repository.next_due(lane.targets) is not None and self._send_next(lane)
            except StoreUnavailable as error:
                log.warning("updates_wait", code=error.code)
                busy = False
            except Exception as error:  # whatever it is, the next update may be sent
                log.error("updates_not_sent", **described(error))
                busy = False
            if not busy:
                lane.wake.wait(_POLL_S)
                lane.wake.clear()

    def _send(self, row: UpdateRow) -> None:
        helpdesk = self._helpdesks.get(row.target)
        if helpdesk is None or _way_of(helpdesk, row) is None:
            self._acknowledge(row, NO_SUCH_HELPDESK, final=True)
            return
        if not self._repository.hold_update(row, timedelta(seconds=_HOLD_S)):
            return  # what a person said has taken its place since it was claimed, or another process has it
        try:
            there = current_labels(helpdesk, row)
            if there is not None and _is_set_by_person(there, row, self._known(row, there.labels)):
                self._keep_back(helpdesk, row)
                return
            answer = deliver(helpdesk, row, there)
        except NotAllowed as error:
            self._acknowledge(row, error.code, final=True)
        except StoreUnavailable:
            raise
        except Exception as error:  # of the network, of a header that cannot be written, of an odd answer: it counts
            self._acknowledge(row, type(error).__name__, final=False)
        else:
            self._note_answer(row, answer)

    def _note_answer(self, row: UpdateRow, answer: httpx.Response) -> None:
        status = answer.status_code
        if 200 <= status < 300:
            self._acknowledge(row, None, final=True)
        else:
            final = 400 <= status < 500 and status not in _TRY_AGAIN  # a page of maintenance is often a redirect to it
            self._acknowledge(row, f"HTTP {status}", final=final, pause_s=_retry_after(answer))

    def _known(self, row: UpdateRow, targets: Iterable[str]) -> Mapping[str, set[str]]:
        return self._repository.known_labels(row.target, row.ticket_id, targets)

    def _keep_back(self, helpdesk: HelpdeskConfig, row: UpdateRow) -> None:
        """Leave the route that a person has set at the helpdesk, and say in a note what is thought here."""
        note = pending_note(helpdesk, row.ticket_id, row.decision_id, row.payload, note=proposal_text(row.payload))
        self._repository.keep_back(row.seq, note)
        log.info("update_tried", helpdesk=row.target, update=row.seq, outcome="kept", attempts=row.attempts + 1)
        self._on_outcome(row.target, "kept")

    def _acknowledge(self, row: UpdateRow, error: str | None, *, final: bool, pause_s: float = 0.0) -> None:
        attempts = row.attempts + 1
        dead = error is not None and (final or attempts >= MAX_ATTEMPTS)
        retry_at = None
        if error is not None and not dead:
            pause_s = max(
                pause_s, min(LONGEST_PAUSE_S, self._first_pause_s * 2**row.attempts) * random.uniform(0.75, 1.25)
            )
            retry_at = datetime.now(UTC) + timedelta(seconds=pause_s)
        if not self._repository.acknowledge_update(row.seq, error=error, retry_at=retry_at) and row.kind == ROUTE:
            self._repository.restate_route(row.target, row.ticket_id, unlike=row.payload)  # it may know an old route
        outcome = "sent" if error is None else "dead" if dead else "retry"
        log.info("update_tried", helpdesk=row.target, update=row.seq, outcome=outcome, attempts=attempts, error=error)
        self._on_outcome(row.target, outcome)


def pending_updates_for(helpdesk: HelpdeskConfig, document: DecisionDocument) -> list[PendingUpdate]:
    """Return what a helpdesk is to be told about a decision; nothing where it does not want to know.

    Where a person has set the route, that stands there: the helpdesk is given a note of what would be said now.
    """
    names = ("tier", "category", "resolver_group", "automation", "reason", "model_version")
    payload = {name: getattr(document, name) for name in names}
    further = {name: verdict.label for name, verdict in document.targets.items() if name not in TARGETS_OF_ROUTE}
    payload |= {f"{TARGET_PLACE}{name}": label for name, label in further.items()}
    ticket, decision = document.ticket_id, document.decision_id or ""
    pending: list[PendingUpdate] = []
    if helpdesk.update is not None and document.proposed is None and document.automation in helpdesk.update.automation:
        pending.append(PendingUpdate(helpdesk.name, ticket, decision, payload))
    kinds = [ATTENTION.get(one.kind, one.kind) for one in document.attention]
    proposed = dict(document.proposed) if document.proposed else None
    sentences = [proposal_text(proposed)] if proposed else []
    sentences += [f"This must not wait: {', '.join(kinds)}."] if kinds else []
    values = {**payload, **(proposed or {}), "attention": ", ".join(kinds) or None}
    note = pending_note(helpdesk, ticket, decision, values, note=" ".join(sentences)) if sentences else None
    return [*pending, *([note] if note else [])]


def pending_note(
    helpdesk: HelpdeskConfig, ticket_id: str, decision_id: str, values: Mapping[str, Any], *, note: str
) -> PendingUpdate | None:
    """Return a note for a ticket, or None where the helpdesk takes none."""
    if helpdesk.note is None:
        return None
    return PendingUpdate(helpdesk.name, ticket_id, decision_id, {**values, "note": note}, kind=NOTE)


def proposal_text(route: Mapping[str, Any]) -> str:
    """Say in a sentence what would be decided of a ticket whose route a person has set.

    Example:
        >>> proposal_text({"tier": "L2", "category": "network", "resolver_group": None})
        'Triage would say L2, network now; the route that a person set stands.'
    """
    named = [str(route[name]) for name in TARGETS_OF_ROUTE if route.get(name)]
    return f"Triage would say {', '.join(named) or 'nothing'} now; the route that a person set stands."


def is_event(row: UpdateRow) -> bool:
    """Say whether an update tells that automation has opened or closed, not what was decided about a ticket."""
    return row.payload.get("event") == EVENT


def _way_of(helpdesk: HelpdeskConfig, row: UpdateRow) -> tuple[Update, str | None] | None:
    """Return how a helpdesk is told something, with the login for it; None where it is not."""
    ways = {
        "event": (helpdesk.events, helpdesk.events_authorization),
        NOTE: (helpdesk.note, helpdesk.note_authorization or helpdesk.authorization),
        ROUTE: (helpdesk.update, helpdesk.authorization),
    }
    update, authorization = ways["event" if is_event(row) else row.kind]
    return None if update is None else (update, authorization)


@dataclass(frozen=True)
class CurrentLabels:
    """The labels that a ticket has at its helpdesk now.

    Attributes:
        labels: By target, each by all names that it has there; none where it is not set.
        etag: What the helpdesk names this state of the ticket, where it does and it is to be sent back.
    """

    labels: Mapping[str, frozenset[str]]
    etag: str | None = None


class UnreadableAnswer(Exception):
    """A helpdesk was asked for the labels of a ticket, and did not say."""


def current_labels(helpdesk: HelpdeskConfig, row: UpdateRow) -> CurrentLabels | None:
    """Ask a helpdesk which labels a ticket has now; None where that cannot be asked, or does not matter.

    Raises:
        UnreadableAnswer: It does not say.
        NotAllowed: The address is none that may be called.
        httpx.HTTPError: The call failed.
    """
    current, update = helpdesk.current, helpdesk.update
    if current is None or update is None or row.kind != ROUTE or is_event(row):
        return None
    url = _address(current.url, {"ticket_id": row.ticket_id})
    headers = {"Accept": "application/json"} | _login(helpdesk.authorization)
    client = GuardedClient(frozenset(update.hosts), update.loopback, update.private)
    answer = client.call("GET", url, timeout_s=update.timeout_s, headers=headers, json=None)
    if answer.status_code != 200:
        raise UnreadableAnswer(f"HTTP {answer.status_code}")
    try:
        document = answer.json()
    except ValueError as error:
        raise UnreadableAnswer("no JSON") from error
    paths = {"tier": current.tier, "category": current.category, **current.targets}
    labels = {name: _names(document, path, current.unset) for name, path in paths.items() if path}
    return CurrentLabels(labels, answer.headers.get("etag") if current.match else None)


def _names(document: object, path: str, unset: Sequence[str]) -> frozenset[str]:
    """Return what a label is called at a helpdesk: one that tells a value as it is stored and as people see it has two.

    Where one of its names counts as unset, it has none.
    """
    told = (text_at(document, one).strip() for one in (path, *(f"{path}.{name}" for name in _VALUES)))
    names = frozenset(filter(None, told)) or frozenset({_UNREAD} if holds_object(document, path) else ())
    return frozenset() if names.intersection(unset) else names


def _is_set_by_person(there: CurrentLabels, row: UpdateRow, known: Mapping[str, set[str]]) -> bool:
    """Say whether the helpdesk has a label that it was not told, and that nobody is known to have said."""
    return any(
        names and row.payload.get(name_in_payload(name)) not in names and known[name].isdisjoint(names)
        for name, names in there.labels.items()
    )


def deliver(helpdesk: HelpdeskConfig, row: UpdateRow, there: CurrentLabels | None = None) -> httpx.Response:
    """Send one update, and return the helpdesk's answer; errors are those of `GuardedClient.call`."""
    way = _way_of(helpdesk, row)
    assert way is not None
    update, authorization = way
    values = {"ticket_id": row.ticket_id, "decision_id": row.decision_id, **row.payload}
    url = _address(update.url, values)
    headers = _login(authorization)
    if there is not None and there.etag:
        headers["If-Match"] = there.etag
    client = GuardedClient(frozenset(update.hosts), update.loopback, update.private)
    return client.call(
        update.method, url, timeout_s=update.timeout_s, headers=headers, json=_filled(update.body, values)
    )


def _address(template: str, values: Mapping[str, Any]) -> str:
    """Put values in the places of an address, quoted.

    Raises:
        NotAllowed: A value would lead to another address than that of the ticket.
    """
    named = {name: values[name] for name in placeholders_of(template) if values.get(name) is not None}
    try:
        return str(_filled(template, {name: path_part(value) for name, value in named.items()}))
    except NotAnId as error:
        raise NotAllowed("not-an-id", f"nothing is sent to another address than the ticket's: {error}") from error


def _login(authorization: str | None) -> dict[str, str]:
    return {"Authorization": authorization} if authorization else {}


def _filled(template: Any, values: Mapping[str, Any]) -> Any:
    """Put values in the places of a template; what has no value is left out of its object."""
    if isinstance(template, dict):
        return {name: _filled(part, values) for name, part in template.items() if _has_values(part, values)}
    if isinstance(template, list):
        return [_filled(part, values) for part in template if _is_whole(part, values)]
    if isinstance(template, str):
        return PLACE.sub(lambda place: str(values[place[1]]), template)
    return template


def _is_whole(template: Any, values: Mapping[str, Any]) -> bool:
    """Say whether everything in an entry of a list has a value: a field without one is left out as a whole."""
    return all(values.get(name) is not None for name in placeholders_of(template))


def _has_values(template: Any, values: Mapping[str, Any]) -> bool:
    return not isinstance(template, str) or all(values.get(name) is not None for name in placeholders_of(template))


def _retry_after(answer: httpx.Response) -> float:
    stated = answer.headers.get("retry-after", "")
    return min(LONGEST_PAUSE_S, float(stated)) if stated.isdecimal() else 0.0
