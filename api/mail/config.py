"""Mailboxes that are read: from one TOML file, checked before the start."""

from __future__ import annotations

import ipaddress
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import SplitResult, urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from triage.errors import InvalidRequest

_PORTS = {"imap": 143, "imaps": 993, "smtp": 587, "smtps": 465}


class Mailbox(BaseModel):
    """A mailbox, and what becomes of its mail.

    Attributes:
        imap: Address of the server: ``imaps://HOST``, or ``imap://`` to this machine.
        user: Login of the mailbox.
        password: Name of the environment variable with the password.
        folder: Folder that is read; nothing in it is changed.
        done_folder: Folder that gets a copy of each mail with the headers of its decision; None for no copies.
        smtp: Address of the server that takes forwards: ``smtps://HOST``, or ``smtp://HOST`` with STARTTLS.
        sender: Address that forwards come from.
        groups: Mail address of each resolver group; a group without one gets no forward.
        forward: Decisions whose mail is forwarded.
        clearance: Clearance that the mailbox has.
        poll_s: Seconds after which the server is asked though it has said nothing.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    imap: Annotated[str, Field(pattern=r"^imaps?://[^/?#\s]+/?$")]
    user: str
    password: str
    folder: str = "INBOX"
    done_folder: str | None = None
    smtp: Annotated[str, Field(pattern=r"^smtps?://[^/?#\s]+/?$")] | None = None
    sender: str | None = None
    groups: Mapping[str, str] = {}
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
        tables = tomllib.loads(path.read_text("utf-8")).get("mailboxes", {})
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InvalidRequest(
            f"the file of mailboxes {path} cannot be read: {error}; mend it, or unset TRIAGE_MAILBOXES"
        ) from error
    problems: list[str] = [] if tables else ["there is no [mailboxes.NAME] in it"]
    found: dict[str, tuple[Mailbox, str]] = {}
    for name, table in tables.items():
        try:
            mailbox = Mailbox.model_validate(table)
        except ValidationError as error:
            faults = error.errors(include_input=False, include_url=False)
            problems += [f"{name}.{'.'.join(map(str, fault['loc']))}: {fault['msg'].lower()}" for fault in faults]
            continue
        problems += [f"{name}.{problem}" for problem in _problems(mailbox, environment)]
        found[name] = (mailbox, environment.get(mailbox.password, ""))
    if problems:
        raise InvalidRequest(f"the file of mailboxes {path} makes no sense: {'; '.join(problems)}; see docs/mail.md")
    return found


def _problems(mailbox: Mailbox, environment: Mapping[str, str]) -> list[str]:
    host, _, encrypted = mailbox.imap_server
    checks = {
        "imap: a password is sent in clear only to this machine; use imaps://": encrypted or is_here(host),
        f"password: the environment variable {mailbox.password} is not set": bool(environment.get(mailbox.password)),
        "groups: forwards need smtp and sender": not mailbox.groups or bool(mailbox.smtp and mailbox.sender),
        "done_folder: it must not be the folder that is read": mailbox.done_folder != mailbox.folder,
        "done_folder: state it, or groups: nothing else becomes of a mail": bool(mailbox.done_folder or mailbox.groups),
    }
    return [problem for problem, is_well in checks.items() if not is_well]


def is_here(host: str) -> bool:
    """Say whether a host is this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
