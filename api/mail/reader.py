"""Reading a mailbox: resumed by UID, waiting by IDLE, each mail decided and answered once."""

from __future__ import annotations

import asyncio
import fcntl
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import IO

import structlog
from imapclient import IMAPClient
from imapclient.exceptions import IMAPClientError

from api.http.exceptions import TooBusy
from api.mail.answers import Forward, forward, headers_of, is_forwarded, with_headers
from api.mail.config import Mailbox
from api.mail.message import has_text, identity, is_looping, parse, ticket_of
from api.scoring.service import Service
from api.security.auth import Principal
from api.store.outbox import UNDATED
from models.wire import DecisionDocument
from triage.errors import StoreUnavailable

_HEAD_BYTES = 1024 * 1024
"""How much of a mail is read to decide it: texts stand before attachments, and a mail of 30 MB is not parsed whole."""
_TIMEOUT_S = 60.0
_PAUSE_S = 5.0
"""Pause after a server or the store did not answer, in seconds."""
_STEP_S = 1.0
"""How long one wait for news lasts, in seconds, so that a stop is noticed."""
log = structlog.get_logger(__name__)


class MailReader:
    """Reads one mailbox in a thread of its own; of several processes one reads, the others wait to take over.

    Args:
        name: The mailbox's name: the source of its tickets in the store.
        mailbox: Where it is, and what becomes of its mail.
        password: For the login.
        service: Decides and records.
        home: Where the lock is.
    """

    def __init__(self, name: str, mailbox: Mailbox, password: str, *, service: Service, home: Path) -> None:
        self._name, self._mailbox, self._password = name, mailbox, password
        self._service, self._lock_path = service, home / f"mail-{name}.lock"
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"mail {name}", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self) -> None:
        """Begin to read; needs a running event loop."""
        self._loop = asyncio.get_running_loop()
        self._thread.start()

    def stop(self, within_s: float = 5.0) -> None:
        """Finish the mail at hand, and stop; the next start goes on after it."""
        self._stopping.set()
        self._thread.join(within_s)

    def _run(self) -> None:
        with self._lock_path.open("w") as lock:
            if not self._wait_for_turn(lock):
                return
            while not self._stopping.is_set():
                try:
                    self._read_on()
                except (OSError, IMAPClientError, StoreUnavailable, TooBusy, TimeoutError) as error:
                    log.warning("mailbox_not_read", mailbox=self._name, problem=type(error).__name__)
                    self._stopping.wait(_PAUSE_S)

    def _wait_for_turn(self, lock: IO[str]) -> bool:
        while not self._stopping.is_set():
            with suppress(BlockingIOError):
                fcntl.flock(lock.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
                return True
            self._stopping.wait(_STEP_S)
        return False

    def _read_on(self) -> None:
        host, port, encrypted = self._mailbox.imap_server
        with IMAPClient(host, port, ssl=encrypted, timeout=_TIMEOUT_S) as server:
            server.login(self._mailbox.user, self._password)
            if self._mailbox.done_folder and not server.folder_exists(self._mailbox.done_folder):
                server.create_folder(self._mailbox.done_folder)
            while not self._stopping.is_set():
                if not self._take_new(server):
                    self._wait_for_news(server)

    def _take_new(self, server: IMAPClient) -> bool:
        """Take the mails after the last one that was taken, and say whether there were any."""
        selected = server.select_folder(self._mailbox.folder, readonly=True)
        validity = int(selected[b"UIDVALIDITY"])
        last = self._position(validity)
        uids = sorted(uid for uid in server.search(["UID", f"{last + 1}:*"]) if uid > last)
        for uid in uids:
            if self._stopping.is_set():
                break
            self._take(server, validity, uid)
        return bool(uids)

    def _position(self, validity: int) -> int:
        """Return the last UID that was taken; 0 where the server has numbered the folder anew (RFC 3501, 2.3.1.1)."""
        stored = self._service.store.position(self._name, self._mailbox.folder)
        before, _, uid = (stored or "0:0").partition(":")
        return int(uid) if int(before) == validity else 0

    def _take(self, server: IMAPClient, validity: int, uid: int) -> None:
        """Decide and answer one mail, and note then that it was taken; one that is gone meanwhile is passed over."""
        raw = self._fetch(server, uid, f"BODY.PEEK[]<0.{_HEAD_BYTES}>")
        message = parse(raw)
        if len(raw) >= _HEAD_BYTES and not has_text(message):
            message = parse(self._fetch(server, uid, "BODY.PEEK[]"))
        known = f"{UNDATED}mail:{identity(message, raw)}"
        store, outcome = self._service.store, "gone"
        if raw and is_looping(message):
            outcome = "loop"
        elif raw and store.has_delivery(self._name, known):
            outcome = "known"
        elif raw:
            document = self._decide(partial(ticket_of, message, known[-32:]))
            self._answer(server, uid, document)
            store.take_delivery(self._name, [known])
            outcome = document.kind or "decided"
        store.move_position(self._name, self._mailbox.folder, f"{validity}:{uid}")
        self._service.metrics.webhooks.labels(self._name, f"mail-{outcome}").inc()

    def _decide(self, ticket_of_chars: Callable[..., object]) -> DecisionDocument:
        ticket = ticket_of_chars(max_text_chars=self._service.settings.max_text_chars)
        caller = Principal(None, f"mailbox {self._name}", frozenset(), self._mailbox.clearance, source=self._name)
        assert self._loop is not None
        decided = asyncio.run_coroutine_threadsafe(
            self._service.decide([ticket], caller),  # type: ignore[list-item]
            self._loop,
        )
        [document] = decided.result(_TIMEOUT_S)
        if not document.stored and not self._service.is_given_up(document.decision_id):
            raise StoreUnavailable("locked", "the decision is not kept yet: the mail is read again")
        return document

    def _answer(self, server: IMAPClient, uid: int, document: DecisionDocument) -> None:
        """Put the copy with headers and the forward where they belong; neither is made again where it is known."""
        to_group = is_forwarded(self._mailbox, document)
        folder = self._mailbox.done_folder
        if not (to_group or folder):
            return
        raw = self._fetch(server, uid, "BODY.PEEK[]")
        if folder and not self._has_copy(server, folder, document):
            server.append(folder, with_headers(raw, headers_of(document)))
        begun, sent = (f"{UNDATED}{stage}:{document.decision_id}" for stage in ("forwarding", "forward"))
        if to_group and not self._service.store.has_delivery(self._name, sent):
            mail = Forward(raw, document, again=not self._service.store.take_delivery(self._name, [begun]))
            note = partial(self._service.store.take_delivery, self._name, [sent])
            forward(self._mailbox, mail, self._password, on_taken=note)

    def _has_copy(self, server: IMAPClient, folder: str, document: DecisionDocument) -> bool:
        server.select_folder(folder, readonly=True)
        found = server.search(["HEADER", "X-Triage-Decision", document.decision_id or ""])
        server.select_folder(self._mailbox.folder, readonly=True)
        return bool(found)

    def _fetch(self, server: IMAPClient, uid: int, what: str) -> bytes:
        parts: Mapping[bytes, object] = server.fetch([uid], [what]).get(uid, {})
        return next(
            (part for name, part in parts.items() if name.startswith(b"BODY[") and isinstance(part, bytes)), b""
        )

    def _wait_for_news(self, server: IMAPClient) -> None:
        """Wait until the server tells of a mail, for a while at most; one that cannot tell is asked again soon."""
        if not server.has_capability("IDLE"):
            self._stopping.wait(min(self._mailbox.poll_s, 30.0))
            return
        server.idle()
        waited = 0.0
        while waited < self._mailbox.poll_s and not self._stopping.is_set():
            if server.idle_check(timeout=_STEP_S):
                break
            waited += _STEP_S
        server.idle_done()
