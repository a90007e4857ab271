"""`triage store`: backups, forgetting, retention, migrations, what is owed to helpdesks; and its sister verbs."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

from api.cli.console import opened, run, table
from api.cli.feedback import feedback
from api.cli.keys import keys
from api.maintenance.backup import back_up, check, is_empty, restore
from api.settings import Settings
from api.store.database import Database
from api.store.migrate import migrate, newest_revision, revision_of
from api.store.repository import store_url
from models.embedding_cache import EmbeddingCache
from triage.__main__ import print_json
from triage.arguments import Parser
from triage.errors import InvalidRequest

__all__ = ["feedback", "keys", "store"]


def store(arguments: list[str]) -> int:
    """Back up, restore, clean and migrate the service's store, and see what is owed to helpdesks."""
    parser = Parser(prog="triage store", description=store.__doc__)
    verbs = parser.add_subparsers(metavar="backup|restore|forget|retention|migrate|check|outbound", required=True)
    backing = verbs.add_parser("backup", help="write everything to a new file, while the service runs")
    backing.add_argument("file", type=Path, metavar="FILE")
    backing.set_defaults(do=_backup)
    restoring = verbs.add_parser("restore", help="put a backup in place of what the store has")
    restoring.add_argument("file", type=Path, metavar="FILE")
    restoring.add_argument("--replace", action="store_true", help="keep no copy of what the store has now")
    restoring.set_defaults(do=_restore)
    drop_tokens = verbs.add_parser("forget", help="remove the texts of a ticket and everything made of them")
    drop_tokens.add_argument("ticket", metavar="TICKET", help="the helpdesk's id of the ticket")
    drop_tokens.add_argument(
        "--source", metavar="DESK", help="the helpdesk that the id belongs to (default: every one)"
    )
    drop_tokens.set_defaults(do=_forget)
    retention = verbs.add_parser("retention", help="remove tickets past their retention, with everything about them")
    retention.add_argument(
        "--days", type=float, metavar="N", help="age from which they go (default: TRIAGE_RETENTION_DAYS)"
    )
    retention.set_defaults(do=_retention)
    migrating = verbs.add_parser("migrate", help="bring the store to this version's shape, or back to an older one")
    migrating.add_argument(
        "revision", nargs="?", default="head", metavar="REVISION", help="where to (default: the newest)"
    )
    migrating.set_defaults(do=_migrate)
    verbs.add_parser("check", help="see whether the store answers, is sound and has this version's shape").set_defaults(
        do=_check
    )
    outbound = verbs.add_parser("outbound", help="see what is owed to helpdesks, and try dead letters again")
    outbound.add_argument("what", choices=("list", "retry"), help="list what is pending or dead; retry dead letters")
    outbound.add_argument("numbers", nargs="*", type=int, metavar="NUMBER", help="only these dead letters")
    outbound.set_defaults(do=_outbound)
    return run(parser, verbs.choices.values(), arguments)


def _backup(chosen: argparse.Namespace, settings: Settings) -> int:
    with opened(settings) as repository:
        counts = back_up(repository.database, chosen.file)
    return _say(
        chosen,
        {"backup": str(chosen.file), "rows": counts},
        f"{sum(counts.values())} rows in {chosen.file}; put them back with triage store restore",
    )


def _restore(chosen: argparse.Namespace, settings: Settings) -> int:
    check(chosen.file)
    copy: Path | None = None
    with opened(settings) as repository:
        if not chosen.replace and not is_empty(repository.database):
            copy = settings.home / "backups" / f"before-restore-{datetime.now(UTC):%Y%m%dT%H%M%S%f}.sqlite"
            back_up(repository.database, copy)
        counts = restore(repository.database, chosen.file, replace=True)
    words = f"{sum(counts.values())} rows restored from {chosen.file}; agents sign in again"
    kept = f". What the store had before is in {copy}" if copy else ""
    document = {"restored": str(chosen.file), "rows": counts, "kept": str(copy) if copy else None}
    return _say(chosen, document, words + kept)


def _forget(chosen: argparse.Namespace, settings: Settings) -> int:
    with opened(settings) as repository:
        done = repository.forget(chosen.ticket, chosen.source)
    vectors = EmbeddingCache.under(settings.home).forget(done.texts)
    counts = {
        "revisions": done.revisions,
        "decisions": done.decisions,
        "remarks": done.remarks,
        "mentions": done.mentions,
        "embeddings": vectors,
    }
    words = ", ".join(f"{count} {what}" for what, count in counts.items())
    return _say(
        chosen,
        {"ticket_id": chosen.ticket, **counts},
        f"forgotten: {words}. A bundle that was trained on the ticket keeps what it learned: train anew",
    )


def _retention(chosen: argparse.Namespace, settings: Settings) -> int:
    days = settings.retention_days if chosen.days is None else chosen.days
    if days < 0:
        raise InvalidRequest(f"--days {days:g} makes no sense: it is an age in days; use 0 to keep all tickets")
    with opened(settings) as repository:
        done = repository.expire(timedelta(days=days) if days else None, timedelta(hours=settings.idempotency_hours))
    words = ", ".join(f"{count} {what}" for what, count in done.document().items())
    return _say(
        chosen,
        {"days": days, **done.document()},
        f"removed: {words}" + ("" if days else " (tickets are kept for ever: state --days or TRIAGE_RETENTION_DAYS)"),
    )


def _migrate(chosen: argparse.Namespace, settings: Settings) -> int:
    database = Database(store_url(settings.home, settings.store_url))
    try:
        revision = migrate(database, chosen.revision)
    finally:
        database.close()
    return _say(chosen, {"revision": revision}, f"the store has revision {revision or 'base'}")


def _check(chosen: argparse.Namespace, settings: Settings) -> int:
    database = Database(store_url(settings.home, settings.store_url))
    try:
        here, sound = revision_of(database), database.is_sound()
    finally:
        database.close()
    ok = sound and here == newest_revision()
    document = {"ok": ok, "sound": sound, "revision": here, "expected": newest_revision()}
    words = "sound" if sound else "DAMAGED: restore a backup"
    _say(
        chosen,
        document,
        f"the store is {words}; revision {here or 'none'}, this version expects {newest_revision()}"
        + ("" if ok else "; see triage store migrate"),
    )
    return 0 if ok else 1


def _outbound(chosen: argparse.Namespace, settings: Settings) -> int:
    with opened(settings) as repository:
        if chosen.what == "retry":
            count = repository.retry_updates(chosen.numbers or None)
            return _say(chosen, {"retried": count}, f"{count} updates will be tried again by the running service")
        rows = repository.updates()
    heads = ("number", "desk", "ticket", "state", "attempts", "due", "last error")
    lines = [
        (row.seq, row.target, row.ticket_id, row.state, row.attempts, f"{row.due_at:%Y-%m-%d %H:%M:%S}", row.last_error)
        for row in rows
    ]
    return _say(
        chosen, {"updates": [row.document() for row in rows]}, table(heads, lines) if rows else "nothing is owed"
    )


def _say(chosen: argparse.Namespace, document: Mapping[str, object], words: str) -> int:
    if chosen.json:
        print_json(document)
    else:
        print(words)
    return 0
