"""What higher tiers found, handed down: proposals from a history, accepted entries, and what they did.

Examples:
    triage knowledge propose closed.csv
    triage knowledge list
    triage knowledge accept k-1a2b3c4d5e --by "Ada" --text script.md
    triage knowledge revise k-1a2b3c4d5e --by "Ada" --text better.md
    triage knowledge report closed.csv
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from models.knowledge import KnowledgeFolder
from models.terminal import Family, JsonOption, argument, log, number, option, print_result, table
from training.cli.desk.policy_in_use import policy_in_use
from training.cli.options import DataOptions, read_data_of_people
from training.data.labels import in_words_of
from training.knowledge.effect import effects
from training.knowledge.propose import LEAST_TICKETS, Resolved, propose
from triage.errors import InvalidRequest, why_unreadable
from triage.knowledge import MAX_ENTRY_CHARS, Entry, Report
from triage.policy import Policy

knowledge = Family("knowledge", __doc__)
_SHOWN, _SHOWN_CATEGORIES = 20, 5


def _least(text: str) -> int:
    return number(text, int, lambda value: 2 <= value <= 10_000, "a whole number from 2 on")


@dataclass(frozen=True, kw_only=True)
class HistoryOptions(DataOptions, JsonOption):
    """The options of verbs that read resolved tickets."""

    policy: Path | None = option("policy with tiers and categories (default: the one in use)", None, "FILE")


@dataclass(frozen=True, kw_only=True)
class ProposeOptions(HistoryOptions):
    """The options of `triage knowledge propose`."""

    least: int = option("tickets that have to share a resolution", LEAST_TICKETS, "N", read=_least)


@knowledge.verb("propose")
def propose_(options: ProposeOptions) -> None:
    """Find tickets of higher tiers that share a resolution, and propose to hand it down.

    DATA needs the tier that resolved each ticket, and best its resolution (close notes) and date. Sensitive tickets
    are left out, and those of categories that the policy does not know: nobody can tell whether they are. The policy is
    that of TRIAGE_POLICY or of the served bundle where --policy names none. The proposals take the place of earlier
    ones; accepted entries stay, and a proposal of mostly an entry's tickets is its next version.

    Examples:
        triage knowledge propose closed.csv
        triage knowledge propose closed.csv --map resolution="Close notes" --least 5 --json
    """
    policy, resolved = _resolved(options)
    known, unknown = _of_known_categories(resolved, policy)
    folder = KnowledgeFolder()
    found = folder.propose(propose(known, policy, options.least))
    entries = {one.id: one.version for one in folder.entries()}
    rows = [
        [
            one.id,
            one.kind,
            f"{one.from_tier} to {one.tier}",
            len(one.tickets),
            one.per_month,
            one.saved_min,
            one.title + (f" (version {entries[one.id] + 1} of an entry)" if one.id in entries else ""),
        ]
        for one in found[:_SHOWN]
    ]
    heads = ["id", "kind", "from", "tickets", "a month", "minutes saved each", "shared words"]
    text = table(heads, rows) if rows else f"no {options.least} tickets of higher tiers share a resolution"
    more = f"\n… and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    next_step = "\ntriage knowledge accept ID writes an entry" if found else ""
    left_out = {"unknown_categories": dict(unknown)} if unknown else {}
    document = {"tickets": len(resolved), **left_out, "proposals": [asdict(one) for one in found]}
    print_result(document, f"{len(found)} proposals from {len(resolved)} tickets\n{text}{more}{next_step}",
                 as_json=options.json)  # fmt: skip


@knowledge.verb("list")
def list_(options: JsonOption) -> None:
    """List the accepted entries in their newest version, and the proposals that wait.

    Examples:
        triage knowledge list
        triage knowledge list --json
    """
    folder = KnowledgeFolder()
    found = folder.look()
    entries = found.entries
    judged = {one.id for one in entries} | set(found.dismissed)
    waiting = [one for one in found.proposals if one.id not in judged]
    _log_faults(found.faults)
    rows = [[one.id, one.version, one.kind, one.tier, one.accepted_at[:10], one.title] for one in entries]
    heads = ["id", "version", "kind", "tier", "accepted", "title"]
    text = table(heads, rows) if rows else "no entries yet"
    document = {
        "entries": [asdict(one) for one in entries],
        "proposals": [asdict(one) for one in waiting],
        "left_out": list(found.faults),
    }
    print_result(document, f"{text}\n{len(waiting)} proposals wait", as_json=options.json)


@dataclass(frozen=True, kw_only=True)
class AcceptOptions(JsonOption):
    """The options of `triage knowledge accept`."""

    proposal: str = argument("id of a proposal", "ID")
    by: str = option("who accepts it", "", "NAME")
    title: str | None = option("another title", None, "TEXT")
    text: Path | None = option("the article or script, Markdown (default: the entry's, else the draft)", None, "FILE")


@knowledge.verb("accept")
def accept(options: AcceptOptions) -> None:
    """Accept a proposal: it becomes a knowledge entry, or the next version of one.

    Examples:
        triage knowledge accept k-1a2b3c4d5e --by "Ada"
        triage knowledge accept k-1a2b3c4d5e --by "Ada" --title "Scanner will not pair" --text script.md
    """
    folder = KnowledgeFolder()
    found = folder.proposal(options.proposal)
    if found is None:
        verb = "revise writes an entry's next version" if folder.last_version(options.proposal) else "list shows others"
        raise InvalidRequest(f"no proposal {options.proposal!r}: triage knowledge {verb}")
    body = _text(options.text) if options.text is not None else None
    entry = folder.accept(found, _person(options.by), _now(), title=_title(options.title), body=body)
    _print_entry(folder, entry, as_json=options.json)


@dataclass(frozen=True, kw_only=True)
class EntryOptions(JsonOption):
    """The options of verbs that change an entry."""

    entry: str = argument("id of an entry", "ID")
    by: str = option("who does it", "", "NAME")
    erase: bool = option("remove its earlier versions for good, such as those that name a forgotten ticket", False)


@dataclass(frozen=True, kw_only=True)
class ReviseOptions(EntryOptions):
    """The options of `triage knowledge revise`."""

    title: str | None = option("another title", None, "TEXT")
    text: Path | None = option("the article or script, Markdown", None, "FILE")


@knowledge.verb("revise")
def revise(options: ReviseOptions) -> None:
    """Write the next version of an entry, whether or not it is proposed again; a withdrawn one counts again.

    Examples:
        triage knowledge revise k-1a2b3c4d5e --by "Ada" --text better.md
        triage knowledge revise k-1a2b3c4d5e --by "Ada" --text without-names.md --erase
    """
    folder = KnowledgeFolder()
    known = _entry(folder, options.entry)
    if options.title is None and options.text is None:
        raise InvalidRequest("a next version says something else: name --text, --title or both")
    body = _text(options.text) if options.text is not None else None
    entry = folder.revise(known, _person(options.by), _now(), title=_title(options.title), body=body)
    if options.erase:
        folder.keep_only(entry)
    _print_entry(folder, entry, as_json=options.json)


@knowledge.verb("withdraw")
def withdraw(options: EntryOptions) -> None:
    """Let an entry count no more: it fits no ticket, and is not proposed again; `revise` brings it back.

    Examples:
        triage knowledge withdraw k-1a2b3c4d5e --by "Ada"
        triage knowledge withdraw k-1a2b3c4d5e --by "Ada" --erase
    """
    folder = KnowledgeFolder()
    known = _entry(folder, options.entry)
    folder.withdraw(known.id, _person(options.by), _now(), erase=options.erase)
    how = "withdrawn, and its versions removed" if options.erase else "withdrawn; its versions stay in the folder"
    document = {"id": known.id, "withdrawn": True, "erased": options.erase}
    print_result(document, f"{known.id}: {known.title}: {how}", as_json=options.json)


def _entry(folder: KnowledgeFolder, entry_id: str) -> Entry:
    found = folder.last_version(entry_id)
    if found is None:
        raise InvalidRequest(
            f"no entry {entry_id!r} that can be read: triage knowledge list shows those that there are"
        )
    return found


def _print_entry(folder: KnowledgeFolder, entry: Entry, *, as_json: bool) -> None:
    place = folder.path / "entries" / entry.id / f"{entry.version}.md"
    print_result({**asdict(entry), "file": str(place)}, f"{place}: {entry.title}", as_json=as_json)


def _person(name: str) -> str:
    if not name.strip():
        raise InvalidRequest("--by is needed: an entry says who accepted it")
    return name.strip()


def _title(stated: str | None) -> str | None:
    return " ".join((stated or "").split()) or None


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _text(path: Path) -> str:
    """Return the text of an entry.

    Raises:
        InvalidRequest: If it cannot be read, is empty, or is longer than an entry may be.
    """
    try:
        with path.open(encoding="utf-8-sig") as file:
            said = file.read(MAX_ENTRY_CHARS + 1)
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidRequest(
            f"--text {str(path)!r} cannot be read: {why_unreadable(error)}; name a UTF-8 Markdown file"
        ) from error
    if not said.strip():
        raise InvalidRequest(f"--text {str(path)!r} is empty: write the article or script into it")
    if len(said) > MAX_ENTRY_CHARS:
        raise InvalidRequest(
            f"--text {str(path)!r} has more than the {MAX_ENTRY_CHARS:,} characters that an entry may have: shorten it"
        )
    return said


@knowledge.verb("report")
def report(options: HistoryOptions) -> None:
    """Say how many tickets stayed low because of each entry: those that fit it, before it was accepted and since.

    The service's page of knowledge shows what was counted last.

    Examples:
        triage knowledge report closed.csv
        triage knowledge report closed.csv --json
    """
    folder = KnowledgeFolder()
    contents = folder.look()
    entries = contents.entries
    _log_faults(contents.faults)
    if not entries:
        raise InvalidRequest("no entry was accepted yet: triage knowledge propose, then triage knowledge accept ID")
    policy, resolved = _resolved(options)
    if not any(one.opened_at for one in resolved):
        raise InvalidRequest("no ticket has a date: map it with --map opened_at=COLUMN")
    found = effects([(entry, folder.first_accepted(entry.id)) for entry in entries], resolved, policy)
    folder.put_report(Report(datetime.now(UTC).isoformat(timespec="seconds"), tuple(found)))
    rows = [
        [one.id, one.before, one.low_before, one.after, one.low_after,
         f"{one.stayed_low:.1f} ({one.low:.1f} to {one.high:.1f})", one.saved_min, one.title]
        for one in found
    ]  # fmt: skip
    heads = ["id", "before", "stayed low", "since", "stayed low", "because of it", "minutes saved", "title"]
    document = {
        "entries": [asdict(one) for one in found],
        "stayed_low": sum(one.stayed_low for one in found),
        "saved_min": sum(one.saved_min for one in found),
    }
    print_result(document, table(heads, rows), as_json=options.json)


def _resolved(options: HistoryOptions) -> tuple[Policy, list[Resolved]]:
    """Read a history.

    Raises:
        InvalidRequest: If no row has a tier.
    """
    policy = policy_in_use(options.policy)
    rows = [row for row in in_words_of(policy, read_data_of_people(options, policy)) if row.labels.get("tier")]
    if not rows:
        raise InvalidRequest("no row has a tier: map the column of the tier that resolved it with --map tier=COLUMN")
    policy.resolve("tier", {row.labels["tier"] for row in rows})
    return policy, [
        Resolved(
            id=row.ticket.id or row.place,
            text=row.ticket.text,
            resolution=row.resolution or "",
            tier=policy.fold("tier", row.labels["tier"]),
            category=row.labels.get("category"),
            opened_at=row.ticket.opened_at,
            sensitive=row.sensitive,
        )
        for row in rows
    ]


def _of_known_categories(tickets: Sequence[Resolved], policy: Policy) -> tuple[list[Resolved], Counter[str]]:
    """Return the tickets whose categories the policy knows, and tell how many are left out, by category."""
    known = {*policy.labels("category"), None}
    unknown = Counter(one.category for one in tickets if one.category is not None and one.category not in known)
    if unknown:
        named = ", ".join(f"{name} ({count})" for name, count in unknown.most_common(_SHOWN_CATEGORIES))
        more = f" and {len(unknown) - _SHOWN_CATEGORIES} more" if len(unknown) > _SHOWN_CATEGORIES else ""
        log(
            f"left out: {unknown.total()} tickets of categories that policy {policy.version} does not know: "
            f"{named}{more}; name the policy that has them with --policy or TRIAGE_POLICY"
        )
    return [one for one in tickets if one.category in known], unknown


def _log_faults(faults: Sequence[str]) -> None:
    for fault in faults:
        log(f"left out: {fault}")
