"""Which mails of a mailbox were taken: what each is known by, in the store."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from email.message import Message

import structlog

from api.mail.message import digest_of, identity, stated_id
from api.store.outbox import ANSWERED_MAIL, MAIL, UNDATED
from api.store.repository import Repository

_MAIL_ID = f"{UNDATED}mail-id:"
_CLOCKS_DIFFER = timedelta(minutes=5)
"""By how much the clock of a mailbox's server may be ahead."""
CameAt = Callable[[], datetime | None]
"""Asks when a server got a mail; None where it does not say."""
log = structlog.get_logger(__name__)


class KnownMails:
    """The mails of a mailbox that were taken, as the store keeps them.

    Args:
        store: Where they are kept.
        mailbox: The mailbox's name.
    """

    def __init__(self, store: Repository, mailbox: str) -> None:
        self._store, self._mailbox = store, mailbox

    def mark_of(self, message: Message, raw: bytes) -> str:
        """Return under what a mail is noted once it was taken."""
        return MAIL + identity(message, raw)

    def has(self, mark: str, message: Message, came_at: CameAt) -> bool:
        """Say whether a mail was taken, by this version or one before it.

        Args:
            mark: What it is noted under.
            message: The mail.
            came_at: Asks when its server got it.
        """
        return self._is_noted(mark, MAIL, message, came_at)

    def is_answered(self, mark: str, message: Message, came_at: CameAt) -> bool:
        """Say whether a mail was taken before a backup was restored that does not know it: it is not answered again.

        Args:
            mark: What it is noted under.
            message: The mail.
            came_at: Asks when its server got it.
        """
        return self._is_noted(ANSWERED_MAIL + mark.removeprefix(MAIL), ANSWERED_MAIL, message, came_at)

    def _is_noted(self, mark: str, kind: str, message: Message, came_at: CameAt) -> bool:
        """Say whether a mail is noted under a mark, or as earlier versions noted it.

        Those knew a mail by its Message-ID alone. What they noted stands for a mail that had come by then: one that
        came later is another, whatever date it states.
        """
        if self._store.has_delivery(self._mailbox, mark):
            return True
        stated = stated_id(message)
        noted = self._store.delivered_at(self._mailbox, kind + digest_of(stated)) if stated else None
        if noted is None:
            return False
        came = came_at()
        return came is None or came <= noted + _CLOCKS_DIFFER

    def note(self, uid: int, mark: str, message: Message) -> None:
        """Note that a mail was taken, and say where its Message-ID is that of another one.

        Args:
            uid: The mail's number in its folder.
            mark: What it is noted under.
            message: The mail.
        """
        is_new = self._store.take_delivery(self._mailbox, [mark])
        stated = stated_id(message)
        if is_new and stated and not self._store.take_delivery(self._mailbox, [_MAIL_ID + digest_of(stated)]):
            log.warning("mail_id_repeated", mailbox=self._mailbox, uid=uid)

    def note_forgotten(self, mark: str) -> None:
        """Note that a mail is taken whose ticket was forgotten: it is not decided again."""
        self._store.take_delivery(self._mailbox, [mark])
