"""API keys in the store: digests only, never the secret."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from uuid import uuid4

from sqlalchemy import delete, or_, select

from api.http.exceptions import NotAcceptable, NotFound
from api.store.idempotency import IdempotencyKeys
from api.store.rows import KeyRow
from api.store.tables import StoredKey, StoredSession


class Keys(IdempotencyKeys):
    """The part of the repository that keeps keys."""

    def add_key(
        self,
        prefix: str,
        digest: str,
        *,
        name: str,
        scopes: Iterable[str],
        clearance: int = 0,
        expires_at: datetime | None = None,
    ) -> KeyRow:
        """Commit a new key's prefix and SHA-256."""
        row = StoredKey(
            id=str(uuid4()),
            name=name,
            prefix=prefix,
            digest=digest,
            scopes=" ".join(sorted(set(scopes))),
            clearance=clearance,
            created_at=datetime.now(UTC),
            expires_at=expires_at,
        )
        with self.database.writing() as session:
            session.add(row)
            session.flush()
            return key_row(row)

    def key(self, prefix: str) -> tuple[KeyRow, str] | None:
        """Return the key with that prefix and the SHA-256 of its secret, or None; expired and revoked ones too.

        Raises:
            StoreUnavailable: The store does not answer.
        """
        with self.database.reading() as session:
            row = session.scalar(select(StoredKey).where(StoredKey.prefix == prefix))
            return None if row is None else (key_row(row), row.digest)

    def keys(self) -> list[KeyRow]:
        """Return all keys, oldest first."""
        with self.database.reading() as session:
            return [key_row(row) for row in session.scalars(select(StoredKey).order_by(StoredKey.created_at))]

    def revoke_key(self, which: str) -> KeyRow:
        """Revoke the key with that id, prefix or name, and close its sessions; revoking twice changes nothing.

        Raises:
            NotFound: There is no such key.
            NotAcceptable: Several keys have that name.
        """
        with self.database.writing() as session:
            mine = or_(StoredKey.id == which, StoredKey.prefix == which, StoredKey.name == which)
            rows = list(session.scalars(select(StoredKey).where(mine)))
            rows = [row for row in rows if row.revoked_at is None] or rows[:1]
            if not rows:
                raise NotFound("no-such-key", f"no key {which!r}: see triage keys list for ids, prefixes and names")
            if len(rows) > 1:
                raise NotAcceptable(
                    "several-keys",
                    f"{len(rows)} keys are called {which!r}: revoke them by their ids, see triage keys list",
                )
            row = rows[0]
            row.revoked_at = row.revoked_at or datetime.now(UTC)
            session.execute(delete(StoredSession).where(StoredSession.key_id == row.id))
            return key_row(row)


def key_row(row: StoredKey) -> KeyRow:
    """Return a stored key as it may be shown."""
    return KeyRow(
        id=row.id,
        name=row.name,
        prefix=row.prefix,
        scopes=frozenset(row.scopes.split()),
        clearance=row.clearance,
        created_at=row.created_at,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
    )
