"""What keeps a mailbox from being read: in words for its log, and how long to wait before it is tried again."""

from __future__ import annotations

import ssl
from concurrent.futures import CancelledError
from imaplib import IMAP4
from smtplib import SMTPAuthenticationError, SMTPException
from typing import NamedTuple

from imapclient.exceptions import IMAPClientError, LoginError

from api.http.exceptions import TooBusy
from api.mail.answers import NotTaken
from api.telemetry import described
from triage.errors import StoreUnavailable

PASSING = (OSError, IMAPClientError, StoreUnavailable, TooBusy, TimeoutError, CancelledError)
"""Faults that no mail is to blame for: a server, the store or the service does not do its part now."""
LOGIN_REFUSED, SENDER_REFUSED = "login-refused", "sender-refused"
_PAUSE_S = 5.0
_LOGIN_PAUSE_S, _LONGEST_PAUSE_S = 60.0, 900.0
"""Pause after the first refused login or sender in seconds, and the longest: many servers lock an account that tries
often."""
_QUICK_TRIES, _MOST_PAUSES = 3, 12.0
"""How often a mail at which the connection is cut is tried after the usual pause, and how many of these the longest
pause has after that: one minute, for which new mail waits too."""
_MOST_CHARS = 300


class NotHandedOut(Exception):
    """A server is there and does not hand out one mail: it may be damaged there, and its neighbours whole."""


class CutOff(NotHandedOut):
    """A server ends the connection, or says nothing any more, where it is asked for one mail.

    Attributes:
        asked: The part of the mail that it was asked for.
    """

    def __init__(self, message: str, asked: str) -> None:
        super().__init__(message)
        self.asked = asked


_KINDS: tuple[tuple[type[BaseException], str], ...] = (
    (NotTaken, "not-forwarded"),
    (LoginError, LOGIN_REFUSED),
    (IMAP4.abort, "connection-lost"),
    (IMAPClientError, "refused-by-server"),
    (NotHandedOut, "refused-by-server"),
    (SMTPException, "refused-by-mail-server"),
    (ssl.SSLError, "not-trusted"),
    (TimeoutError, "no-answer"),
    (OSError, "not-reached"),
    (StoreUnavailable, "store-unavailable"),
    (TooBusy, "too-busy"),
)


class Fault(NamedTuple):
    """Why a mailbox was not read: a machine-readable word, and what a server or the system said about it."""

    problem: str
    said: str


def fault_of(error: BaseException) -> Fault:
    """Say in words why a mailbox was not read."""
    told = error.__cause__ if isinstance(error, CutOff) else error
    problem = next((word for kind, word in _KINDS if isinstance(told, kind)), "unexpected")
    if problem == "unexpected":
        return Fault(problem, str(described(error)))
    if isinstance(error, LoginError) and isinstance(error.__context__, IMAP4.abort):
        problem = "connection-lost"
    elif isinstance(error, LoginError) and "[UNAVAILABLE]" in str(error):
        problem = "refused-by-server"
    elif isinstance(error.__cause__, SMTPAuthenticationError) and error.__cause__.smtp_code >= 500:
        problem = LOGIN_REFUSED
    elif isinstance(error, NotTaken) and error.of_sender:
        problem = SENDER_REFUSED
    return Fault(problem, " ".join(str(error).split())[:_MOST_CHARS])


def pause_s(fault: Fault, times: int, *, at_mail: bool = False) -> float:
    """Return how long to wait after a fault, in seconds.

    Args:
        fault: What happened.
        times: How often the same has happened in a row.
        at_mail: Whether the server ended the connection where it was asked for a mail.

    Example:
        >>> [pause_s(Fault("login-refused", ""), times) for times in (1, 2, 9)], pause_s(Fault("no-answer", ""), 9)
        ([60.0, 120.0, 900.0], 5.0)
        >>> [pause_s(Fault("connection-lost", ""), times, at_mail=True) for times in (3, 4, 5, 9)]
        [5.0, 10.0, 20.0, 60.0]
    """
    if at_mail:
        return _PAUSE_S * min(2.0 ** min(max(0, times - _QUICK_TRIES), 10), _MOST_PAUSES)
    if fault.problem not in (LOGIN_REFUSED, SENDER_REFUSED):
        return _PAUSE_S
    return min(_LOGIN_PAUSE_S * 2.0 ** min(times - 1, 10), _LONGEST_PAUSE_S)
