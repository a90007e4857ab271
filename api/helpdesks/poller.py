"""Helpdesks that send no webhooks are asked what is new: each issue and each change is taken once, as a webhook is."""

from __future__ import annotations

import asyncio
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
from api.store.repository import Repository
from api.telemetry import described
from triage.errors import StoreUnavailable

_POSITION = "updated_on"
_PAGE = 100
"""Issues of one answer: the most that Redmine gives."""
_WITHHELD = (403, 404, 410)
_PAUSE_S = 5.0
"""Pause after a helpdesk or the store did not answer."""
log = structlog.get_logger(__name__)


class Poller:
    """Asks helpdesks what is new, as long as the service runs; several processes may run one each.

    Args:
        helpdesks: The helpdesks by name.
        receiver: Takes what they say.
        store: Keeps how far each was read.
    """

    def __init__(self, helpdesks: Mapping[str, HelpdeskConfig], receiver: WebhookReceiver, store: Repository) -> None:
        self._helpdesks = [one for one in helpdesks.values() if one.poll is not None]
        self._receiver, self._store = receiver, store
        self._tasks: list[asyncio.Task[None]] = []

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
            pause_s = helpdesk.poll.every_s
            try:
                await self._take_news(helpdesk)
            except Exception as error:  # of the network, the store or an odd answer: it is asked again all the same
                log.warning("helpdesk_not_asked", helpdesk=helpdesk.name, **described(error))
                pause_s = max(pause_s, _PAUSE_S)
            await asyncio.sleep(pause_s)

    async def _take_news(self, helpdesk: HelpdeskConfig) -> None:
        since = await to_thread.run_sync(self._store.position, helpdesk.name, _POSITION)
        if since is None:  # what was there before the service is not decided anew
            since = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            await to_thread.run_sync(self._store.move_position, helpdesk.name, _POSITION, since)
        pages = _Pages(since)
        while not pages.ended:
            listed = await to_thread.run_sync(_changed_issues, helpdesk, pages.since, pages.offset)
            for one in pages.news(listed):
                await self._take_issue(helpdesk, one, since)
        if pages.until != since:  # not before all are taken: what happened to an issue is looked for from here on
            await to_thread.run_sync(partial(self._store.move_position, helpdesk.name, _POSITION, pages.until))

    async def _take_issue(self, helpdesk: HelpdeskConfig, listed: Mapping[str, Any], since: str) -> None:
        """Take what an issue says; one that cannot be read must not hold up those behind it."""
        try:
            issue = await to_thread.run_sync(_issue, helpdesk, int(listed["id"]))
            for delivery in _deliveries(helpdesk, issue, since) if issue is not None else ():
                await self._take(delivery)
        except (httpx.HTTPError, OSError, JSONDecodeError, StoreUnavailable, TooBusy):
            raise  # it may be readable later
        except Exception as error:  # such as a field that is missing
            log.error("issue_unreadable", helpdesk=helpdesk.name, issue=listed.get("id"), **described(error))

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
        yield Delivery(helpdesk, (f"issue:{issue['id']}",), {"event": "created", "issue": issue})
    journals: Sequence[dict[str, Any]] = issue.get("journals", ())
    for journal in journals:
        if str(journal["created_on"]) >= since:
            document = {"event": "corrected", "issue": issue, "journal": journal}
            yield Delivery(helpdesk, (f"journal:{journal['id']}",), document)
