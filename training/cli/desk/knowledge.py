"""What higher tiers found, handed down: proposals from a history, accepted entries, and what they did.

Examples:
    triage knowledge propose closed.csv
    triage knowledge list
    triage knowledge accept k-1a2b3c4d5e --by "Ada" --text script.md
    triage knowledge report closed.csv
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from models.knowledge import KnowledgeFolder
from models.terminal import Family, JsonOption, argument, number, option, print_result, table
from training.cli.options import DataOptions, read_data
from training.data.labels import in_words_of
from training.knowledge.effect import effects
from training.knowledge.propose import LEAST_TICKETS, Resolved, propose
from triage.defaults import default_policy
from triage.errors import InvalidRequest
from triage.knowledge import Report
from triage.policy import Policy, read_policy

knowledge = Family("knowledge", __doc__)
_SHOWN = 20


def _least(text: str) -> int:
    return number(text, int, lambda value: 2 <= value <= 10_000, "a whole number from 2 on")


@dataclass(frozen=True, kw_only=True)
class HistoryOptions(DataOptions, JsonOption):
    """The options of verbs that read resolved tickets."""

    policy: Path | None = option("policy with the tiers (default: the default policy)", None, "FILE")


@dataclass(frozen=True, kw_only=True)
class ProposeOptions(HistoryOptions):
    """The options of `triage knowledge propose`."""

    least: int = option("tickets that have to share a resolution", LEAST_TICKETS, "N", read=_least)


@knowledge.verb("propose")
def propose_(options: ProposeOptions) -> None:
    """Find tickets of higher tiers that share a resolution, and propose to hand it down.

    HISTORY needs the tier that resolved each ticket, and best its resolution (close notes) and date. Sensitive tickets
    are left out. The proposals take the place of earlier ones; accepted entries stay.

    Examples:
        triage knowledge propose closed.csv
        triage knowledge propose closed.csv --map resolution="Close notes" --least 5 --json
    """
    policy, resolved = _resolved(options)
    found = propose(resolved, policy, options.least)
    KnowledgeFolder().propose(found)
    rows = [
        [one.id, one.kind, f"{one.from_tier} to {one.tier}", len(one.tickets), one.per_month, one.saved_min, one.title]
        for one in found[:_SHOWN]
    ]
    heads = ["id", "kind", "from", "tickets", "a month", "minutes saved each", "shared words"]
    text = table(heads, rows) if rows else f"no {options.least} tickets of higher tiers share a resolution"
    more = f"\n… and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    next_step = "\ntriage knowledge accept ID writes an entry" if found else ""
    document = {"tickets": len(resolved), "proposals": [asdict(one) for one in found]}
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
    entries = folder.entries()
    judged = {one.id for one in entries} | set(folder.dismissed())
    waiting = [one for one in folder.proposals() if one.id not in judged]
    rows = [[one.id, one.version, one.kind, one.tier, one.accepted_at[:10], one.title] for one in entries]
    heads = ["id", "version", "kind", "tier", "accepted", "title"]
    text = table(heads, rows) if rows else "no entries yet"
    document = {"entries": [asdict(one) for one in entries], "proposals": [asdict(one) for one in waiting]}
    print_result(document, f"{text}\n{len(waiting)} proposals wait", as_json=options.json)


@dataclass(frozen=True, kw_only=True)
class AcceptOptions(JsonOption):
    """The options of `triage knowledge accept`."""

    proposal: str = argument("id of a proposal", "ID")
    by: str = option("who accepts it", "", "NAME")
    title: str | None = option("another title", None, "TEXT")
    text: Path | None = option("the article or script, Markdown (default: the proposal's draft)", None, "FILE")


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
        raise InvalidRequest(f"no proposal {options.proposal!r}: triage knowledge list shows those that wait")
    if not options.by.strip():
        raise InvalidRequest("--by is needed: an entry says who accepted it")
    body = _text(options.text) if options.text is not None else None
    entry = folder.accept(found, options.by.strip(), datetime.now(UTC).isoformat(timespec="seconds"),
                          title=options.title, body=body)  # fmt: skip
    place = folder.path / "entries" / entry.id / f"{entry.version}.md"
    print_result({**asdict(entry), "file": str(place)}, f"{place}: {entry.title}", as_json=options.json)


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"--text {str(path)!r} cannot be read: {error}; name a UTF-8 Markdown file") from error


@knowledge.verb("report")
def report(options: HistoryOptions) -> None:
    """Say how many tickets stayed low because of each entry: those that fit it, before it was accepted and since.

    The service's page of knowledge shows what was counted last.

    Examples:
        triage knowledge report closed.csv
        triage knowledge report closed.csv --json
    """
    folder = KnowledgeFolder()
    entries = folder.entries()
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
    policy = read_policy(options.policy) if options.policy is not None else default_policy()
    rows = [row for row in in_words_of(policy, read_data(options)) if row.labels.get("tier")]
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
