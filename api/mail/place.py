"""How far a folder was read: after the last mail that was taken, and from which day on at the first start."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple

import structlog
from imapclient import IMAPClient

from api.mail.config import Mailbox
from api.store.outbox import BEGUN
from api.store.repository import Repository

_REMEMBERED = timedelta(days=365)
"""How far back a folder is read that the server has numbered anew: what was taken is known for 400 days."""
log = structlog.get_logger(__name__)


class _Beginning(NamedTuple):
    """Mails below a UID, in one numbering of a folder, count from a day on."""

    day: date
    validity: int
    end: int


def validity_of(selected: Mapping[bytes, Any]) -> int:
    """Return the number by which a server tells one numbering of a folder from another (RFC 3501)."""
    return int(selected[b"UIDVALIDITY"])


class Place:
    """How far a mailbox's folder was read, as the store knows it.

    Args:
        store: Where that is kept.
        name: The mailbox's name.
        mailbox: Which folder is read, and since when.
    """

    def __init__(self, store: Repository, name: str, mailbox: Mailbox) -> None:
        self._store, self._name, self._mailbox = store, name, mailbox
        self._validity = 0

    def new(self, server: IMAPClient, selected: Mapping[bytes, Any]) -> list[int]:
        """Return the UIDs of mails that were not taken, in their order.

        Args:
            server: Where the folder is selected.
            selected: What the server has said about the folder.
        """
        self._validity = validity_of(selected)
        last = self._last()
        if last is None:
            last = self._begin(int(selected.get(b"UIDNEXT", 0)) or max(server.search(), default=0) + 1)
        uids = sorted(uid for uid in server.search(["UID", f"{last + 1}:*"]) if uid > last)
        began = self._beginning()
        if began is None or began.validity != self._validity or not uids or uids[0] >= began.end:
            return uids
        recent = set(server.search(["SINCE", began.day]))
        return [uid for uid in uids if uid >= began.end or uid in recent]

    def move(self, uid: int) -> None:
        """Note that a mail was taken, and all before it."""
        self._store.move_position(self._name, self._mailbox.folder, f"{self._validity}:{uid}")

    def _last(self) -> int | None:
        """Return the last UID that was taken; None where the server has numbered the folder anew (RFC 3501)."""
        stored = self._store.position(self._name, self._mailbox.folder)
        before, _, uid = (stored or "0:0").partition(":")
        return int(uid) if int(before) == self._validity else None

    def _beginning(self) -> _Beginning | None:
        stored = self._store.position(self._name, f"{BEGUN}{self._mailbox.folder}")
        if stored is None:
            return None
        day, validity, end = stored.split(":")
        return _Beginning(date.fromisoformat(day), int(validity), int(end))

    def _begin(self, following: int) -> int:
        """Note which of the mails that are there count, and return the last UID that is passed over.

        Args:
            following: UID of the next mail that will come.
        """
        folder, today, since = self._mailbox.folder, datetime.now(UTC).date(), self._mailbox.since
        began, is_unread = self._beginning(), self._store.position(self._name, folder) is None
        is_first = began is None and is_unread
        if is_first:
            day, last = since or today, 0 if since else following - 1
        elif began is not None and is_unread and began.validity == self._validity:  # a restored backup lacks the folder
            day, following, last = began.day, began.end, 0 if since else began.end - 1
        else:
            day, last = max(began.day if began else since or date.min, today - _REMEMBERED), 0
        self._store.move_position(self._name, f"{BEGUN}{folder}", f"{day}:{self._validity}:{following}")
        self.move(last)
        log.info("mailbox_begun", mailbox=self._name, first=is_first, since=str(day), after_uid=last)
        return last
