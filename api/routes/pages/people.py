"""People at `/people`: accounts and what they may do, one's own password, and the sessions that are open."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import quote

from anyio import to_thread
from fastapi import APIRouter, Form, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from pydantic import BaseModel, Field

from api.deps import AccessDep, Admin, Parts, PartsDep, Reader
from api.http.exceptions import NotAcceptable, NotSignedIn, TooMuch
from api.http.schemas import Text
from api.http.whole_parts import WholePartsRoute
from api.routes.pages.frame import group_names, page, refusal
from api.routes.users import check_manages
from api.security.api_keys import sha256
from api.security.auth import COOKIE, Principal
from api.security.page_route import PageRoute
from api.security.passwords import hash_password, new_password
from api.store.people.users import Rights
from api.store.rows import ROLES
from triage.errors import InvalidRequest


class AccountPageRoute(WholePartsRoute, PageRoute):
    """A route of one account: the name of an old one, or of one that a provider named, may hold a slash."""


router = APIRouter(include_in_schema=False, route_class=AccountPageRoute)


class RightsForm(BaseModel):
    """What an account may do, as the form states it."""

    role: list[Text] = Field([], max_length=8)
    clearance: int = Field(0, ge=0, le=1_000_000)
    group: list[Text] = Field([], max_length=200)

    @property
    def rights(self) -> Rights:
        """The same as the store takes it."""
        return Rights(self.role, self.clearance, self.group)


class NewForm(RightsForm):
    """A new account."""

    name: Text = Field("", max_length=100)


class PasswordForm(BaseModel):
    """One's password, and another one."""

    old: Text = Field("", max_length=200)
    new: Text = Field("", max_length=200)


@router.get("/people")
async def show(parts: PartsDep, reader: Reader, request: Request, done: str = "") -> HTMLResponse:
    """Show accounts and sessions, as far as the reader may see them."""
    return await _page(parts, reader, request, done=_DONE.get(done, ""))


@router.post("/people")
async def create(
    parts: PartsDep, reader: Reader, admin: Admin, request: Request, new: Annotated[NewForm, Form()]
) -> HTMLResponse:
    """Make an account with a password that is shown once."""
    check_manages(admin)
    password = new_password()

    def made() -> str:
        hashed = hash_password(password)
        return parts.service.store.add_user(new.name, new.rights, hashed).name

    try:
        shown = await to_thread.run_sync(made)
    except NotAcceptable as error:
        return await _page(parts, reader, request, problem=refusal(error), status=422)
    return await _page(parts, reader, request, made=(shown, password))


@router.post("/people/{name}/rights")
async def change(
    parts: PartsDep, reader: Reader, admin: Admin, request: Request, name: str, to: Annotated[RightsForm, Form()]
) -> Response:
    """Change what an account may do."""
    check_manages(admin)
    try:
        await to_thread.run_sync(parts.service.store.change_rights, name, to.rights)
    except NotAcceptable as error:
        return await _page(parts, reader, request, problem=refusal(error), status=422)
    return RedirectResponse("/people?done=changed", 303)


@router.post("/people/{name}/password")
async def reset(parts: PartsDep, reader: Reader, admin: Admin, request: Request, name: str) -> HTMLResponse:
    """Give an account another password, which is shown once, and end its sessions."""
    check_manages(admin)
    password = new_password()
    await to_thread.run_sync(lambda: parts.service.store.set_password(name, hash_password(password)))
    return await _page(parts, reader, request, made=(name, password))


@router.post("/people/{name}/disable")
async def disable(parts: PartsDep, reader: Reader, admin: Admin, request: Request, name: str) -> Response:
    """Disable an account, and end its sessions."""
    check_manages(admin)
    return await _switched(parts, reader, request, name, enabled=False)


@router.post("/people/{name}/enable")
async def enable(parts: PartsDep, reader: Reader, admin: Admin, request: Request, name: str) -> Response:
    """Let an account sign in again."""
    check_manages(admin)
    return await _switched(parts, reader, request, name, enabled=True)


@router.post("/account/password")
async def own_password(
    parts: PartsDep, access: AccessDep, reader: Reader, request: Request, said: Annotated[PasswordForm, Form()]
) -> Response:
    """Change one's own password; all of one's sessions end, and one signs in with the new one."""
    if not reader.has_account:
        raise NotAcceptable("no-account", "only people with an account have a password")
    address = request.client.host if request.client else ""

    def changed() -> None:
        access.door.check_password(reader.name, said.old, address)
        parts.service.store.set_password(reader.name, hash_password(said.new))

    try:
        await to_thread.run_sync(changed)
    except (InvalidRequest, NotSignedIn, TooMuch) as error:
        return await _page(parts, reader, request, problem=refusal(error), status=422)
    return RedirectResponse("/sign-in", 303)


@router.post("/sessions/{session_id}/end")
async def end(parts: PartsDep, reader: Reader, session_id: str) -> Response:
    """End a session: one's own, or anybody's for those who may see people."""
    owner = None if "people" in reader.scopes else reader.key_id or "nobody"
    await to_thread.run_sync(parts.service.store.end_session, session_id, owner)
    return RedirectResponse("/people?done=ended", 303)


_DONE = {"changed": "Changed.", "ended": "The session has ended."}


async def _switched(parts: Parts, reader: Principal, request: Request, name: str, *, enabled: bool) -> Response:
    try:
        await to_thread.run_sync(lambda: parts.service.store.switch_user(name, enabled=enabled))
    except NotAcceptable as error:
        return await _page(parts, reader, request, problem=refusal(error), status=422)
    return RedirectResponse("/people?done=changed", 303)


async def _page(
    parts: Parts,
    reader: Principal,
    request: Request,
    *,
    done: str = "",
    problem: str = "",
    made: tuple[str, str] | None = None,
    status: int = 200,
) -> HTMLResponse:
    sees_all = "people" in reader.scopes
    store = parts.service.store
    users = await to_thread.run_sync(store.users)
    sessions = await to_thread.run_sync(store.sessions)
    return await page(
        parts,
        reader,
        "people.html",
        status=status,
        here="people",
        users=users if sees_all else [user for user in users if user.id == reader.key_id],
        any_users=bool(users),
        sessions=[one for one in sessions if sees_all or one.owner == reader.key_id],
        own_session=sha256(request.cookies.get(COOKIE, ""))[:16],
        manages="admin" in reader.scopes and reader.key_id is not None,
        sees_all=sees_all,
        has_account=reader.has_account,
        roles=list(ROLES),
        groups=group_names(parts),
        place=quote,
        done=done,
        problem=problem,
        made=made,
    )
