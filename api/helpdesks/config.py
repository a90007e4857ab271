"""Helpdesks that send webhooks and are told what was decided: read from one TOML file, checked before the start."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from api.helpdesks.signatures import PRESETS, Signature, is_base64
from api.helpdesks.vendors import VENDORS
from api.helpdesks.vendors.helpdesk import Site, tables_of
from api.store.outbox import TARGET_PLACE
from api.store.rows import problem_with_name
from triage.errors import TOML_FAULTS, InvalidRequest, why_unreadable
from triage.files.regular_file import read_stated_text

MIN_SECRET_CHARS = 16
PLACE = re.compile(r"\{(\w+)\}")
"""A placeholder in a template."""
_EVENT_PLACEHOLDERS = frozenset(
    ("event", "target", "mode", "because", "reviews", "errors", "target_risk", "model_version", "changed_at")
)
_PLACEHOLDERS = frozenset(
    ("ticket_id", "decision_id", "tier", "category", "resolver_group", "automation", "reason", "model_version")
)
_NOTE_PLACEHOLDERS = _PLACEHOLDERS | {"note", "attention"}


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TicketMap(_Table):
    """Where a ticket's fields stand in what the helpdesk sends: dotted paths, or ``=text`` for always the same text."""

    when: dict[str, str] = {}
    id: str
    subject: str | None = None
    body: str | None = None
    channel: str | None = None
    requester: str | None = None
    opened_at: str | None = None
    language: str | None = None
    attributes: dict[str, str] = {}


class FeedbackMap(_Table):
    """Where a correction stands in what the helpdesk sends.

    Attributes:
        when: Texts that must stand at some paths.
        id: The ticket.
        agent: Who has changed something.
        changed: Paths of which one must be there, such as entries of a list of changes: they say that a label was
            changed. Without them a webhook with the labels that the helpdesk has anyway is ignored.
        not_people: Agents whose changes are no feedback, as the service itself.
        tier: The tier that the ticket has now.
        category: The category that it has now.
        targets: The labels that it has now of other targets, such as ``resolver_group``.
        comment: What the agent wrote.
    """

    when: dict[str, str] = {}
    id: str
    agent: str
    changed: tuple[str, ...] = ()
    not_people: tuple[str, ...] = ()
    tier: str | None = None
    category: str | None = None
    targets: dict[str, str] = {}
    comment: str | None = None


class Update(_Table):
    """How a helpdesk is told what was decided.

    Attributes:
        method: HTTP method.
        url: Where to; may hold ``{ticket_id}``.
        hosts: Hosts, with their port where it is not the usual one, that may be called at all.
        loopback: Whether the helpdesk runs on this machine; only then may the URL be ``http``.
        private: Whether the helpdesk runs in a private network.
        authorization: Name of the environment variable that holds the ``Authorization`` header.
        body: What is sent; texts may hold placeholders such as ``{tier}``; what nobody named is left out.
        automation: Decisions that the helpdesk is told about.
        timeout_s: How long an answer may take.
    """

    method: str = Field("PUT", pattern="^(PUT|POST|PATCH)$")
    url: str
    hosts: tuple[str, ...] = Field(min_length=1)
    loopback: bool = False
    private: bool = False
    authorization: str | None = None
    body: dict[str, Any]
    automation: tuple[str, ...] = ("automatic", "suggested")
    timeout_s: float = Field(10.0, gt=0, le=60)


class Current(_Table):
    """Where the labels that a ticket has at its helpdesk now are read, so that what a person set there stands.

    Attributes:
        url: Where from, with the host and the login of `update`; may hold ``{ticket_id}``.
        tier: Dotted path of the tier in the answer.
        category: Dotted path of the category.
        targets: Dotted paths of the labels of other targets, such as ``resolver_group``.
        unset: Labels that count as none, such as the default of a field.
        match: Whether the answer's ``ETag`` goes back as ``If-Match``, so that a change made meanwhile is noticed.
    """

    url: str
    tier: str | None = None
    category: str | None = None
    targets: dict[str, str] = {}
    unset: tuple[str, ...] = ()
    match: bool = False


class Poll(_Table):
    """How often a helpdesk that sends no webhooks is asked what is new, with the host and the login of `update`.

    Attributes:
        url: Address of the helpdesk.
        every_s: Seconds between two questions.
    """

    url: str
    every_s: float = Field(15.0, ge=0.2, le=3600)


class _HelpdeskTable(_Table):
    secrets: tuple[str, ...] = Field((), max_length=2)
    clearance: int = 0
    signature: Signature = PRESETS["triage"]
    ticket: TicketMap | None = None
    feedback: FeedbackMap | None = None
    update: Update | None = None
    current: Current | None = None
    note: Update | None = None
    events: Update | None = None

    poll: Poll | None = None

    @model_validator(mode="before")
    @classmethod
    def _signature_of_preset(cls, stated: Any) -> Any:
        """Fill in what the preset of a signature says; `headers` is what the first version called the table."""
        if not isinstance(stated, dict):
            return stated
        table = {**stated}
        own = table.pop("headers", None)
        own = table.pop("signature", own)
        own = {"preset": own} if isinstance(own, str) else own
        if isinstance(own, dict):
            preset = str(own.get("preset", "triage"))
            if preset not in PRESETS:
                raise ValueError(f"signature: there is no such preset; presets: {', '.join(sorted(PRESETS))}")
            changed = {name: value for name, value in own.items() if name != "preset"}
            if "tolerance_s" in table:
                changed["tolerance_s"] = table.pop("tolerance_s")
            own = {**PRESETS[preset].model_dump(), **changed}
        elif own is None and "tolerance_s" in table:
            own = {"tolerance_s": table.pop("tolerance_s")}
        return table if own is None else {**table, "signature": own}

    @model_validator(mode="before")
    @classmethod
    def _of_vendor(cls, stated: Any) -> Any:
        """Fill in what is known of a vendor's helpdesk, before all else; what the file says itself stands."""
        if not isinstance(stated, dict) or "vendor" not in stated:
            return stated
        if stated["vendor"] not in VENDORS:
            raise ValueError(f"vendor: there is no such vendor; vendors: {', '.join(VENDORS)}")
        site = Site.model_validate(stated)
        reach = {name: stated[name] for name in ("loopback", "private") if name in stated}
        tables = tables_of(VENDORS[site.vendor], site)
        for name in ("update", "note"):
            tables[name] |= reach
        known = {*Site.model_fields, "loopback", "private"}
        own = {name: value for name, value in stated.items() if name not in known}
        if "poll" in tables and isinstance(own.get("poll"), dict):
            own["poll"] = {**tables["poll"], **own["poll"]}
        return {**tables, **own}


@dataclass(frozen=True)
class HelpdeskConfig:
    """A helpdesk: how it signs, what its fields are called, and how it is told.

    Attributes:
        name: Part of its webhook's address, and the source of its tickets in the store.
        secrets: Live secrets; two of them while one replaces the other.
        clearance: Clearance that its requests have.
        signature: How it signs its webhooks.
        ticket: How a ticket is read; None where it sends none.
        feedback: How a correction is read; None where it sends none.
        update: How it is told; None where it is not.
        authorization: Value of the ``Authorization`` header of updates.
        current: How the labels that a ticket has there now are read; None where they cannot be.
        note: How it is given a note on a ticket; None where it takes none.
        note_authorization: Value of the ``Authorization`` header of notes.
        poll: How it is asked what is new, where it sends no webhooks.
        events: How it is told that automation has opened or closed; None where it is not.
        events_authorization: Value of the ``Authorization`` header of that.
    """

    name: str
    secrets: tuple[bytes, ...] = field(default=(), repr=False)
    clearance: int = 0
    signature: Signature = PRESETS["triage"]
    ticket: TicketMap | None = None
    feedback: FeedbackMap | None = None
    update: Update | None = None
    authorization: str | None = field(default=None, repr=False)
    current: Current | None = None
    note: Update | None = None
    note_authorization: str | None = field(default=None, repr=False)
    poll: Poll | None = None
    events: Update | None = None
    events_authorization: str | None = field(default=None, repr=False)


def load_helpdesks(path: Path | None, environment: Mapping[str, str] | None = None) -> dict[str, HelpdeskConfig]:
    """Read the file of helpdesks; none of them where there is no file.

    Raises:
        InvalidRequest: Naming everything in the file that makes no sense, and every secret that is missing.
    """
    if path is None:
        return {}
    environment = os.environ if environment is None else environment
    try:
        document = tomllib.loads(read_stated_text(path))
    except (OSError, *TOML_FAULTS) as error:
        raise InvalidRequest(
            f"the file of helpdesks {path} cannot be read: {why_unreadable(error)}; mend it, or unset TRIAGE_HELPDESKS"
        ) from error
    tables = document.get("helpdesks") or document.get("desks", {})  # `desks` is what the first version called them
    tables = tables if isinstance(tables, dict) else {}
    problems: list[str] = []
    helpdesks = {name: _helpdesk(name, table, environment, problems) for name, table in tables.items()}
    if not helpdesks:
        problems.append("there is no [helpdesks.NAME] in it")
    if problems:
        raise InvalidRequest(
            f"the file of helpdesks {path} makes no sense: {'; '.join(problems)}; see docs/integration.md"
        )
    return {name: helpdesk for name, helpdesk in helpdesks.items() if helpdesk is not None}


def _helpdesk(name: str, table: Any, environment: Mapping[str, str], problems: list[str]) -> HelpdeskConfig | None:
    if problem := problem_with_name(name, "a helpdesk"):
        problems.append(problem)
        return None
    try:
        read = _HelpdeskTable.model_validate(table)
    except ValidationError as error:
        faults = error.errors(include_input=False, include_url=False)
        problems += [f"{name}.{'.'.join(map(str, fault['loc']))}: {fault['msg'].lower()}" for fault in faults]
        return None
    found = [_secret(name, variable, environment, problems) for variable in read.secrets]
    if (read.ticket or read.feedback) and not read.secrets and not read.poll:
        problems.append(f"{name}.secrets: webhooks need a secret; name the environment variable that holds it")
    _check_update(f"{name}.update", read.update, _PLACEHOLDERS, problems)
    _check_update(f"{name}.note", read.note, _NOTE_PLACEHOLDERS, problems)
    _check_signature(name, read.signature, found, problems)
    _check_current(name, read, problems)
    _check_update(f"{name}.events", read.events, _EVENT_PLACEHOLDERS, problems)
    return HelpdeskConfig(
        name,
        tuple(found),
        clearance=read.clearance,
        signature=read.signature,
        ticket=read.ticket,
        feedback=read.feedback,
        update=read.update,
        authorization=_authorization(f"{name}.update", read.update, environment, problems),
        current=read.current,
        note=read.note,
        note_authorization=_authorization(f"{name}.note", read.note, environment, problems),
        poll=read.poll,
        events=read.events,
        events_authorization=_authorization(f"{name}.events", read.events, environment, problems),
    )


def _authorization(
    place: str, update: Update | None, environment: Mapping[str, str], problems: list[str]
) -> str | None:
    variable = update.authorization if update else None
    if variable is not None and variable not in environment:
        problems.append(f"{place}.authorization: the environment variable {variable} is not set")
    return environment.get(variable) if variable else None


def _secret(name: str, variable: str, environment: Mapping[str, str], problems: list[str]) -> bytes:
    secret = environment.get(variable, "").strip()
    if len(secret) < MIN_SECRET_CHARS:
        problems.append(
            f"{name}.secrets: the environment variable {variable} must hold at least {MIN_SECRET_CHARS} characters"
        )
    return secret.encode()


def _check_signature(name: str, signature: Signature, secrets: Sequence[bytes], problems: list[str]) -> None:
    if (fault := signature.fault()) is not None:
        problems.append(f"{name}.signature.{fault}")
    if signature.secret_encoding == "base64" and not all(map(is_base64, secrets)):
        problems.append(f"{name}.secrets: this signature's secrets are base64, behind whsec_ or not")


def _check_current(name: str, read: _HelpdeskTable, problems: list[str]) -> None:
    if read.current is None:
        return
    if read.update is None or urlsplit(read.current.url).netloc not in read.update.hosts:
        problems.append(f"{name}.current.url: its host must be one of {name}.update.hosts")
    if not placeholders_of(read.current.url) <= {"ticket_id"}:
        problems.append(f"{name}.current.url: the only placeholder is {{ticket_id}}")


def _check_update(place: str, update: Update | None, known: frozenset[str], problems: list[str]) -> None:
    if update is None:
        return
    parts = urlsplit(update.url)
    if parts.scheme != "https" and not (parts.scheme == "http" and update.loopback):
        problems.append(f"{place}.url: it must be https, or http to this machine with loopback = true")
    if parts.netloc not in update.hosts or "{" in parts.netloc:
        problems.append(f"{place}.hosts: the host of the URL must be listed, with its port where it states one")
    found = placeholders_of([update.url, update.body])
    unknown = sorted(name for name in found - known if not name.startswith(TARGET_PLACE))
    if unknown:
        problems.append(f"{place}: unknown placeholders {', '.join(unknown)}; there are {', '.join(sorted(known))}")


def placeholders_of(template: Any) -> set[str]:
    """Return the names in braces anywhere in a template.

    Example:
        >>> sorted(placeholders_of({"a": "{tier}", "b": ["{category}/{tier}"]}))
        ['category', 'tier']
    """
    if isinstance(template, str):
        return set(PLACE.findall(template))
    parts = template.values() if isinstance(template, dict) else template if isinstance(template, list) else ()
    return set().union(*(placeholders_of(part) for part in parts))
