"""`/v1/users` and `/v1/sessions`: people's accounts, what they may do, and the ending of their sessions."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field

from api.deps import Admin, PeopleReader, ServiceDep
from api.http.exceptions import NotAllowed
from api.http.openapi import PROBLEMS, problems
from api.http.schemas import Text
from api.http.whole_parts import WholePartsRoute
from api.security.auth import GuardedRoute, Principal
from api.security.passwords import LEAST_CHARS, MOST_CHARS, hash_password
from api.store.people.users import MOST_NAME_CHARS, NOT_IN_NAMES, Rights
from api.store.rows import UserRow


class AccountRoute(WholePartsRoute, GuardedRoute):
    """A route of one account: the name of an old one, or of one that a provider named, may hold a slash."""


router = APIRouter(prefix="/v1", tags=["people"], route_class=AccountRoute)

_NAME = rf"^(?!\.{{1,2}}$)[^\u0000-\u001f\u007f{NOT_IN_NAMES}]+$"
Password = Annotated[Text, Field(min_length=LEAST_CHARS, max_length=MOST_CHARS)]
Roles = Annotated[list[Annotated[Text, Field(max_length=32)]], Field(max_length=8)]
Groups = Annotated[list[Annotated[Text, Field(min_length=1, max_length=200)]], Field(max_length=200)]


class UserOut(BaseModel):
    """A person's account."""

    model_config = ConfigDict(title="Account")

    name: str
    roles: list[str]
    clearance: int
    groups: list[str]
    has_password: bool
    created_at: datetime
    disabled_at: datetime | None


class UserChange(BaseModel):
    """What is to change of an account; a part that is not named stays."""

    model_config = ConfigDict(title="Change of an account", extra="forbid")

    roles: Roles | None = None
    clearance: int | None = Field(None, ge=0, le=1_000_000)
    groups: Groups | None = None
    password: Password | None = Field(None, description="another password; all sessions end")
    disabled: bool | None = Field(None, description="true ends all sessions, and nobody signs in with it")


class NewUser(BaseModel):
    """An account to make."""

    model_config = ConfigDict(title="New account", extra="forbid")

    name: Annotated[
        Text,
        Field(
            min_length=1,
            max_length=MOST_NAME_CHARS,
            description=f"printable characters, none of {' '.join(NOT_IN_NAMES)}, and neither . nor ..",
            json_schema_extra={"pattern": _NAME},
        ),
    ]
    roles: Roles = Field(min_length=1)
    clearance: int = Field(0, ge=0, le=1_000_000)
    groups: Groups = []
    password: Password | None = Field(None, description="none for people who sign in with a provider or a proxy")


class SessionOut(BaseModel):
    """An open session of the pages."""

    model_config = ConfigDict(title="Session")

    session_id: str
    agent: str
    by: str = Field(description="account or key")
    created_at: datetime
    expires_at: datetime


class UsersOut(BaseModel):
    """All accounts."""

    users: list[UserOut]


class SessionsOut(BaseModel):
    """The sessions that are open."""

    sessions: list[SessionOut]


@router.get("/users", responses=problems(401, 403, 422, 503))
def users(service: ServiceDep, reader: PeopleReader) -> UsersOut:
    """List all accounts."""
    return UsersOut(users=[_out(row) for row in service.store.users()])


@router.post("/users", status_code=201, responses=PROBLEMS)
def create(new: NewUser, service: ServiceDep, admin: Admin) -> UserOut:
    """Make an account; from the first one on, people sign in to the pages."""
    check_manages(admin)
    password = hash_password(new.password) if new.password else None
    return _out(service.store.add_user(new.name, Rights(new.roles, new.clearance, new.groups), password))


@router.post("/users/{name}", responses={**PROBLEMS, **problems(404)})
def change(name: str, change: UserChange, service: ServiceDep, admin: Admin) -> UserOut:
    """Change what an account may do, its password, or whether it may sign in: all that is named, or nothing."""
    check_manages(admin)
    rights = Rights(change.roles, change.clearance, change.groups)
    password = None if change.password is None else hash_password(change.password)
    enabled = None if change.disabled is None else not change.disabled
    return _out(service.store.change_user(name, rights, password=password, enabled=enabled))


@router.get("/sessions", responses=problems(401, 403, 422, 503))
def sessions(service: ServiceDep, reader: PeopleReader) -> SessionsOut:
    """List the sessions that are open."""
    return SessionsOut(
        sessions=[
            SessionOut(
                session_id=row.id,
                agent=row.agent,
                by="account" if row.by_account else "key",
                created_at=row.created_at,
                expires_at=row.expires_at,
            )
            for row in service.store.sessions()
        ]
    )


@router.delete("/sessions/{session_id}", status_code=204, responses=problems(401, 403, 404, 422))
def end(session_id: str, service: ServiceDep, reader: PeopleReader) -> Response:
    """End a session: its browser has to sign in again within two seconds."""
    service.store.end_session(session_id)
    return Response(status_code=204)


def check_manages(admin: Principal) -> None:
    """Refuse whoever only happens to be on this machine to manage accounts.

    Raises:
        NotAllowed: Nobody has signed in, and no key was sent.
    """
    if admin.key_id is None:
        raise NotAllowed(
            "first-account", "the first account is made on the command line: triage users create NAME --role admin"
        )


def _out(row: UserRow) -> UserOut:
    return UserOut.model_validate({name: value for name, value in vars(row).items() if name != "id"})
