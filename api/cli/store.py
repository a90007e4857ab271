"""Back up, restore, clean and migrate the service's store, and see which updates wait for helpdesks.

Examples:
    triage store backup backup.sqlite
    triage store forget T-4711
    triage store check
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

from api.cli.options import days, opened_store, row_number
from api.http.exceptions import NotFound
from api.maintenance.backup import back_up, restore
from api.maintenance.dead_letters import DeadLetters
from api.maintenance.retention_job import outside_of
from api.maintenance.since_backup import Kept
from api.settings import load_settings
from api.store.database import Database
from api.store.erasure import Forgotten
from api.store.migrations.migrate import migrate
from api.store.migrations.standing import newest_revision, revision_of
from api.store.outbox import UpdateRow
from api.store.repository import require_store, store_url
from models.embedding_cache import EmbeddingCache
from models.knowledge import ForgottenKnowledge, KnowledgeFolder
from models.terminal import Family, JsonOption, argument, log, option, print_json, print_result, print_table

store = Family("store", __doc__)


@dataclass(frozen=True, kw_only=True)
class BackupOptions(JsonOption):
    """The options of `triage store backup`."""

    file: Path = argument("the file to write; it must not exist yet", "FILE")


@store.verb("backup")
def backup_store(options: BackupOptions) -> None:
    """Write everything to a new file, while the service runs.

    Examples:
        triage store backup backup.sqlite
    """
    with opened_store() as repository:
        rows = back_up(repository.database, options.file)
    text = f"{sum(rows.values())} rows in {options.file}; put them back with triage store restore"
    print_result({"backup": str(options.file), "rows": rows}, text, as_json=options.json)


@dataclass(frozen=True, kw_only=True)
class RestoreOptions(JsonOption):
    """The options of `triage store restore`."""

    file: Path = argument("what triage store backup wrote", "FILE")
    replace: bool = option("keep no copy of what the store has now", False)


@store.verb("restore")
def restore_store(options: RestoreOptions) -> None:
    """Put a backup in place of what the store has.

    Examples:
        triage store restore backup.sqlite
    """
    home, now = load_settings().home, datetime.now(UTC)
    copy = None if options.replace else home / "backups" / f"before-restore-{now:%Y%m%dT%H%M%S%f}.sqlite"
    with opened_store(is_made=True) as repository:
        done = restore(repository.database, options.file, replace=options.replace, keep=copy, room=home)
        scrubbed = repository.scrub()  # the backup may have brought back what was forgotten since
    kept = str(copy) if copy is not None and copy.is_file() else None
    text = f"{sum(done.rows.values())} rows restored from {options.file}; agents sign in again"
    if kept is not None:
        text += f". What the store had before is in {kept}"
    stayed = asdict(done.kept)
    document = {"restored": str(options.file), "rows": done.rows, "kept": kept, "stayed": stayed, "scrubbed": scrubbed}
    text += _still_in_files(scrubbed) + _stayed(done.kept)
    print_result(document, text, as_json=options.json)


def _stayed(kept: Kept) -> str:
    """Return a line on each thing that a restore has left as it was."""
    told = {
        f"as they were just now, not as in the backup: {', '.join(kept.accounts)}": kept.accounts,
        f"accounts made since the backup: {', '.join(kept.new_accounts)}": kept.new_accounts,
        f"{kept.mails} mails taken since the backup are decided anew, not copied or forwarded again": kept.mails,
        f"{kept.updates} updates that the backup would send are settled": kept.updates,
    }
    return "".join(f"\n{line}" for line, is_so in told.items() if is_so)


@dataclass(frozen=True, kw_only=True)
class ForgetOptions(JsonOption):
    """The options of `triage store forget`."""

    ticket: str = argument("the helpdesk's id of the ticket", "TICKET")
    source: str | None = option("the helpdesk that the id belongs to (default: every one)", None, "HELPDESK")


@store.verb("forget")
def forget(options: ForgetOptions) -> None:
    """Remove the texts of a ticket and everything made of them; knowledge entries that rest on it are named.

    Examples:
        triage store forget T-4711
    """
    home = load_settings().home
    knowledge = KnowledgeFolder(home / "knowledge").forget(options.ticket)
    done = _forgotten(options, knowledge, EmbeddingCache.under(home))
    removed = {
        "revisions": done.revisions,
        "decisions": done.decisions,
        "remarks": done.remarks,
        "mentions": done.mentions,
        "embeddings": done.embeddings,
        "proposals": knowledge.proposals,
    }
    listed = ", ".join(f"{count} {what}" for what, count in removed.items())
    text = f"forgotten: {listed}. A bundle that was trained on the ticket keeps what it learned: train anew"
    if knowledge.proposals:
        text += ". Proposals come back where the history still has the ticket: take it out before the next propose"
    text += _still_in_files(done.scrubbed)
    for entry in knowledge.entries:
        text += (
            f"\nknowledge entry {entry} was made from it: read it, and where it has words of the ticket, "
            f"triage knowledge revise {entry} --text FILE --by NAME --erase, or withdraw {entry} --by NAME --erase"
        )
    for fault in knowledge.faults:
        _tell_of_unread(fault)
    document = {"ticket_id": options.ticket, **removed, "scrubbed": done.scrubbed, "entries": list(knowledge.entries)}
    print_result(document, text, as_json=options.json)


def _tell_of_unread(fault: str) -> None:
    """Say that a file of knowledge cannot be read: it stays."""
    log(f"nobody can tell whether this was made from a ticket that goes: {fault}")


def _still_in_files(scrubbed: bool) -> str:
    """Return what to add where words that were removed have not left the store's files."""
    if scrubbed:
        return ""
    return (
        ". The words are still in the store's files, as somebody else holds it: triage store retention takes them out"
    )


def _forgotten(options: ForgetOptions, knowledge: ForgottenKnowledge, cache: EmbeddingCache) -> Forgotten:
    """Return what the store forgot; a ticket that it never had may be in proposals and entries all the same.

    Raises:
        NotFound: Neither the store nor the folder of knowledge has anything of the ticket.
    """
    with opened_store() as repository:
        try:
            return repository.forget(options.ticket, options.source, cache.forget)
        except NotFound:
            if knowledge.proposals or knowledge.entries:
                return Forgotten(0, 0, 0, 0)
            raise


@dataclass(frozen=True, kw_only=True)
class RetentionOptions(JsonOption):
    """The options of `triage store retention`."""

    days: float | None = option("age from which they go (default: TRIAGE_RETENTION_DAYS)", None, "N", read=days)


@store.verb("retention")
def retention(options: RetentionOptions) -> None:
    """Remove tickets past their retention, with everything that is made of them, as forget does.

    Examples:
        triage store retention --days 365
    """
    settings = load_settings()
    age_days = settings.retention_days if options.days is None else options.days
    with opened_store() as repository:
        age = timedelta(days=age_days) if age_days else None
        done = repository.expire(age, outside=outside_of(settings.home, _tell_of_unread))
        scrubbed = done.scrubbed if done.tickets else repository.scrub()  # an earlier command may have left words
    text = f"removed: {', '.join(f'{count} {what}' for what, count in done.document().items())}"
    if not age_days:
        text += " (tickets are kept for ever: state --days or TRIAGE_RETENTION_DAYS)"
    text += _still_in_files(scrubbed)
    print_result({"days": age_days, **done.document(), "scrubbed": scrubbed}, text, as_json=options.json)


@dataclass(frozen=True, kw_only=True)
class MigrateOptions(JsonOption):
    """The options of `triage store migrate`."""

    revision: str = argument("where to; head is the newest", "REVISION", "head")


@store.verb("migrate")
def migrate_store(options: MigrateOptions) -> None:
    """Bring the store to this version's shape, or back to an older one.

    Examples:
        triage store migrate
        triage store migrate 0002
    """
    settings = load_settings()
    database = Database(store_url(settings.home, settings.store_url))
    try:
        revision = migrate(database, options.revision)
    finally:
        database.close()
    print_result({"revision": revision}, f"the store has revision {revision or 'base'}", as_json=options.json)


@store.verb("check")
def check_store(options: JsonOption) -> int:
    """See whether the store answers, is sound and has this version's shape; exit status 1 if not, 2 without a store.

    Examples:
        triage store check --json
    """
    settings = load_settings()
    require_store(settings.home, settings.store_url)
    database = Database(store_url(settings.home, settings.store_url))
    try:
        here, sound = revision_of(database), database.is_sound()
    finally:
        database.close()
    ok = sound and here == newest_revision()
    document = {"ok": ok, "sound": sound, "revision": here, "expected": newest_revision()}
    text = (
        f"the store is {'sound' if sound else 'DAMAGED: restore a backup'}; revision {here or 'none'}, "
        f"this version expects {newest_revision()}{'' if ok else '; see triage store migrate'}"
    )
    print_result(document, text, as_json=options.json)
    return 0 if ok else 1


@dataclass(frozen=True, kw_only=True)
class DeadLettersOptions(JsonOption):
    """The options of `triage store dead-letters`."""

    clear: bool = option("remove them, once they are looked after", False)


@store.verb("dead-letters")
def dead_letters(options: DeadLettersOptions) -> None:
    """List decisions that were answered and that the store could never take.

    Examples:
        triage store dead-letters
        triage store dead-letters --clear
    """
    letters = DeadLetters(load_settings().home)
    if options.clear:
        count = letters.clear()
        print_result({"removed": count}, f"{count} dead letters removed", as_json=options.json)
        return
    found = letters.read()
    if options.json:
        print_json({"dead_letters": [asdict(one) for one in found]})
    elif not found:
        print("every decision that was answered is in the store, or waits for it")
    else:
        print_table(
            ("at", "helpdesk", "ticket", "decision", "tier", "category", "error"),
            [(one.at, one.source, one.ticket_id, one.decision_id, one.tier, one.category, one.error) for one in found],
        )


@dataclass(frozen=True, kw_only=True)
class OutboundOptions(JsonOption):
    """The options of `triage store outbound`."""

    what: Literal["list", "retry", "clear"] = argument(
        "list what is pending or dead; retry dead updates; clear: remove them", "list|retry|clear"
    )
    numbers: list[int] = argument("only these dead updates", "NUMBER", [], read=row_number)


@store.verb("outbound")
def outbound(options: OutboundOptions) -> None:
    """See which updates wait for helpdesks, and try dead ones again or remove them.

    Examples:
        triage store outbound list
        triage store outbound retry 17
        triage store outbound clear 17 18
    """
    numbers = options.numbers or None
    with opened_store() as repository:
        if options.what == "retry":
            count = repository.retry_updates(numbers)
            text = f"{count} updates will be tried again by the running service"
            print_result({"retried": count}, text, as_json=options.json)
        elif options.what == "clear":
            count = repository.clear_updates(numbers)
            print_result({"removed": count}, f"{count} dead updates removed", as_json=options.json)
        else:
            _list_updates(repository.updates(), repository.count_updates(), as_json=options.json)


def _list_updates(rows: Sequence[UpdateRow], total: int, *, as_json: bool) -> None:
    """Print updates, and how many there are where these are not all."""
    if as_json:
        print_json({"updates": [row.document() for row in rows], "total": total})
    elif not rows:
        print("nothing is owed")
    else:
        print_table(
            ("number", "helpdesk", "ticket", "state", "attempts", "due", "last error"),
            [
                (one.seq, one.target, one.ticket_id, one.state, one.attempts, f"{one.due_at:%F %T}", one.last_error)
                for one in rows
            ],
        )
        if total > len(rows):
            print(f"these are the oldest {len(rows)} of {total}")
