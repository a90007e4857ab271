"""Mails that are owed to a group: its server does not take them for now, and each is tried again by itself."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import NamedTuple

from api.store.repository import Repository

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 30.0, 3600.0
"""Pause after the first refusal in seconds, and the longest; it doubles with each. Servers that take no unknown sender
at once ask for minutes (RFC 6647), and those that serve a full mailbox are asked every hour."""
_GIVEN_UP_S = 24 * 3600.0
"""A mail that nobody has taken for a day is set aside: by then a person has to look why."""


@dataclass(frozen=True)
class OwedMail:
    """A mail that was decided, and that its group's server has not taken.

    Attributes:
        decision_id: What was decided about it.
        known: What the mail is known by, once it is settled.
        since: When it was refused first, in seconds since 1970.
        tries: How often it was tried.
        due: When it is tried again, in seconds since 1970.
    """

    decision_id: str
    known: str
    since: float
    tries: int
    due: float


class _Number(NamedTuple):
    """A mail in one numbering of a folder."""

    validity: int
    uid: int


class OwedMails:
    """The mails of a folder that are owed, as the store keeps them.

    Args:
        store: Where they are kept.
        mailbox: The mailbox's name.
        folder: The folder that is read.
    """

    def __init__(self, store: Repository, mailbox: str, folder: str) -> None:
        self._store, self._mailbox, self._prefix = store, mailbox, f"owed {folder}:"
        self._validity = 0
        self._mails: dict[int, OwedMail] = {}

    def load(self, validity: int) -> list[OwedMail]:
        """Read what is owed in a numbering of the folder, and return what was owed in another: that is over.

        Args:
            validity: The server's number of the numbering. Where the folder was numbered anew its mails are read anew,
                and one that is owed is not known yet: it is decided as before, and forwarded.
        """
        kept = dict(self._kept())
        over = {place: mail for place, mail in kept.items() if place.validity != validity}
        for place in over:
            self._store.forget_position(self._mailbox, self._name(place))
        self._mails = {place.uid: mail for place, mail in kept.items() if place.validity == validity}
        self._validity = validity
        return list(over.values())

    def get(self, uid: int) -> OwedMail | None:
        """Return what is owed under a UID; None where nothing is."""
        return self._mails.get(uid)

    def due(self) -> list[int]:
        """Return the UIDs of mails that are to be tried now, the one that waits longest first."""
        now = time.time()
        return sorted(
            (uid for uid, mail in self._mails.items() if mail.due <= now), key=lambda uid: self._mails[uid].due
        )

    def wait_s(self) -> float:
        """Return how long it takes until one is to be tried, in seconds; infinity where nothing is owed."""
        return max(0.0, min((mail.due for mail in self._mails.values()), default=float("inf")) - time.time())

    def owe(self, uid: int, *, decision_id: str, known: str) -> float | None:
        """Note that a mail was not taken, and return the pause until it is tried again, in seconds.

        Returns:
            None where it has been tried for long enough; nothing is noted then.
        """
        now, before = time.time(), self._mails.get(uid)
        since, tries = (before.since, before.tries + 1) if before else (now, 1)
        if now - since >= _GIVEN_UP_S:
            return None
        pause = min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2.0 ** min(tries - 1, 20))
        mail = OwedMail(decision_id, known, since=since, tries=tries, due=now + pause)
        self._store.move_position(self._mailbox, self._name(_Number(self._validity, uid)), json.dumps(asdict(mail)))
        self._mails[uid] = mail
        return pause

    def settle(self, uid: int) -> None:
        """Note that nothing is owed under a UID any more."""
        if uid in self._mails:
            self._store.forget_position(self._mailbox, self._name(_Number(self._validity, uid)))
            del self._mails[uid]

    def _kept(self) -> Iterator[tuple[_Number, OwedMail]]:
        for name, value in self._store.positions(self._mailbox, self._prefix).items():
            validity, _, uid = name.removeprefix(self._prefix).partition(":")
            if validity.isdecimal() and uid.isdecimal():
                yield _Number(int(validity), int(uid)), OwedMail(**json.loads(value))

    def _name(self, place: _Number) -> str:
        return f"{self._prefix}{place.validity}:{place.uid}"
