"""Mailboxes that are read: from one TOML file, checked before the start."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from datetime import date
from email.utils import getaddresses
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from api.settings import is_loopback
from api.store.rows import problem_with_name
from triage.errors import TOML_FAULTS, InvalidRequest, why_unreadable
from triage.files.regular_file import read_stated_text

_PORTS = {"imap": 143, "imaps": 993, "smtp": 587, "smtps": 465}
_ADDRESS = re.compile(r"[!-?A-~]+@[!-?A-~]+")


def _server(value: str) -> str:
    """Check that a connection can be made to an address of a server.

    Raises:
        ValueError: Saying what is wrong with it.
    """
    parts = urlsplit(value)
    host, port = parts.hostname, parts.port
    if not host or port == 0:
        raise ValueError("it names no server, or port 0")
    host.encode("idna")
    return value


def _mail_address(value: str) -> str:
    """Check that a server takes a mail address.

    Raises:
        ValueError: Saying what is wrong with it.
    """
    found = getaddresses([value])
    if not value.isascii() or not value.isprintable():
        raise ValueError(
            "a mail address with other letters than those of ASCII is not taken by every server: "
            "write its domain as xn--…, or state another address"
        )
    if len(found) != 1 or not _ADDRESS.fullmatch(found[0][1]):
        raise ValueError("it is not one mail address, such as desk@example.org")
    return value


def _one_line(value: str) -> str:
    if not value.isprintable():
        raise ValueError("it holds a line break or another character that cannot be shown")
    return value


Line = Annotated[str, AfterValidator(_one_line)]
Folder = Annotated[Line, Field(min_length=1, max_length=200)]
MailAddress = Annotated[str, AfterValidator(_mail_address)]


class Mailbox(BaseModel):
    """A mailbox, and what becomes of its mail.

    Attributes:
        imap: Address of the server: ``imaps://HOST``, or ``imap://`` to this machine.
        user: Login of the mailbox.
        password: Name of the environment variable with the password.
        folder: Folder that is read; nothing in it is changed.
        since: Day from which on mail counts that is there at the first start; None for none of it.
        done_folder: Folder that gets a copy of each mail with the headers of its decision; None for no copies.
        smtp: Address of the server that takes forwards: ``smtps://HOST``, or ``smtp://HOST`` with STARTTLS.
        sender: Address that forwards come from.
        groups: Mail address of each resolver group; a group without one gets no forward.
        forward: Decisions whose mail is forwarded.
        clearance: Clearance that the mailbox has.
        poll_s: Seconds after which the server is asked though it has said nothing.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    imap: Annotated[str, Field(pattern=r"^imaps?://[^/?#\s]+/?$"), AfterValidator(_server)]
    user: Line
    password: str
    folder: Folder = "INBOX"
    since: date | None = None
    done_folder: Folder | None = None
    smtp: Annotated[str, Field(pattern=r"^smtps?://[^/?#\s]+/?$"), AfterValidator(_server)] | None = None
    sender: MailAddress | None = None
    groups: Mapping[str, MailAddress] = {}
    forward: tuple[Literal["automatic", "suggested"], ...] = ("automatic",)
    clearance: int = 0
    poll_s: Annotated[float, Field(gt=0, le=1700)] = 300.0  # servers close an idle connection after 29 minutes

    @property
    def imap_server(self) -> tuple[str, int, bool]:
        """Host and port of the mailbox's server, and whether the connection is encrypted."""
        parts = urlsplit(self.imap)
        return parts.hostname or "", parts.port or _PORTS[parts.scheme], parts.scheme == "imaps"

    @property
    def smtp_server(self) -> SplitResult | None:
        """Address of the server that takes forwards."""
        return urlsplit(self.smtp) if self.smtp else None


def load_mailboxes(path: Path | None, environment: Mapping[str, str] | None = None) -> dict[str, tuple[Mailbox, str]]:
    """Read the file of mailboxes, each with its password; none where there is no file.

    Raises:
        InvalidRequest: Naming everything in the file that makes no sense.
    """
    if path is None:
        return {}
    environment = os.environ if environment is None else environment
    try:
        tables = tomllib.loads(read_stated_text(path)).get("mailboxes", {})
    except (OSError, *TOML_FAULTS) as error:
        raise InvalidRequest(
            f"the file of mailboxes {path} cannot be read: {why_unreadable(error)}; mend it, or unset TRIAGE_MAILBOXES"
        ) from error
    tables = tables if isinstance(tables, dict) else {}
    problems: list[str] = [] if tables else ["there is no [mailboxes.NAME] in it"]
    read = {name: _mailbox(name, table, problems) for name, table in tables.items()}
    found: dict[str, tuple[Mailbox, str]] = {}
    for name, mailbox in read.items():
        if mailbox is not None:
            problems += [f"{name}.{problem}" for problem in _problems(mailbox, environment)]
            found[name] = (mailbox, environment.get(mailbox.password, ""))
    if problems:
        raise InvalidRequest(f"the file of mailboxes {path} makes no sense: {'; '.join(problems)}; see docs/mail.md")
    return found


def _mailbox(name: str, table: Any, problems: list[str]) -> Mailbox | None:
    if problem := problem_with_name(name, "a mailbox"):
        problems.append(problem)
        return None
    try:
        return Mailbox.model_validate(table)
    except ValidationError as error:
        for fault in error.errors(include_input=False, include_url=False):
            place = ".".join(map(str, (name, *fault["loc"])))
            problems.append(f"{place}: {fault['msg'].removeprefix('Value error, ').lower()}")
        return None


def _problems(mailbox: Mailbox, environment: Mapping[str, str]) -> list[str]:
    host, _, encrypted = mailbox.imap_server
    password = environment.get(mailbox.password, "")
    done = mailbox.done_folder
    checks = {
        "imap: a password is sent in clear only to this machine; use imaps://": encrypted or is_loopback(host),
        f"password: the environment variable {mailbox.password} is not set": bool(password),
        f"password: there is a line break in the environment variable {mailbox.password}": password.isprintable(),
        "groups: forwards need smtp and sender": not mailbox.groups or bool(mailbox.smtp and mailbox.sender),
        "done_folder: it must not be the folder that is read": done is None or done.lower() != mailbox.folder.lower(),
        "done_folder: state it, or groups: nothing else becomes of a mail": bool(done or mailbox.groups),
    }
    return [problem for problem, is_well in checks.items() if not is_well]
