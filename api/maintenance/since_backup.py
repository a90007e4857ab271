"""What has happened since a backup was taken and no backup can take back: it stays when the backup is restored."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass
from datetime import timedelta
from itertools import islice
from typing import Any

from sqlalchemy import Connection, RowMapping, delete, func, insert, or_, select, update
from sqlalchemy.orm import Session

from api.store.erasure import forget_again
from api.store.outbox import ANSWERED_MAIL, BEGUN, DEAD, MAIL, PENDING, ticket_id_of
from api.store.people.tables import StoredIdentity, StoredUser
from api.store.tables import StoredDecision, StoredDelivery, StoredForgotten, StoredKey, StoredPosition, StoredUpdate

_CHUNK = 500
_LATE = timedelta(days=1)
"""By how much what was noted last in a backup may be younger than what was noted after it, by other clocks."""
_RIGHTS = ("password", "roles", "clearance", "groups", "disabled_at")
_STATE = ("state", "attempts", "last_error", "due_at", "sent_at")


@dataclass(frozen=True)
class Kept:
    """What stays as it was in the store, although the backup has it otherwise or not at all.

    Attributes:
        accounts: Names of accounts whose password, rights or state the backup has otherwise.
        new_accounts: Names of accounts that were made since.
        mails: Mails that were taken since: they are decided anew, and neither copied nor forwarded again.
        updates: Updates for helpdesks that were still to be sent, and are not any more.
    """

    accounts: tuple[str, ...] = ()
    new_accounts: tuple[str, ...] = ()
    mails: int = 0
    updates: int = 0


@dataclass(frozen=True)
class SinceBackup:
    """What a store knows better than a backup, read before it is emptied."""

    keys: Sequence[Any]
    forgotten: Sequence[Any]
    users: Sequence[RowMapping]
    identities: Sequence[RowMapping]
    mails: Sequence[dict[str, Any]]
    beginnings: Sequence[RowMapping]
    updates: Sequence[tuple[int, dict[str, Any] | None]]


def since_backup(store: Connection, backup: Connection) -> SinceBackup:
    """Read what a store knows better than a backup that takes its place.

    Args:
        store: Beside which nobody writes.
        backup: In this version's shape.
    """
    revoked = select(StoredKey.id, StoredKey.revoked_at).where(StoredKey.revoked_at.is_not(None))
    gone = select(StoredForgotten.source, StoredForgotten.ticket_id, StoredForgotten.forgotten_at)
    forgotten = store.execute(gone).all()
    return SinceBackup(
        keys=store.execute(revoked).all(),
        forgotten=forgotten,
        users=store.execute(select(StoredUser.__table__)).mappings().all(),
        identities=store.execute(select(StoredIdentity.__table__)).mappings().all(),
        mails=_mails_since(store, backup, {(row.source, row.ticket_id) for row in forgotten}),
        beginnings=_new_beginnings(store, backup),
        updates=list(_updates_since(store, backup)),
    )


def bring_back(store: Connection, since: SinceBackup) -> Kept:
    """Put what a store knew better into the rows of a backup that have taken its place, and say what that was."""
    for key in since.keys:
        store.execute(update(StoredKey).where(StoredKey.id == key.id).values(revoked_at=key.revoked_at))
    changed, added = _bring_back_accounts(store, since)
    for table, added_rows in ((StoredDelivery, since.mails), (StoredPosition, since.beginnings)):
        for rows in _chunks(added_rows):
            store.execute(insert(table), [dict(row) for row in rows])
    for seq, state in since.updates:
        change = delete(StoredUpdate) if state is None else update(StoredUpdate).values(**state)
        store.execute(change.where(StoredUpdate.seq == seq))
    with Session(store) as session:
        for gone in since.forgotten:
            named = StoredForgotten(source=gone.source, ticket_id=gone.ticket_id, forgotten_at=gone.forgotten_at)
            forget_again(session, named)
    anew = sum(row["id"].startswith(ANSWERED_MAIL) for row in since.mails)
    return Kept(changed, added, mails=anew, updates=len(since.updates))


def _mails_since(store: Connection, backup: Connection, forgotten: Set[tuple[str, str]]) -> list[dict[str, Any]]:
    """Return the notes of mails that were taken since, as notes that they need no answer any more.

    A mail whose ticket was forgotten stays one that was taken: it is not decided anew.

    Args:
        store: Beside which nobody writes.
        backup: In this version's shape.
        forgotten: Sources and ids of tickets that were forgotten; an empty source stands for every one.
    """
    answered = StoredDelivery.id.startswith(ANSWERED_MAIL)
    noted = or_(StoredDelivery.id.startswith(MAIL), answered)
    last = backup.scalar(select(func.max(StoredDelivery.received_at)).where(noted))
    notes = select(StoredDelivery.source, StoredDelivery.id, StoredDelivery.received_at)
    late = notes.where(noted) if last is None else notes.where(noted, StoredDelivery.received_at >= last - _LATE)
    known = {(row.source, row.id) for query in (late, notes.where(answered)) for row in backup.execute(query)}
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for row in store.execute(late):
        digest = row.id.removeprefix(ANSWERED_MAIL).removeprefix(MAIL)
        if known.isdisjoint([(row.source, kind + digest) for kind in (MAIL, ANSWERED_MAIL)]):
            ticket_id = ticket_id_of(digest)
            kind = ANSWERED_MAIL if forgotten.isdisjoint([(row.source, ticket_id), ("", ticket_id)]) else MAIL
            found[row.source, digest] = {"source": row.source, "id": kind + digest, "received_at": row.received_at}
    return list(found.values())


def _new_beginnings(store: Connection, backup: Connection) -> list[RowMapping]:
    """Return where the reading of folders began that a backup does not know: they are read anew from there."""
    begun = select(StoredPosition.__table__).where(StoredPosition.name.startswith(BEGUN))
    known = {(row.source, row.name) for row in backup.execute(select(StoredPosition.source, StoredPosition.name))}
    rows = store.execute(begun).mappings().all()
    return [row for row in rows if known.isdisjoint([(row["source"], row["name"]), _folder(row)])]


def _folder(begun: RowMapping) -> tuple[str, str]:
    return begun["source"], str(begun["name"]).removeprefix(BEGUN)


def _updates_since(store: Connection, backup: Connection) -> Iterator[tuple[int, dict[str, Any] | None]]:
    """Yield the updates that a backup would send and that are settled, with how each stands; None for withdrawn ones.

    An update is known by its number, which no other one gets in a store, and by the decision that it comes from. One
    that had failed for good before is not settled since.
    """
    open_ones = select(StoredUpdate.seq, StoredUpdate.decision_id, StoredUpdate.state).where(
        StoredUpdate.state.in_((PENDING, DEAD))
    )
    for page in _chunks(backup.execute(open_ones).all()):
        columns = (StoredUpdate.decision_id, *(getattr(StoredUpdate, name) for name in _STATE))
        rows = store.execute(select(StoredUpdate.seq, *columns).where(StoredUpdate.seq.in_([one.seq for one in page])))
        here = {row["seq"]: row for row in rows.mappings()}
        ids = {one.decision_id for one in page}
        made_here = set(store.scalars(select(StoredDecision.id).where(StoredDecision.id.in_(ids))))
        for one in page:
            row = here.get(one.seq)
            if row is not None and row["decision_id"] == one.decision_id:
                if row["state"] not in (PENDING, one.state):
                    yield one.seq, {name: row[name] for name in _STATE}
            elif one.decision_id in made_here:
                yield one.seq, None


def _bring_back_accounts(store: Connection, since: SinceBackup) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Let accounts be what they were, and return whose were otherwise in the backup, and which it did not have.

    An account is known by the name that it signs in with, which is never given to another.
    """
    backed_up = {row["login"]: row for row in store.execute(select(StoredUser.__table__)).mappings()}
    changed, added, ids = [], [], dict[str, str]()
    for user in since.users:
        before = backed_up.get(user["login"])
        ids[user["id"]] = user["id"] if before is None else before["id"]
        if before is None:
            store.execute(insert(StoredUser), [dict(user)])
            added.append(user["name"])
        elif any(user[name] != before[name] for name in _RIGHTS):
            mine = update(StoredUser).where(StoredUser.id == before["id"])
            store.execute(mine.values(**{name: user[name] for name in _RIGHTS}))
            changed.append(user["name"])
    known = {(row.issuer, row.subject) for row in store.execute(select(StoredIdentity.__table__))}
    new = [row for row in since.identities if (row["issuer"], row["subject"]) not in known]
    if new:
        store.execute(insert(StoredIdentity), [dict(row) | {"user_id": ids[row["user_id"]]} for row in new])
    return tuple(sorted(changed)), tuple(sorted(added))


def _chunks(rows: Iterable[Any]) -> Iterator[list[Any]]:
    remaining = iter(rows)
    while page := list(islice(remaining, _CHUNK)):
        yield page
