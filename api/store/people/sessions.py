"""Page sessions in the store: digests of their tokens, who opened them, and the ending of any of them."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import ColumnElement, delete, exists, or_, select

from api.http.exceptions import NotFound
from api.store.keys import key_row
from api.store.people.tables import StoredUser
from api.store.people.users import Users, user_row_of
from api.store.rows import KeyRow, SessionRow, UserRow
from api.store.tables import StoredKey, StoredSession

_ID_CHARS = 16
"""So much of a token's digest names its session: nobody can tell the token from it."""


class Sessions(Users):
    """The part of the repository that keeps sessions of the pages."""

    def open_session(
        self, digest: str, key_id: str | None, agent: str, expires_at: datetime, *, user_id: str | None = None
    ) -> None:
        """Commit a page session by the SHA-256 of its token; a key or an account has opened it."""
        with self.database.writing() as session:
            session.add(
                StoredSession(
                    digest=digest,
                    key_id=key_id,
                    user_id=user_id,
                    agent=agent,
                    created_at=datetime.now(UTC),
                    expires_at=expires_at,
                )
            )

    def session(self, digest: str) -> tuple[KeyRow | UserRow, str] | None:
        """Return the key or account of a session that is still open, and its agent; None for no session.

        From the first account on a session that a key has opened, under a name of its holder's choice, is open no more.
        """
        with self.database.reading() as session:
            opened = session.scalar(select(StoredSession).where(StoredSession.digest == digest, *_open()))
            if opened is None:
                return None
            if opened.user_id is not None:
                user = user_row_of(session, opened.user_id)
                return None if user is None else (user, user.name)
            row = session.get(StoredKey, opened.key_id)
            return None if row is None else (key_row(row), opened.agent)

    def close_session(self, digest: str) -> None:
        """Close a page session; an unknown one is closed already."""
        with self.database.writing() as session:
            session.execute(delete(StoredSession).where(StoredSession.digest == digest))

    def sessions(self) -> list[SessionRow]:
        """Return the sessions that are open, newest first."""
        query = select(StoredSession).where(*_open())
        with self.database.reading() as session:
            rows = session.scalars(query.order_by(StoredSession.created_at.desc()))
            return [
                SessionRow(row.digest[:_ID_CHARS], row.user_id or row.key_id or "", row.agent,
                           by_account=row.user_id is not None, created_at=row.created_at, expires_at=row.expires_at)
                for row in rows
            ]  # fmt: skip

    def end_session(self, session_id: str, owner: str | None = None) -> None:
        """End a session by the id that `sessions` gives it.

        Args:
            session_id: Of the session.
            owner: Id of the account that it must belong to; None for any.

        Raises:
            NotFound: There is no such session, or it belongs to another account.
        """
        mine = [StoredSession.digest.startswith(session_id, autoescape=True)]
        mine += [StoredSession.user_id == owner] if owner is not None else []
        with self.database.writing() as session:
            digests = list(session.scalars(select(StoredSession.digest).where(*mine)))
            if len(session_id) != _ID_CHARS or len(digests) != 1:
                raise NotFound("no-such-session", "there is no such session: it has ended already, or is not yours")
            session.execute(delete(StoredSession).where(StoredSession.digest == digests[0]))

    def end_sessions_of(self, user_id: str) -> int:
        """End all sessions of an account, and return how many there were."""
        with self.database.writing() as session:
            ended = session.execute(delete(StoredSession).where(StoredSession.user_id == user_id))
            return int(getattr(ended, "rowcount", 0))


def _open() -> tuple[ColumnElement[bool], ...]:
    """Conditions of a session that counts: it has not run out, and where there are accounts, one has opened it."""
    by_account = StoredSession.user_id.is_not(None)
    return StoredSession.expires_at > datetime.now(UTC), or_(by_account, ~exists().where(StoredUser.id.is_not(None)))
