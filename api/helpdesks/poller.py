"""Helpdesks that send no webhooks are asked what is new: each issue and each change is taken once, as a webhook is."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from json import JSONDecodeError
from typing import Any

import httpx
import structlog
from anyio import to_thread

from api.helpdesks.config import HelpdeskConfig
from api.helpdesks.inbound import Delivery
from api.helpdesks.receiver import WebhookReceiver
from api.helpdesks.ssrf_guard import GuardedClient
from api.http.exceptions import Refused, TooBusy
from api.scoring.service import Service
from api.store.outbox import CHANGES, ISSUE, JOURNAL
from api.telemetry import described, show_at_zero
from triage.errors import StoreUnavailable

_PAGE = 100
"""Issues of one answer: the most that Redmine gives."""
_WITHHELD = (403, 404, 410)
_TRIES = 3
"""How often an issue is asked for that the helpdesk does not give, before it is set aside."""
_OTHERS = 3
"""How many of the oldest and of the newest issues are asked for where one is refused again and again."""
_SET_ASIDE = "issue-set-aside"
"""How an issue is counted that cannot be had or read."""
_NOT_GIVEN = (httpx.HTTPError, OSError, JSONDecodeError)
"""What asking a helpdesk fails with that answers late, with an error, or not at all."""
_PAUSE_S = 5.0
"""Pause after a helpdesk or the store did not answer."""
log = structlog.get_logger(__name__)


class Poller:
    """Asks helpdesks what is new, as long as the service runs; several processes may run one each.

    Args:
        helpdesks: The helpdesks by name.
        receiver: Takes what they say.
        service: Its store keeps how far each was read, and it says whether each answers.
    """

    def __init__(self, helpdesks: Mapping[str, HelpdeskConfig], receiver: WebhookReceiver, service: Service) -> None:
        self._helpdesks = [one for one in helpdesks.values() if one.poll is not None]
        self._receiver, self._service, self._store = receiver, service, service.store
        self._tries: Counter[tuple[str, object]] = Counter()
        self._aside: set[tuple[str, object, object]] = set()
        self._tasks: list[asyncio.Task[None]] = []
        show_at_zero(service.metrics.webhooks, [one.name for one in self._helpdesks], (_SET_ASIDE,))
        for one in self._helpdesks:
            service.note_helpdesk(one.name, is_asked=True)

    def start(self) -> None:
        """Begin to ask; needs a running event loop."""
        self._tasks = [asyncio.create_task(self._run(one), name=f"poll {one.name}") for one in self._helpdesks]

    async def stop(self) -> None:
        """Stop; what was not taken yet is asked for again at the next start."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _run(self, helpdesk: HelpdeskConfig) -> None:
        assert helpdesk.poll is not None
        while True:
            pause_s, is_asked = helpdesk.poll.every_s, True
            try:
                await self._take_news(helpdesk)
            except Exception as error:  # of the network, the store or an odd answer: it is asked again all the same
                log.warning("helpdesk_not_asked", helpdesk=helpdesk.name, **described(error))
                pause_s, is_asked = max(pause_s, _PAUSE_S), False
            self._service.note_helpdesk(helpdesk.name, is_asked=is_asked)
            await asyncio.sleep(pause_s)

    async def _take_news(self, helpdesk: HelpdeskConfig) -> None:
        since = await to_thread.run_sync(self._store.position, helpdesk.name, CHANGES)
        if since is None:  # what was there before the service is not decided anew
            since = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            await to_thread.run_sync(self._store.move_position, helpdesk.name, CHANGES, since)
        pages = _Pages(since)
        while not pages.ended:
            listed = await to_thread.run_sync(_changed_issues, helpdesk, pages.since, pages.offset)
            for one in pages.news(listed):
                await self._take_issue(helpdesk, one, since)
        if pages.until != since:  # not before all are taken: what happened to an issue is looked for from here on
            await to_thread.run_sync(partial(self._store.move_position, helpdesk.name, CHANGES, pages.until))

    async def _take_issue(self, helpdesk: HelpdeskConfig, listed: Mapping[str, Any], since: str) -> None:
        """Take what an issue says; one that cannot be had or read must not hold up those behind it."""
        try:
            issue = await to_thread.run_sync(_issue, helpdesk, int(listed["id"]))
            for delivery in _deliveries(helpdesk, issue, since) if issue is not None else ():
                await self._take(delivery)
        except (StoreUnavailable, TooBusy):
            raise
        except _NOT_GIVEN as error:
            if not await self._is_to_blame(helpdesk, listed):
                raise  # it may be readable later
            self._set_aside(helpdesk, listed, error)
        except Exception as error:  # such as a field that is missing
            self._set_aside(helpdesk, listed, error)
        else:
            self._aside.discard(_mark(helpdesk, listed))
            self._tries.pop((helpdesk.name, listed["id"]), None)

    async def _is_to_blame(self, helpdesk: HelpdeskConfig, listed: Mapping[str, Any]) -> bool:
        """Say whether it is an issue that cannot be had, again and again, where the helpdesk gives others."""
        if _mark(helpdesk, listed) in self._aside:
            return True
        number = listed["id"]
        self._tries[helpdesk.name, number] += 1
        if self._tries[helpdesk.name, number] < _TRIES:
            return False
        return await to_thread.run_sync(_is_alone, helpdesk, number)

    def _set_aside(self, helpdesk: HelpdeskConfig, listed: Mapping[str, Any], error: Exception) -> None:
        """Leave an issue, and say so; it is still asked for while no later change is known, and again when it changes.

        The last change is listed at each asking, and is told of once.
        """
        if _mark(helpdesk, listed) not in self._aside:
            self._aside.add(_mark(helpdesk, listed))
            self._service.metrics.webhooks.labels(helpdesk.name, _SET_ASIDE).inc()
            said = error.response.status_code if isinstance(error, httpx.HTTPStatusError) else None
            why = described(error) if said is None else {"status": said}
            log.error("issue_set_aside", helpdesk=helpdesk.name, issue=listed["id"], **why)

    async def _take(self, delivery: Delivery) -> None:
        try:
            await self._receiver.take(delivery)
        except TooBusy:
            raise
        except Refused as error:
            log.warning("news_refused", helpdesk=delivery.helpdesk.name, code=error.code)


class _Pages:
    """Where to ask on in a list that is sorted by the moment of change, while issues are changed and move to its end.

    The next page begins with the last moment of the one before, so that an issue that moves leaves no gap. Only what
    was changed within one second, and is more than a page, is counted through. Each of these pages begins with the last
    issue of the one before: where another one stands there, something has moved, and the second is begun anew.

    Args:
        since: The first moment.

    Attributes:
        since: The moment from which the next page is asked for.
        offset: How many issues from that moment on are passed over.
        until: The last moment at which an issue was changed, so far.
        ended: Whether there is no next page.
    """

    def __init__(self, since: str) -> None:
        self.since, self.offset, self.until, self.ended = since, 0, since, False
        self._seen: set[tuple[object, str]] = set()
        self._last: tuple[object, str] | None = None
        self._has_news = False

    def news(self, listed: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        """Return what of a page was on none before, in this state, and go on to the next page.

        Raises:
            ValueError: The helpdesk gives the same pages again and again.
        """
        marks = [(one["id"], str(one["updated_on"])) for one in listed]
        found = [one for one, mark in zip(listed, marks, strict=True) if mark not in self._seen]
        self._seen.update(marks)
        self._has_news = self._has_news or bool(found)
        self.until = max([self.until, *(moment for _, moment in marks)])
        if self.offset and marks[:1] != [self._last]:
            self._begin_anew()
        elif len(listed) < _PAGE:
            self.ended = True
        else:
            self._go_on(marks)
        return found

    def _begin_anew(self) -> None:
        if not self._has_news:
            raise ValueError("the list of changed issues is another one each time")
        self.offset, self._has_news = 0, False

    def _go_on(self, marks: Sequence[tuple[object, str]]) -> None:
        self._last = marks[-1]
        if self._last[1] > self.since:
            self.since, self.offset = self._last[1], 0
        elif self.offset + len(marks) > len(self._seen):
            raise ValueError("the list of changed issues does not go on")
        else:
            self.offset += len(marks) - 1


def _changed_issues(helpdesk: HelpdeskConfig, since: str, offset: int) -> list[dict[str, Any]]:
    """Return a page of the issues that were changed since a moment, without their journals, oldest change first."""
    query = f"status_id=*&sort=updated_on,id&limit={_PAGE}&offset={offset}&updated_on=%3E%3D{since}"
    return list(_asked(helpdesk, f"/issues.json?{query}")["issues"])


def _issue(helpdesk: HelpdeskConfig, number: int) -> dict[str, Any] | None:
    """Return an issue with its journal; None where it is gone or withheld since it was listed."""
    try:
        return dict(_asked(helpdesk, f"/issues/{number}.json?include=journals")["issue"])
    except httpx.HTTPStatusError as error:
        if error.response.status_code not in _WITHHELD:
            raise
        log.warning("issue_withheld", helpdesk=helpdesk.name, issue=number, status=error.response.status_code)
        return None


def _is_alone(helpdesk: HelpdeskConfig, number: int) -> bool:
    """Say whether a helpdesk gives other issues and still not this one: else none of them is to blame.

    Those that are asked for are old and new ones, since what is damaged is often damaged together.

    Raises:
        httpx.HTTPError: It does not even list them.
    """
    orders = ("id:desc", "id")
    query = f"status_id=*&limit={_OTHERS + 1}&sort="
    found = [one["id"] for order in orders for one in _asked(helpdesk, f"/issues.json?{query}{order}")["issues"]]
    others = dict.fromkeys(one for one in found if one != number)
    return any(_is_given(helpdesk, int(other)) for other in others) and not _is_given(helpdesk, number)


def _is_given(helpdesk: HelpdeskConfig, number: int) -> bool:
    try:
        _issue(helpdesk, number)
    except _NOT_GIVEN:
        return False
    return True


def _mark(helpdesk: HelpdeskConfig, listed: Mapping[str, Any]) -> tuple[str, object, object]:
    """Return what a state of an issue is known by."""
    return helpdesk.name, listed["id"], listed["updated_on"]


def _asked(helpdesk: HelpdeskConfig, path: str) -> dict[str, Any]:
    update, poll = helpdesk.update, helpdesk.poll
    assert update is not None and poll is not None
    client = GuardedClient(frozenset(update.hosts), update.loopback, update.private)
    headers = {"Authorization": helpdesk.authorization or "", "Accept": "application/json"}
    answer = client.call("GET", poll.url.rstrip("/") + path, timeout_s=update.timeout_s, headers=headers, json=None)
    answer.raise_for_status()
    return dict(answer.json())


def _deliveries(helpdesk: HelpdeskConfig, issue: dict[str, Any], since: str) -> Iterator[Delivery]:
    """Yield what an issue says: that it came in, where it did since a moment, and each change of its labels."""
    if str(issue["created_on"]) >= since:
        yield Delivery(helpdesk, (f"{ISSUE}{issue['id']}",), {"event": "created", "issue": issue})
    journals: Sequence[dict[str, Any]] = issue.get("journals", ())
    for journal in journals:
        if str(journal["created_on"]) >= since:
            document = {"event": "corrected", "issue": issue, "journal": journal}
            yield Delivery(helpdesk, (f"{JOURNAL}{journal['id']}",), document)
