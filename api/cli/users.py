"""Accounts of people: made, listed, disabled, given other roles or another password; and their open sessions.

Examples:
    triage users create anna --role admin
    triage users list
    triage users roles kim --role agent,lead --clearance 2
    triage users disable kim
"""

from __future__ import annotations

import getpass
import sys
from dataclasses import dataclass
from pathlib import Path

from api.cli.options import clearance, opened_store
from api.security.passwords import hash_password, new_password
from api.store.people.users import Rights
from api.store.rows import ROLES, UserRow
from models.terminal import Family, JsonOption, argument, option, print_json, print_result, print_table
from triage.errors import InvalidRequest, why_unreadable

users = Family("users", __doc__)

_RIGHTS = "what it may do"
_ROLES = f"what the person is: {', '.join(ROLES)}; may be repeated"


@dataclass(frozen=True, kw_only=True)
class NameOption(JsonOption):
    """The account that a verb is about."""

    name: str = argument("what the person signs in with, and signs feedback with", "NAME")


@dataclass(frozen=True, kw_only=True)
class PasswordOption(NameOption):
    """Where a password comes from."""

    password_file: Path | None = option(
        "read the password from this file, - for standard input (default: it is asked for on a terminal, else made up "
        "and shown once)",
        None,
        "FILE",
    )


@dataclass(frozen=True, kw_only=True)
class CreateOptions(PasswordOption):
    """The options of `triage users create`."""

    role: list[str] = option(f"{_ROLES} (default: agent)", [], "ROLE[,ROLE…]", names=("--role", "--roles"))
    clearance: int = option(
        "which sensitive tickets it sees, in the numbers of the policy's tiers", 0, "N", read=clearance
    )
    group: list[str] = option("a resolver group of the person; may be repeated", [], "GROUP")
    no_password: bool = option("the person signs in with a provider or a proxy alone", False)


@users.verb("create")
def create(options: CreateOptions) -> None:
    """Make an account; from the first one on, people sign in to the pages.

    Examples:
        triage users create anna --role admin
        triage users create kim --role agent,lead --group network --password-file kim.txt
    """
    password, made_up = (None, False) if options.no_password else _password(options)
    rights = Rights(_split(options.role) or ["agent"], options.clearance, options.group)
    hashed = None if password is None else hash_password(password)
    with opened_store(is_made=True) as store:
        row = store.add_user(options.name, rights, hashed)
    shown = {"password": password} if made_up else {}
    text = [f"made the account {row.name!r}: {', '.join(row.roles)}"]
    text += [f"its password is {password}: it is not shown again"] if made_up else []
    print_result({**_document(row), **shown}, "\n".join(text), as_json=options.json)


@users.verb("list")
def list_users(options: JsonOption) -> None:
    """Show all accounts.

    Examples:
        triage users list
    """
    with opened_store() as store:
        rows = store.users()
    if options.json:
        print_json({"users": [_document(row) for row in rows]})
    elif not rows:
        print("no accounts yet: make the first with triage users create NAME --role admin")
    else:
        print_table(
            ("name", "roles", "clearance", "groups", "password", "created", "disabled"),
            [
                (
                    row.name, ",".join(row.roles), row.clearance, ",".join(row.groups) or None,
                    "yes" if row.has_password else "no", row.created_at.date(),
                    row.disabled_at.date() if row.disabled_at else None,
                )
                for row in rows
            ],
        )  # fmt: skip


@users.verb("disable")
def disable(options: NameOption) -> None:
    """End all sessions of an account, and let nobody sign in with it; what it has signed stays.

    Examples:
        triage users disable kim
    """
    with opened_store() as store:
        row = store.switch_user(options.name, enabled=False)
    print_result(_document(row), f"disabled {row.name!r}; its sessions have ended", as_json=options.json)


@users.verb("enable")
def enable(options: NameOption) -> None:
    """Let people sign in with a disabled account again.

    Examples:
        triage users enable kim
    """
    with opened_store() as store:
        row = store.switch_user(options.name, enabled=True)
    print_result(_document(row), f"{row.name!r} may sign in again", as_json=options.json)


@users.verb("password")
def password(options: PasswordOption) -> None:
    """Give an account another password, and end its sessions.

    Examples:
        triage users password kim
        triage users password kim --password-file -
    """
    text, made_up = _password(options)
    hashed = hash_password(text)
    with opened_store() as store:
        row = store.set_password(options.name, hashed)
    said = f"{row.name!r} has another password{f': {text}' if made_up else ''}; its sessions have ended"
    print_result({**_document(row), **({"password": text} if made_up else {})}, said, as_json=options.json)


@dataclass(frozen=True, kw_only=True)
class RolesOptions(NameOption):
    """The options of `triage users roles`."""

    role: list[str] = option(f"{_ROLES} (default: as they are)", [], "ROLE[,ROLE…]", names=("--role", "--roles"),
                             group=_RIGHTS)  # fmt: skip
    clearance: int | None = option(
        "which sensitive tickets it sees (default: as it is)", None, "N", read=clearance, group=_RIGHTS
    )
    group: list[str] = option("a resolver group of the person; may be repeated (default: as they are)", [], "GROUP",
                              group=_RIGHTS)  # fmt: skip
    no_groups: bool = option("take all resolver groups away", False, group=_RIGHTS)


@users.verb("roles")
def roles(options: RolesOptions) -> None:
    """Change what an account may do, from its next request on.

    Examples:
        triage users roles kim --role agent,lead
        triage users roles kim --clearance 2 --group network --group access
    """
    groups = [] if options.no_groups else options.group or None
    with opened_store() as store:
        row = store.change_rights(options.name, Rights(_split(options.role) or None, options.clearance, groups))
    said = f"{row.name!r}: {', '.join(row.roles)}, clearance {row.clearance}, groups {', '.join(row.groups) or 'none'}"
    print_result(_document(row), said, as_json=options.json)


@users.verb("sessions")
def sessions(options: JsonOption) -> None:
    """Show the sessions that are open.

    Examples:
        triage users sessions
    """
    with opened_store() as store:
        rows = store.sessions()
    moments = [(row, row.created_at.isoformat(timespec="seconds"), row.expires_at.isoformat(timespec="seconds"))
               for row in rows]  # fmt: skip
    if options.json:
        print_json({"sessions": [
            {"session_id": row.id, "agent": row.agent, "by": "account" if row.by_account else "key",
             "created_at": created, "expires_at": expires}
            for row, created, expires in moments
        ]})  # fmt: skip
    elif not rows:
        print("no session is open")
    else:
        print_table(("session", "agent", "created", "ends"), [(row.id, row.agent, *when) for row, *when in moments])


@dataclass(frozen=True, kw_only=True)
class SignOutOptions(JsonOption):
    """The options of `triage users sign-out`."""

    name: str | None = argument("end all sessions of this account", "NAME", None)
    session: str | None = option("end this session alone, by its id", None, "ID")


@users.verb("sign-out")
def sign_out(options: SignOutOptions) -> None:
    """End sessions: all of an account, or one by its id.

    Examples:
        triage users sign-out kim
        triage users sign-out --session 3f9a1c2047d1e5aa
    """
    if (options.name is None) == (options.session is None):
        raise InvalidRequest("name an account, or one session with --session: triage users sessions lists them")
    with opened_store() as store:
        if options.session is not None:
            store.end_session(options.session)
            ended = 1
        else:
            found = store.user(options.name or "")
            if found is None:
                raise InvalidRequest("there is no account with that name: see triage users list")
            ended = store.end_sessions_of(found[0].id)
    print_result({"ended": ended}, f"ended {ended} sessions", as_json=options.json)


def _password(options: PasswordOption) -> tuple[str, bool]:
    """Return a password, and whether it was made up here."""
    if options.password_file is not None:
        try:
            text = sys.stdin.read() if str(options.password_file) == "-" else options.password_file.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidRequest(f"the password cannot be read: {why_unreadable(error)}; name a text file") from error
        return text.rstrip("\r\n"), False
    if not sys.stdin.isatty():
        return new_password(), True
    first = getpass.getpass(f"Password of {options.name} (empty: one is made up): ")
    if not first:
        return new_password(), True
    if getpass.getpass("Again: ") != first:
        raise InvalidRequest("the two passwords differ: try again")
    return first, False


def _split(stated: list[str]) -> list[str]:
    return [role.strip() for part in stated for role in part.split(",") if role.strip()]


def _document(row: UserRow) -> dict[str, object]:
    return {
        "name": row.name,
        "roles": list(row.roles),
        "clearance": row.clearance,
        "groups": list(row.groups),
        "has_password": row.has_password,
        "created_at": row.created_at.isoformat(),
        "disabled_at": row.disabled_at.isoformat() if row.disabled_at else None,
    }
