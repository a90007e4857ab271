"""Accounts of people in the store: names, roles, clearance and groups, and how each of them signs in."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import uuid4

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from api.http.exceptions import NotAcceptable, NotFound
from api.store.idempotency import IdempotencyKeys
from api.store.people.tables import StoredIdentity, StoredUser
from api.store.rows import ADMIN, ROLES, FeedbackRow, UserRow
from api.store.tables import StoredSession

MOST_NAME_CHARS = 100
NOT_IN_NAMES = "/?#%"
"""Characters that mean something in the address of an account."""


@dataclass(frozen=True)
class Rights:
    """What an account may do and see; None leaves a part as it is.

    Attributes:
        roles: Some of `ROLES`, at least one.
        clearance: Which sensitive tickets it sees, in the numbers of the policy's tiers.
        groups: Resolver groups that the person works for.
    """

    roles: Iterable[str] | None = None
    clearance: int | None = None
    groups: Iterable[str] | None = None


class Users(IdempotencyKeys):
    """The part of the repository that keeps accounts; none is ever removed, as feedback is signed by them."""

    def add_user(self, name: str, rights: Rights, password: str | None = None) -> UserRow:
        """Commit a new account.

        Args:
            name: As the person signs in and signs feedback, 1 to 100 characters, none of `NOT_IN_NAMES`; case does not
                tell two apart.
            rights: What the account may do.
            password: Hash of the password; None where the person signs in elsewhere.

        Raises:
            NotAcceptable: The name is taken or empty, or the address of an account cannot hold it; or a role is
                unknown.
        """
        _check_addressable(name)
        with self.database.writing() as session:
            self.database.serialise(session, "users")
            return _user_row(_added(session, name, rights, password))

    def users(self) -> list[UserRow]:
        """Return all accounts, by name."""
        with self.database.reading() as session:
            return [_user_row(row) for row in session.scalars(select(StoredUser).order_by(StoredUser.login))]

    def user(self, name: str) -> tuple[UserRow, str | None] | None:
        """Return the account with that name and the hash of its password, or None."""
        with self.database.reading() as session:
            row = session.scalar(select(StoredUser).where(StoredUser.login == login_of(name)))
            return None if row is None else (_user_row(row), row.password)

    def has_users(self) -> bool:
        """Say whether there is an account at all: from the first one on, people sign in."""
        with self.database.reading() as session:
            return session.scalar(select(StoredUser.id).limit(1)) is not None

    def change_user(
        self, name: str, rights: Rights, *, password: str | None = None, enabled: bool | None = None
    ) -> UserRow:
        """Change an account, all of it or nothing: what it may do, how it signs in, and whether it does.

        Args:
            name: The account.
            rights: What it may do from its next request on.
            password: Hash of another password, which ends its sessions; None leaves it.
            enabled: False ends its sessions, and nobody signs in with it; True lets it sign in again; None leaves it.

        Raises:
            NotFound: There is no such account.
            NotAcceptable: A role is unknown, or nobody would be left who may manage accounts.
        """
        with self.database.writing() as session:
            self.database.serialise(session, "users")
            row = _of(session, name)
            had_admin = _has_admin(session)
            _grant(row, rights)
            if password is not None:
                row.password = password
            if enabled is not None:
                row.disabled_at = None if enabled else row.disabled_at or datetime.now(UTC)
            if password is not None or enabled is False:
                session.execute(delete(StoredSession).where(StoredSession.user_id == row.id))
            session.flush()
            if had_admin and not _has_admin(session):
                raise NotAcceptable(
                    "last-admin",
                    "nobody would be left who may manage accounts: give another account the role admin first",
                )
            return _user_row(row)

    def change_rights(self, name: str, rights: Rights) -> UserRow:
        """Change what an account may do, from its next request on; refusals are those of `change_user`."""
        return self.change_user(name, rights)

    def switch_user(self, name: str, *, enabled: bool) -> UserRow:
        """Disable an account and end its sessions, or let it sign in again; what it has signed stays.

        Refusals are those of `change_user`.
        """
        return self.change_user(name, Rights(), enabled=enabled)

    def set_password(self, name: str, password: str | None) -> UserRow:
        """Commit the hash of another password, or none, and end the sessions that the old one had opened.

        Raises:
            NotFound: There is no such account.
        """
        with self.database.writing() as session:
            row = _of(session, name)
            row.password = password
            session.execute(delete(StoredSession).where(StoredSession.user_id == row.id))
            return _user_row(row)

    def identify(self, issuer: str, subject: str, name: str, new_role: str | None = None) -> UserRow | None:
        """Return the account of somebody whom another system has signed in, or None where there is none.

        The first time, the account with that name is taken, if no other identity of this issuer belongs to it; from
        then on the issuer's subject counts alone, whatever the person is called. A new account's name is cleaned of
        what no account's may hold; one that is found is found by the name as it is.

        Args:
            issuer: The other system.
            subject: What it calls the person for ever.
            name: The name by which an account is found the first time.
            new_role: Makes an account with that role where there is none; None makes none.
        """
        with self.database.writing() as session:
            self.database.serialise(session, "users")
            known = session.get(StoredIdentity, (issuer, subject))
            if known is not None:
                return _user_row(session.get_one(StoredUser, known.user_id))
            row = _with_login(session, login_of(name))
            if row is None and new_role is not None:
                row = _made_for(session, (name, subject), new_role)
            mine = select(StoredIdentity.subject).where(StoredIdentity.issuer == issuer)
            if row is None or session.scalar(mine.where(StoredIdentity.user_id == row.id)) is not None:
                return None
            session.add(StoredIdentity(issuer=issuer, subject=subject, user_id=row.id, created_at=datetime.now(UTC)))
            return _user_row(row)


def login_of(name: str) -> str:
    """Return a name as it is compared: without case, compatibility forms and space around it.

    Example:
        >>> login_of(" Anna.Bell ")
        'anna.bell'
    """
    return unicodedata.normalize("NFKC", name).strip().casefold()


def several_people(session: Session) -> bool:
    """Say whether two people or more have an account with which they judge tickets: then nobody counts alone."""
    rows = session.scalars(select(StoredUser.roles).where(StoredUser.disabled_at.is_(None)))
    judging = (row for row in rows if any("feedback" in ROLES[role] for role in row.split()))
    return next(judging, None) is not None and next(judging, None) is not None


def signer(said: FeedbackRow, several: bool) -> str:
    """Return what tells apart those who speak.

    Where people have accounts it is the account, or the key of a machine: a key may state any name beside what it
    sends. Elsewhere, and for a helpdesk that says who corrected a ticket there, it is the name.

    Args:
        said: What was said.
        several: Whether several people have accounts.
    """
    return said.key_id if several and said.key_id else said.agent


def user_row_of(session: Session, user_id: str | None) -> UserRow | None:
    """Return an account by its id inside a transaction; None for none."""
    row = session.get(StoredUser, user_id) if user_id else None
    return None if row is None else _user_row(row)


def _check_addressable(name: str) -> None:
    """Refuse a name that the address of its account could not hold.

    Names that a provider or a proxy vouches for are taken as they come: guests of some have a # in theirs.
    """
    login = login_of(name)
    if login in (".", "..") or any(char in NOT_IN_NAMES for char in login):
        listed = " ".join(NOT_IN_NAMES)
        raise NotAcceptable(
            "bad-name", f"an account's name holds none of {listed} and is neither . nor ..: choose another one", "name"
        )


def _with_login(session: Session, login: str) -> StoredUser | None:
    """Return the account of a login; what no account's name may hold is not even looked for."""
    if not login.isprintable():
        return None
    return session.scalar(select(StoredUser).where(StoredUser.login == login))


def _made_for(session: Session, names: Iterable[str], role: str) -> StoredUser | None:
    """Return a new account under the first of the names that nobody has; None where each is empty or taken."""
    for name in map(_cleaned, names):
        if name and _with_login(session, login_of(name)) is None:
            return _added(session, name, Rights((role,)), None)
    return None


def _cleaned(name: str) -> str:
    """Return a name with spaces for what cannot be printed, and no longer than an account's may be."""
    printable = "".join(char if char.isprintable() else " " for char in unicodedata.normalize("NFKC", name))
    return " ".join(printable.split())[:MOST_NAME_CHARS].strip()


def _added(session: Session, name: str, rights: Rights, password: str | None) -> StoredUser:
    login = login_of(name)
    if not login or len(name) > MOST_NAME_CHARS or not name.isprintable():
        raise NotAcceptable(
            "bad-name", f"an account needs a name of 1 to {MOST_NAME_CHARS} printable characters; choose one", "name"
        )
    if session.scalar(select(func.count()).select_from(StoredUser).where(StoredUser.login == login)):
        raise NotAcceptable("name-taken", "there is an account with that name already: choose another one", "name")
    row = StoredUser(
        id=str(uuid4()),
        name=unicodedata.normalize("NFKC", name).strip(),
        login=login,
        password=password,
        roles=_roles(rights.roles or ()),
        clearance=rights.clearance or 0,
        groups=json.dumps(sorted(set(rights.groups or ())), ensure_ascii=False),
        created_at=datetime.now(UTC),
    )
    session.add(row)
    session.flush()
    return row


def _grant(row: StoredUser, rights: Rights) -> None:
    if rights.roles is not None:
        row.roles = _roles(rights.roles)
    if rights.clearance is not None:
        row.clearance = rights.clearance
    if rights.groups is not None:
        row.groups = json.dumps(sorted(set(rights.groups)), ensure_ascii=False)


def _roles(wanted: Iterable[str]) -> str:
    roles = sorted(set(wanted))
    unknown = [role for role in roles if role not in ROLES]
    if unknown or not roles:
        said = f"unknown role {', '.join(unknown)}" if unknown else "an account without a role may do nothing"
        raise NotAcceptable("unknown-role", f"{said}: roles are {', '.join(ROLES)}; name at least one", "roles")
    return " ".join(roles)


def _of(session: Session, name: str) -> StoredUser:
    row = session.scalar(select(StoredUser).where(StoredUser.login == login_of(name)))
    if row is None:
        raise NotFound("no-such-user", "there is no account with that name: see triage users list")
    return row


def _has_admin(session: Session) -> bool:
    """Say whether there is an account that may manage the others; before the first one a key or the machine does."""
    roles = session.scalars(select(StoredUser.roles).where(StoredUser.disabled_at.is_(None)))
    return any(ADMIN in row.split() for row in roles)


def _user_row(row: StoredUser) -> UserRow:
    return UserRow(
        id=row.id,
        name=row.name,
        roles=tuple(row.roles.split()),
        clearance=row.clearance,
        groups=tuple(json.loads(row.groups)),
        has_password=row.password is not None,
        created_at=row.created_at,
        disabled_at=row.disabled_at,
    )
