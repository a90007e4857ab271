"""The folder of knowledge: `proposals/ID.json`, `dismissed/ID.json`, `report.json`, and `entries/ID/VERSION.md`."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TypeVar

import tomli_w

from models.atomic_write import unwritable
from models.home import triage_home
from models.knowledge.files import (
    MOST_BYTES,
    PLACE,
    is_id,
    names_one_of,
    read_dismissal,
    read_proposal,
    read_report,
    read_version,
    version_of,
    write_private,
)
from models.knowledge.matters import under_their_entries
from triage.errors import InvalidRequest
from triage.knowledge import MAX_ENTRY_CHARS, Dismissal, Entry, Proposal, Report
from triage.knowledge.entry import FENCE

_WITHDRAWN = "withdrawn.json"
_T = TypeVar("_T")


@dataclass(frozen=True)
class Contents:
    """Everything in the folder that can be read, and what is wrong with the rest.

    Attributes:
        proposals: Those that would save the most minutes a month first, dismissed ones too.
        entries: The newest version of each that is not withdrawn.
        dismissed: Who dismissed which proposal, or withdrew which entry, by its id.
        report: What the entries did; None where nobody counted.
        faults: One sentence for each file that cannot be read.
    """

    proposals: tuple[Proposal, ...]
    entries: tuple[Entry, ...]
    dismissed: Mapping[str, Dismissal]
    report: Report | None
    faults: tuple[str, ...]


@dataclass(frozen=True)
class ForgottenKnowledge:
    """What was made of a ticket that is forgotten.

    Attributes:
        proposals: How many proposals were removed.
        entries: Ids of the entries that rest on it: people wrote them, and people revise or withdraw them.
        faults: One sentence for each file of which nobody can tell whether it is made of the ticket.
    """

    proposals: int
    entries: tuple[str, ...]
    faults: tuple[str, ...] = ()


class KnowledgeFolder:
    """Proposals and entries of one desk. Files appear whole; a version, once written, is never changed.

    What is read as a whole leaves out what cannot be read: `look` says what that is.

    Args:
        path: The folder; None for the one below `TRIAGE_HOME`.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path if path is not None else triage_home() / "knowledge"

    def propose(self, proposals: Iterable[Proposal]) -> list[Proposal]:
        """Put proposals in the place of those that were there, and return them as they were kept.

        One that is made of mostly the tickets of an entry is about the same matter: it takes the entry's id, and what
        is accepted of it is the entry's next version.

        Raises:
            InvalidRequest: If they cannot be written.
        """
        place = self.path / "proposals"
        kept = under_their_entries(proposals, self._newest_ones())
        new = {place / f"{one.id}.json": one for one in kept}
        for path, one in new.items():
            self._write(path, json.dumps(asdict(one), ensure_ascii=False, indent=1) + "\n")
        for old in sorted(place.glob("k-*.json")):
            if old not in new:
                old.unlink(missing_ok=True)
        return kept

    def proposals(self) -> list[Proposal]:
        """Return the proposals that can be read, those that would save the most minutes a month first."""
        return list(self.look().proposals)

    def proposal(self, proposal_id: str) -> Proposal | None:
        """Return one proposal; None where there is none of that id.

        Raises:
            InvalidRequest: If it cannot be read.
        """
        path = self.path / "proposals" / f"{proposal_id}.json"
        return read_proposal(path) if is_id(proposal_id) and path.is_file() else None

    def accept(
        self, proposal: Proposal, by: str, at: str, *, title: str | None = None, body: str | None = None
    ) -> Entry:
        """Write the next version of a proposal's entry.

        Args:
            proposal: What was proposed.
            by: Who accepts it.
            at: When, ISO 8601 with a zone.
            title: Another title than the entry's or the proposal's.
            body: The article or script, Markdown; where it is not given, that of the last version, else the draft.

        Raises:
            InvalidRequest: If it is too long, or cannot be written.
        """
        last = self.last_version(proposal.id)
        entry = Entry(
            id=proposal.id,
            version=1,
            title=title or (last.title if last else proposal.title),
            kind=proposal.kind,
            tier=proposal.tier,
            accepted_at=at,
            accepted_by=by,
            words=proposal.words,
            bar=proposal.bar,
            from_tier=proposal.from_tier,
            category=proposal.category,
            saved_min=proposal.saved_min,
            tickets=proposal.tickets,
            categories=tuple(sorted({*proposal.made_of, *(last.made_of if last else ())})),
            body=body or (last.body if last else proposal.draft()),
        )
        return self._next_version(entry)

    def revise(self, entry: Entry, by: str, at: str, *, title: str | None = None, body: str | None = None) -> Entry:
        """Write the next version of an entry without a proposal; one that was withdrawn counts again.

        Args:
            entry: In the version that the new one rests on.
            by: Who writes it.
            at: When, ISO 8601 with a zone.
            title: Another title.
            body: Another article or script, Markdown.

        Raises:
            InvalidRequest: If it is too long, or cannot be written.
        """
        said = replace(entry, accepted_by=by, accepted_at=at, title=title or entry.title, body=body or entry.body)
        return self._next_version(said)

    def _next_version(self, entry: Entry) -> Entry:
        """Write an entry under the first number that nobody has: who writes at the same moment takes the next one."""
        number = max(self._versions(entry.id), default=0) + 1
        entry = replace(entry, version=number, body=entry.body.replace("\r\n", "\n"))
        while not self._is_written(entry):
            entry = replace(entry, version=entry.version + 1)
        self.restore(entry.id)
        return entry

    def _is_written(self, entry: Entry) -> bool:
        """Write a version, unless there is one of its number already."""
        text = f"{FENCE}\n{tomli_w.dumps(entry.head())}{FENCE}\n\n{entry.body}"
        if len(entry.body) > MAX_ENTRY_CHARS or len(text.encode()) > MOST_BYTES:
            raise InvalidRequest(
                f"the text has {len(entry.body):,} characters, more than the {MAX_ENTRY_CHARS:,} that an entry may "
                "have: shorten it, or make an entry of each part"
            )
        path = self.path / "entries" / entry.id / f"{entry.version}.md"
        return write_private(self.path, path, text, new=True)

    def withdraw(self, entry_id: str, by: str, at: str, *, erase: bool = False) -> None:
        """Let an entry count no more: it fits no ticket, and its matter stays decided against until it is restored.

        Args:
            entry_id: Of an entry that is there.
            by: Who withdraws it.
            at: When, ISO 8601 with a zone.
            erase: Remove all its versions as well.

        Raises:
            InvalidRequest: If that cannot be written.
        """
        place = self.path / "entries" / entry_id
        if not erase:
            self._write(place / _WITHDRAWN, json.dumps(asdict(Dismissal(entry_id, by, at))) + "\n")
            return
        self.dismiss(entry_id, by, at)
        try:
            shutil.rmtree(place)
        except OSError as error:
            raise unwritable(place, error, PLACE) from error

    def keep_only(self, entry: Entry) -> None:
        """Remove all versions of an entry but one: what they said is wanted no more.

        Raises:
            InvalidRequest: If they cannot be removed.
        """
        for path in self._version_files(entry.id):
            if version_of(path) != entry.version:
                try:
                    path.unlink(missing_ok=True)
                except OSError as error:
                    raise unwritable(path, error, PLACE) from error

    def entries(self) -> list[Entry]:
        """Return the newest version of each entry that can be read."""
        return list(self.look().entries)

    def entry(self, entry_id: str, version: int | None = None) -> Entry | None:
        """Return an entry in one version, or in its newest that can be read; None where there is none.

        Raises:
            InvalidRequest: If that version cannot be read.
        """
        if not is_id(entry_id) or self._is_withdrawn(entry_id):
            return None
        if version is None:
            return self._newest(entry_id, [])
        path = self.path / "entries" / entry_id / f"{version}.md"
        return read_version(path) if version in self._versions(entry_id) else None

    def last_version(self, entry_id: str) -> Entry | None:
        """Return the newest version of an entry that can be read, be it withdrawn or not; None where there is none."""
        return self._newest(entry_id, []) if is_id(entry_id) else None

    def first_accepted(self, entry_id: str) -> str:
        """Return when an entry was accepted first, ISO 8601: later versions say it better, and do not begin it anew."""
        files = sorted(self._version_files(entry_id), key=lambda path: version_of(path) or 0)
        return next(iter(_readable(read_version, files, []))).accepted_at

    def dismiss(self, proposal_id: str, by: str, at: str) -> Dismissal:
        """Note that somebody decided against a proposal; the same tickets proposed again stay dismissed.

        Args:
            proposal_id: Of a proposal that is there.
            by: Who dismisses it.
            at: When, ISO 8601 with a zone.

        Raises:
            InvalidRequest: If it cannot be written.
        """
        dismissal = Dismissal(proposal_id, by, at)
        self._write(self.path / "dismissed" / f"{proposal_id}.json", json.dumps(asdict(dismissal)) + "\n")
        return dismissal

    def restore(self, proposal_id: str) -> None:
        """Let a dismissed proposal wait again, or a withdrawn entry count again."""
        if is_id(proposal_id):
            (self.path / "dismissed" / f"{proposal_id}.json").unlink(missing_ok=True)
            (self.path / "entries" / proposal_id / _WITHDRAWN).unlink(missing_ok=True)

    def dismissed(self) -> dict[str, Dismissal]:
        """Return who dismissed which proposal, or withdrew which entry, by its id."""
        return dict(self.look().dismissed)

    def put_report(self, report: Report) -> None:
        """Keep what the entries did, in the place of what was counted before.

        Raises:
            InvalidRequest: If it cannot be written.
        """
        self._write(self.path / "report.json", json.dumps(asdict(report), ensure_ascii=False, indent=1) + "\n")

    def report(self) -> Report | None:
        """Return what the entries did when it was last counted; None where nobody counted.

        Raises:
            InvalidRequest: If the file cannot be read.
        """
        path = self.path / "report.json"
        return read_report(path) if path.is_file() else None

    def look(self) -> Contents:
        """Return everything that can be read: one broken file hides nothing else."""
        faults: list[str] = []
        proposals = _readable(read_proposal, self._files("proposals"), faults)
        entries = [entry for entry in self._newest_ones(faults) if not self._is_withdrawn(entry.id)]
        withdrawn = sorted((self.path / "entries").glob(f"k-*/{_WITHDRAWN}"))
        dismissed = _readable(read_dismissal, [*self._files("dismissed"), *withdrawn], faults)
        reports = _readable(lambda _: self.report(), [self.path], faults)
        return Contents(
            tuple(sorted(proposals, key=lambda one: (-one.per_month * one.saved_min, one.id))),
            tuple(entries),
            {one.id: one for one in dismissed},
            report=next(iter(reports), None),
            faults=tuple(faults),
        )

    def forget(self, *ticket_ids: str) -> ForgottenKnowledge:
        """Remove the proposals that are made of one of these tickets, and name the entries that are.

        Raises:
            InvalidRequest: If a proposal cannot be removed.
        """
        faults, gone = list[str](), frozenset(ticket_ids)
        names = _readable(lambda path: _is_of(path, gone, read_proposal), self._files("proposals"), faults)
        for path in names:
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                raise unwritable(path, error, PLACE) from error
        versions = sorted((self.path / "entries").glob("*/*.md"))
        found = _readable(lambda path: _is_of(path, gone, read_version), versions, faults)
        return ForgottenKnowledge(len(names), tuple(sorted({path.parent.name for path in found})), tuple(faults))

    def _files(self, kind: str) -> list[Path]:
        return sorted((self.path / kind).glob("k-*.json"))

    def _is_withdrawn(self, entry_id: str) -> bool:
        return (self.path / "entries" / entry_id / _WITHDRAWN).exists()

    def _newest_ones(self, faults: list[str] | None = None) -> list[Entry]:
        """Return the newest version of each entry, withdrawn ones too, and add what cannot be read to the faults."""
        told = faults if faults is not None else []
        places = sorted(path for path in (self.path / "entries").glob("[!.]*") if path.is_dir())
        told += [f"entries/{place.name} is no entry: its name is no id" for place in places if not is_id(place.name)]
        found = (self._newest(place.name, told) for place in places if is_id(place.name))
        return [entry for entry in found if entry is not None]

    def _newest(self, entry_id: str, faults: list[str]) -> Entry | None:
        """Return the newest version of an entry that can be read, and add newer ones that cannot to the faults."""
        files = self._version_files(entry_id)
        faults += [
            f"{entry_id}/{path.name} is no version: name it by its number, such as 2.md"
            for path in files
            if version_of(path) is None
        ]
        for path in sorted(files, key=lambda path: version_of(path) or 0, reverse=True):
            if version_of(path) is not None and (found := _readable(read_version, [path], faults)):
                return found[0]
        return None

    def _version_files(self, entry_id: str) -> list[Path]:
        return sorted((self.path / "entries" / entry_id).glob("[!.]*.md")) if is_id(entry_id) else []

    def _versions(self, entry_id: str) -> list[int]:
        return [number for path in self._version_files(entry_id) if (number := version_of(path)) is not None]

    def _write(self, path: Path, text: str) -> None:
        write_private(self.path, path, text)


def _is_of(path: Path, ticket_ids: frozenset[str], read: Callable[[Path], Proposal | Entry]) -> Path | None:
    return path if names_one_of(path, ticket_ids, read) else None


def _readable(read: Callable[[Path], _T | None], paths: Iterable[Path], faults: list[str]) -> list[_T]:
    """Return what can be read, and add a sentence on each of the others to the faults."""
    found: list[_T] = []
    for path in paths:
        try:
            one = read(path)
        except InvalidRequest as error:
            faults.append(str(error))
        else:
            found += [one] if one is not None else []
    return found
