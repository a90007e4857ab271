"""Which mails of a mailbox were taken: what each is known by, in the store."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.message import Message

import structlog

from api.mail.message import digest_of, identity, sent_at, stated_id
from api.store.outbox import UNDATED
from api.store.repository import Repository

_CLOCKS_DIFFER = timedelta(days=1)
"""By how much the clock of a sender may be ahead."""
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
        return _mark(identity(message, raw))

    def has(self, mark: str, message: Message) -> bool:
        """Say whether a mail was taken, by this version or one before it.

        Those before it knew a mail by its Message-ID alone. What they noted stands for one mail, which had been sent by
        then: one that was sent later is another.

        Args:
            mark: What it is noted under.
            message: The mail.
        """
        if self._store.has_delivery(self._mailbox, mark):
            return True
        stated = stated_id(message)
        noted = self._store.delivered_at(self._mailbox, _mark(digest_of(stated))) if stated else None
        if noted is None:
            return False
        return (sent_at(message) or datetime.min.replace(tzinfo=UTC)) <= noted + _CLOCKS_DIFFER

    def note(self, uid: int, mark: str, message: Message) -> None:
        """Note that a mail was taken, and say where its Message-ID is that of another one.

        Args:
            uid: The mail's number in its folder.
            mark: What it is noted under.
            message: The mail.
        """
        is_new = self._store.take_delivery(self._mailbox, [mark])
        stated = stated_id(message)
        if is_new and stated and not self._store.take_delivery(self._mailbox, [_mark(digest_of(stated), "mail-id")]):
            log.warning("mail_id_repeated", mailbox=self._mailbox, uid=uid)

    def note_forgotten(self, mark: str) -> None:
        """Note that a mail is taken whose ticket was forgotten: it is not decided again."""
        self._store.take_delivery(self._mailbox, [mark])


def _mark(digest: str, kind: str = "mail") -> str:
    return f"{UNDATED}{kind}:{digest}"
