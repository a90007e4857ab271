"""Reading a mailbox: resumed by UID, waiting by IDLE, each mail decided and answered once."""

from __future__ import annotations

import asyncio
import fcntl
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from imaplib import IMAP4
from pathlib import Path
from typing import IO, Any

import structlog
from imapclient import IMAPClient
from imapclient.exceptions import IMAPClientError

from api.mail.answers import Forward, NotTaken, forward, headers_of, is_forwarded, with_headers
from api.mail.config import Mailbox
from api.mail.faults import PASSING, CutOff, NotHandedOut, fault_of, pause_s
from api.mail.known import KnownMails
from api.mail.message import decisions_in, has_circled, parse, ticket_of
from api.mail.owed import OwedMails
from api.mail.place import Place, validity_of
from api.mail.text import body_of
from api.scoring.service import Service
from api.security.auth import Principal
from api.store.outbox import UNDATED, ticket_id_of
from api.store.rows import made_at
from api.telemetry import described, show_at_zero
from models.wire import DecisionDocument
from triage.errors import StoreUnavailable
from triage.policy import Policy

_HEAD_BYTES = 1024 * 1024
"""How much of a mail is read to decide it: texts stand before attachments, and a mail of 30 MB is not parsed whole."""
_FEW_WORDS = 25
"""Words in the first part of a long mail below which all of it is read: more text may stand behind an image."""
_TIMEOUT_S = 60.0
_STEP_S = 1.0
"""How long one wait for news lasts, in seconds, so that a stop is noticed."""
_RETRIES = 10
"""How many mails that are owed are tried before new mail is looked for again: a slow server may take a minute each."""
_TRIES = 3
"""How often a mail is tried that its server does not hand out, or on which this program fails: then it is set aside."""
_TRIES_ALONE = 15
"""The same where the server cuts the connection and the mail is alone in its folder: no other one can show that it is
the mail, so it is tried for some ten minutes."""
_OTHERS = 5
"""How many other mails are asked for where one is refused again and again."""
_ONE_BYTE = "BODY.PEEK[]<0.1>"
_SET_ASIDE, _OWED, _NOT_COPIED, _NOT_FORWARDED = "set-aside", "forward-owed", "copy-refused", "forward-refused"
_OUTCOMES = ("decided", "known", "loop", "gone", _SET_ASIDE, _OWED, _NOT_COPIED, _NOT_FORWARDED)
"""How mails are counted, beside the kinds of those that need no route."""
_PASSING_REFUSALS = ("[TRYCREATE]", "[UNAVAILABLE]", "[INUSE]", "[SERVERBUG]")
"""Codes by which a server refuses a copy that it may take later (RFC 5530)."""
_AWAY = ("[UNAVAILABLE]", "[INUSE]")
"""Codes by which it refuses any mail for now; one that is damaged there is often its bug (``SERVERBUG``)."""
log = structlog.get_logger(__name__)


def unknown_groups(mailbox: Mailbox, policy: Policy) -> list[str]:
    """Return the groups of a mailbox to which no ticket can go: those of no route, and of no label that was learned.

    Args:
        mailbox: With an address for each of its groups.
        policy: The one in use.
    """
    return sorted(mailbox.groups.keys() - set(policy.group_names))


def _all_over(uids: Iterable[int], but: int) -> list[int]:
    """Return a few UIDs from all over a folder, the last first: what is damaged is often damaged together.

    Example:
        >>> _all_over(range(1, 12), 4)
        [11, 8, 6, 3, 1]
    """
    others = sorted(uid for uid in uids if uid != but)
    chosen = {others[step * (len(others) - 1) // (_OTHERS - 1)] for step in range(_OTHERS)} if others else set()
    return sorted(chosen, reverse=True)


def _counted_as(outcome: str) -> str:
    return f"mail-{outcome}"


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
        self._place = Place(service.store, name, mailbox)
        self._owed = OwedMails(service.store, name, mailbox.folder)
        self._known = KnownMails(service.store, name)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"mail {name}", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tries: Counter[int] = Counter()
        self._faults: tuple[str, int] = ("", 0)
        show_at_zero(service.metrics.webhooks, (name,), map(_counted_as, _OUTCOMES))

    def start(self) -> None:
        """Begin to read; needs a running event loop."""
        self._loop = asyncio.get_running_loop()
        if unknown := unknown_groups(self._mailbox, self._service.model.triager.policy):
            log.warning("mailbox_groups_unknown", mailbox=self._name, groups=unknown, because="not in the policy")
        self._thread.start()

    def stop(self, within_s: float = 5.0) -> None:
        """Finish the mail at hand, and stop; the next start goes on after it."""
        self._stopping.set()
        self._thread.join(within_s)

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                with self._lock_path.open("w") as lock:
                    if self._wait_for_turn(lock):
                        self._read_until_stopped()
            except OSError as error:
                self._wait_after(error)

    def _read_until_stopped(self) -> None:
        while not self._stopping.is_set():
            try:
                self._read_on()
            except Exception as error:  # whatever it is, the mailbox is tried again, and nobody has to notice by chance
                self._wait_after(error)

    def _wait_after(self, error: Exception) -> None:
        fault = fault_of(error)
        kind = CutOff.__name__ if isinstance(error, CutOff) else fault.problem  # however a server cuts off, it is that
        times = self._faults[1] + 1 if self._faults[0] == kind else 1
        self._faults = (kind, times)
        pause = pause_s(fault, times, at_mail=isinstance(error, CutOff))
        log.warning("mailbox_not_read", mailbox=self._name, problem=fault.problem, said=fault.said, again_in_s=pause)
        self._service.note_mailbox(self._name, is_read=False)
        self._stopping.wait(pause)

    def _wait_for_turn(self, lock: IO[str]) -> bool:
        while not self._stopping.is_set():
            with suppress(BlockingIOError):
                fcntl.flock(lock.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
                return True
            self._stopping.wait(_STEP_S)
        return False

    @contextmanager
    def _selected(self) -> Iterator[IMAPClient]:
        """Open another connection, on which the folder is selected."""
        with self._logged_in() as server:
            server.select_folder(self._mailbox.folder, readonly=True)
            yield server

    @contextmanager
    def _logged_in(self) -> Iterator[IMAPClient]:
        host, port, encrypted = self._mailbox.imap_server
        with IMAPClient(host, port, ssl=encrypted, timeout=_TIMEOUT_S) as server:
            self._log_in(server)
            yield server

    def _read_on(self) -> None:
        with self._logged_in() as server:
            if self._mailbox.done_folder and not server.folder_exists(self._mailbox.done_folder):
                server.create_folder(self._mailbox.done_folder)
            longest_s = _STEP_S
            while not self._stopping.is_set():
                found = self._take_new(server)
                self._faults = ("", 0)
                self._service.note_mailbox(self._name, is_read=True)
                longest_s = _STEP_S if found else min(2 * longest_s, self._mailbox.poll_s)
                if not found:
                    self._wait_for_news(server, longest_s)

    def _log_in(self, server: IMAPClient) -> None:
        """Log in; what is not ASCII is sent as UTF-8 (RFC 4616), for LOGIN cannot say it."""
        user, password = self._mailbox.user, self._password
        if f"{user}{password}".isascii():
            server.login(user, password)
        else:
            server.sasl_login("PLAIN", lambda _: f"\0{user}\0{password}".encode())

    def _take_new(self, server: IMAPClient) -> bool:
        """Take the mails after the last one that was taken and those that are owed, and say whether there were any."""
        selected = server.select_folder(self._mailbox.folder, readonly=True)
        for mail in self._owed.load(validity_of(selected)):
            if self._is_forgotten(mail.decision_id):
                self._known.note_forgotten(mail.known)
        uids = self._place.new(server, selected)
        for uid in uids:
            if self._stopping.is_set():
                break
            cut = self._take_or_set_aside(server, uid)
            self._place.move(uid)
            if cut is not None:
                raise cut
        self._try_owed(server)
        return bool(uids)

    def _try_owed(self, server: IMAPClient) -> None:
        """Take the mails again that a group's server did not take, once their pause is over."""
        for uid in self._owed.due()[:_RETRIES]:
            if self._stopping.is_set():
                break
            cut = self._take_or_set_aside(server, uid)
            if cut is not None:
                raise cut

    def _take_or_set_aside(self, server: IMAPClient, uid: int) -> CutOff | None:
        """Take one mail; one that cannot be had or ends in a fault of this program is left where it is, and said.

        Returns:
            What cut off the connection to a mail that was set aside for it: another connection is needed then.
        """
        cut = None
        try:
            outcome = self._take(server, uid)
        except PASSING:
            raise
        except Exception as error:  # the mails behind it are read
            self._tries[uid] += 1
            if self._tries[uid] < _TRIES or not self._is_to_blame(server, uid, error):
                raise
            outcome = _SET_ASIDE
            cut = error if isinstance(error, CutOff) else None
            why = {"said": fault_of(error).said} if isinstance(error, NotHandedOut) else described(error)
            log.error("mail_set_aside", mailbox=self._name, uid=uid, **why)
            self._faults = ("", 0)  # what comes next is not that mail's
        del self._tries[uid]
        if outcome is not None:
            self._owed.settle(uid)
            self._count(outcome)
        return cut

    def _is_to_blame(self, server: IMAPClient, uid: int, error: Exception) -> bool:
        """Say whether it lies at the mail that it was not taken again and again, not at a server that hands out none.

        Of a server that cuts the connection this asks, at every third time, on new ones: it must hand out another mail
        and cut off this one right behind it. What keeps it from that, such as a refused login, is raised in its place.
        Where there is no other mail, it is enough that this one was cut off often.
        """
        if isinstance(error, CutOff):
            return self._tries[uid] % _TRIES == 0 and self._cuts_off_only(uid, error.asked)
        return not isinstance(error, NotHandedOut) or not self._hands_out_none(server, uid)

    def _cuts_off_only(self, uid: int, what: str) -> bool:
        with self._selected() as server:
            asked = _all_over(server.search(), uid)
        if not asked:
            return self._tries[uid] >= _TRIES_ALONE
        for other in asked:
            with self._selected() as server, suppress(NotHandedOut):
                self._fetch(server, other, _ONE_BYTE)
                try:
                    self._fetch(server, uid, what)
                except CutOff:
                    return True
                return False
        return False

    def _hands_out_none(self, server: IMAPClient, uid: int) -> bool:
        """Say whether a server that refuses a mail refuses others of the folder as well: then none is to blame."""
        others = _all_over(server.search(), uid)
        for other in others:
            with suppress(NotHandedOut):
                self._fetch(server, other, _ONE_BYTE)
                return False
        return bool(others)

    def _count(self, outcome: str) -> None:
        self._service.metrics.webhooks.labels(self._name, _counted_as(outcome)).inc()

    def _take(self, server: IMAPClient, uid: int) -> str | None:
        """Decide and answer one mail, note that it was taken, and return what became of it; None where it is owed."""
        raw = self._fetch(server, uid, f"BODY.PEEK[]<0.{_HEAD_BYTES}>")
        if not raw:
            return "gone"
        message = parse(raw)
        if len(raw) >= _HEAD_BYTES and len(body_of(message).split()) < _FEW_WORDS:
            message = parse(self._fetch(server, uid, "BODY.PEEK[]"))
        if has_circled(message) or any(self._is_ours(one) for one in decisions_in(message)):
            return "loop"
        owed = self._owed.get(uid)
        mark = owed.known if owed is not None else self._known.mark_of(message, raw)
        came_at = partial(self._came_at, server, uid)
        if self._known.has(mark, message, came_at):
            return "known"
        if owed is not None and self._is_forgotten(owed.decision_id):
            outcome = "forgotten"
        else:
            document = self._decide(partial(ticket_of, message, ticket_id_of(mark)))
            is_answered = self._known.is_answered(mark, message, came_at)
            refusal = None if is_answered else self._answer(server, uid, document)
            if refusal is not None and self._owe(uid, document, mark, said=refusal):
                return None
            outcome = document.kind or "decided" if refusal is None else _SET_ASIDE
        self._known.note(uid, mark, message)
        return outcome

    def _owe(self, uid: int, document: DecisionDocument, known: str, *, said: str) -> bool:
        """Note that a mail is tried again later, and say whether it is: one that was tried for long is set aside."""
        is_first = self._owed.get(uid) is None
        pause = self._owed.owe(uid, decision_id=document.decision_id or "", known=known)
        place: dict[str, Any] = {"mailbox": self._name, "uid": uid, "group": document.resolver_group}
        if pause is None:
            log.error("mail_set_aside", **place, said=said)
            return False
        log.warning("mail_not_forwarded", **place, said=said, again=True, again_in_s=pause)
        if is_first:
            self._count(_OWED)
        return True

    def _is_forgotten(self, decision_id: str) -> bool:
        """Say whether somebody had a ticket forgotten: it is not decided anew then."""
        row = self._service.store.decision(decision_id)
        return row is not None and row.forgotten

    def _is_ours(self, decision_id: str) -> bool:
        """Say whether an id in a mail is that of a decision that was made here."""
        return made_at(decision_id) is not None and self._service.store.decision(decision_id) is not None

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

    def _answer(self, server: IMAPClient, uid: int, document: DecisionDocument) -> str | None:
        """Put the copy with headers and the forward where they belong; neither is made again where it is known.

        Returns:
            What was said of a forward that is to be tried again later; None where nothing is left to do.
        """
        to_group = is_forwarded(self._mailbox, document)
        folder = self._mailbox.done_folder
        if not (to_group or folder):
            return None
        raw = self._fetch(server, uid, "BODY.PEEK[]")
        if raw and folder and not self._has_copy(server, folder, document):
            self._copy(server, uid, with_headers(raw, headers_of(document)))
        return self._forward(uid, raw, document) if raw and to_group else None

    def _copy(self, server: IMAPClient, uid: int, content: bytes) -> None:
        """Make the copy of a mail; where the server refuses it for good, that is said, and the mail goes on."""
        try:
            server.append(self._mailbox.done_folder, content)
        except IMAP4.abort:
            raise
        except IMAPClientError as error:
            fault = fault_of(error)
            if any(code in fault.said for code in _PASSING_REFUSALS):
                raise
            log.error("mail_not_copied", mailbox=self._name, uid=uid, said=fault.said)
            self._count(_NOT_COPIED)

    def _forward(self, uid: int, raw: bytes, document: DecisionDocument) -> str | None:
        """Forward a mail once; where the group's server refuses it for good, that is said, and the next one is read.

        Returns:
            What was said where it is to be tried again later; None where it was taken or refused for good.

        Raises:
            NotTaken: The mail server takes no mail at all now.
        """
        store = self._service.store
        begun, sent = (f"{UNDATED}{stage}:{document.decision_id}" for stage in ("forwarding", "forward"))
        if store.has_delivery(self._name, sent):
            return None
        mail = Forward(raw, document, again=not store.take_delivery(self._name, [begun]))
        note = partial(store.take_delivery, self._name, [sent])
        try:
            forward(self._mailbox, mail, self._password, on_taken=note)
        except NotTaken as error:
            if not mail.again:
                store.forget_delivery(self._name, begun)
            said, place = fault_of(error).said, {"mailbox": self._name, "uid": uid, "group": document.resolver_group}
            if not error.is_final and not error.is_about_all:
                return said
            log.error("mail_not_forwarded", **place, said=said, again=not error.is_final)
            if error.is_about_all:
                raise
            self._count(_NOT_FORWARDED)
        except OSError as error:  # nobody knows whether it was taken, but where that was noted
            return None if store.has_delivery(self._name, sent) else fault_of(error).said
        return None

    def _has_copy(self, server: IMAPClient, folder: str, document: DecisionDocument) -> bool:
        server.select_folder(folder, readonly=True)
        found = server.search(["HEADER", "X-Triage-Decision", document.decision_id or ""])
        server.select_folder(self._mailbox.folder, readonly=True)
        return bool(found)

    def _fetch(self, server: IMAPClient, uid: int, what: str) -> bytes:
        """Return a part of a mail; nothing where it is not there any more.

        Raises:
            NotHandedOut: The server does not hand it out.
            CutOff: It ends the connection in place of that, or says nothing.
        """
        try:
            parts: Mapping[bytes, object] = server.fetch([uid], [what]).get(uid, {})
        except (IMAP4.abort, OSError) as error:
            raise CutOff(f"mail {uid}: {error}", what) from error
        except IMAPClientError as error:
            if any(code in str(error) for code in _AWAY):
                raise
            raise NotHandedOut(f"mail {uid}: {error}") from error
        return next(
            (part for name, part in parts.items() if name.startswith(b"BODY[") and isinstance(part, bytes)), b""
        )

    def _came_at(self, server: IMAPClient, uid: int) -> datetime | None:
        """Return when the server got a mail; None where it does not say."""
        found = server.fetch([uid], ["INTERNALDATE"]).get(uid, {}).get(b"INTERNALDATE")
        return found.astimezone(UTC) if isinstance(found, datetime) else None

    def _wait_for_news(self, server: IMAPClient, longest_s: float) -> None:
        """Wait until the server tells of a mail or one is owed; a server that cannot tell is asked again soon.

        A server tells of a mail once, and what it tells between looking through the folder and waiting is not heard:
        so the first waits are short.
        """
        longest_s = min(longest_s, self._owed.wait_s())
        if not server.has_capability("IDLE"):
            self._stopping.wait(min(longest_s, 30.0))
            return
        server.idle()
        waited = 0.0
        while waited < longest_s and not self._stopping.is_set():
            if server.idle_check(timeout=_STEP_S):
                break
            waited += _STEP_S
        server.idle_done()
