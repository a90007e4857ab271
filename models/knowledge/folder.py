"""The folder of knowledge: `proposals/ID.json`, `dismissed/ID.json`, `report.json`, and `entries/ID/VERSION.md`."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TypeVar

import tomli_w
from pydantic import TypeAdapter, ValidationError

from models.atomic_write import write_text
from models.home import triage_home
from models.regular_file import read_regular_file
from triage.errors import InvalidRequest
from triage.knowledge import Dismissal, Entry, Proposal, Report, parse_entry
from triage.knowledge.entry import FENCE

_ID = re.compile(r"k-[0-9a-f]{4,40}")
_MOST_BYTES = 1 << 20
"""Largest file that is read: an entry is some pages."""
_PROPOSAL = TypeAdapter(Proposal)
_ENTRY = TypeAdapter(Entry)
_DISMISSAL = TypeAdapter(Dismissal)
_REPORT = TypeAdapter(Report)
_T = TypeVar("_T")


@dataclass(frozen=True)
class Contents:
    """Everything in the folder that can be read, and what is wrong with the rest.

    Attributes:
        proposals: Those that would save the most minutes a month first, dismissed ones too.
        entries: The newest version of each.
        dismissed: Who dismissed which proposal, by its id.
        report: What the entries did; None where nobody counted.
        faults: One sentence for each file that cannot be read.
    """

    proposals: tuple[Proposal, ...]
    entries: tuple[Entry, ...]
    dismissed: Mapping[str, Dismissal]
    report: Report | None
    faults: tuple[str, ...]


class KnowledgeFolder:
    """Proposals and entries of one desk. Files appear whole; a version, once written, is never changed.

    Args:
        path: The folder; None for the one below `TRIAGE_HOME`.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path if path is not None else triage_home() / "knowledge"

    def propose(self, proposals: Iterable[Proposal]) -> None:
        """Put proposals in the place of those that were there.

        Raises:
            InvalidRequest: If they cannot be written.
        """
        place = self.path / "proposals"
        new = {place / f"{one.id}.json": one for one in proposals}
        for path, one in new.items():
            write_text(path, json.dumps(asdict(one), ensure_ascii=False, indent=1) + "\n")
        for old in sorted(place.glob("k-*.json")):
            if old not in new:
                old.unlink(missing_ok=True)

    def proposals(self) -> list[Proposal]:
        """Return the proposals, those that would save the most minutes a month first."""
        return _ranked(map(self._proposal, self._files("proposals")))

    def proposal(self, proposal_id: str) -> Proposal | None:
        """Return one proposal; None where there is none of that id."""
        path = self.path / "proposals" / f"{proposal_id}.json"
        if not _ID.fullmatch(proposal_id) or not path.is_file():
            return None
        return self._proposal(path)

    def accept(
        self, proposal: Proposal, by: str, at: str, *, title: str | None = None, body: str | None = None
    ) -> Entry:
        """Write the next version of a proposal's entry.

        Args:
            proposal: What was proposed.
            by: Who accepts it.
            at: When, ISO 8601 with a zone.
            title: Another title than the proposal's.
            body: The article or script, Markdown; the proposal's draft where it is not given.

        Raises:
            InvalidRequest: If it cannot be written.
        """
        self.restore(proposal.id)
        versions = self._versions(proposal.id)
        entry = Entry(
            id=proposal.id,
            version=max(versions, default=0) + 1,
            title=title or proposal.title,
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
            body=body or proposal.draft(),
        )
        text = f"{FENCE}\n{tomli_w.dumps(entry.head())}{FENCE}\n\n{entry.body}"
        write_text(self.path / "entries" / entry.id / f"{entry.version}.md", text)
        return entry

    def entries(self) -> list[Entry]:
        """Return the newest version of each entry.

        Raises:
            InvalidRequest: If one cannot be read.
        """
        return [entry for place in sorted((self.path / "entries").glob("k-*")) if (entry := self.entry(place.name))]

    def entry(self, entry_id: str, version: int | None = None) -> Entry | None:
        """Return an entry in one version, or in its newest; None where there is none."""
        versions = self._versions(entry_id)
        wanted = version if version is not None else max(versions, default=0)
        if wanted not in versions:
            return None
        path = self.path / "entries" / entry_id / f"{wanted}.md"
        where = f"{entry_id}/{path.name}"
        entry = parse_entry(self._read(path), where)
        stated = {one.name: getattr(entry, one.name) for one in fields(entry)}
        return _made(lambda: _ENTRY.validate_python(stated), f"{where} cannot be read", "mend its head")

    def first_accepted(self, entry_id: str) -> str:
        """Return when an entry was accepted first, ISO 8601: later versions say it better, and do not begin it anew."""
        first = self.entry(entry_id, min(self._versions(entry_id)))
        assert first is not None
        return first.accepted_at

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
        write_text(self.path / "dismissed" / f"{proposal_id}.json", json.dumps(asdict(dismissal)) + "\n")
        return dismissal

    def restore(self, proposal_id: str) -> None:
        """Let a dismissed proposal wait again; one that was not dismissed waits already."""
        if _ID.fullmatch(proposal_id):
            (self.path / "dismissed" / f"{proposal_id}.json").unlink(missing_ok=True)

    def dismissed(self) -> dict[str, Dismissal]:
        """Return who dismissed which proposal, by its id.

        Raises:
            InvalidRequest: If a file cannot be read.
        """
        return {one.id: one for one in map(self._dismissal, self._files("dismissed"))}

    def put_report(self, report: Report) -> None:
        """Keep what the entries did, in the place of what was counted before.

        Raises:
            InvalidRequest: If it cannot be written.
        """
        write_text(self.path / "report.json", json.dumps(asdict(report), ensure_ascii=False, indent=1) + "\n")

    def report(self) -> Report | None:
        """Return what the entries did when it was last counted; None where nobody counted.

        Raises:
            InvalidRequest: If the file cannot be read.
        """
        path = self.path / "report.json"
        if not path.is_file():
            return None
        text = self._read(path)
        return _made(lambda: _REPORT.validate_json(text), f"{path.name} cannot be read", "run triage knowledge report")

    def look(self) -> Contents:
        """Return everything that can be read: one broken file hides nothing else."""
        faults: list[str] = []

        def tolerant(read: Callable[[Path], _T | None], paths: Iterable[Path]) -> list[_T]:
            found = []
            for path in paths:
                try:
                    one = read(path)
                except InvalidRequest as error:
                    faults.append(str(error))
                else:
                    found += [one] if one is not None else []
            return found

        proposals = _ranked(tolerant(self._proposal, self._files("proposals")))
        entries = tolerant(lambda place: self.entry(place.name), sorted((self.path / "entries").glob("k-*")))
        dismissed = {one.id: one for one in tolerant(self._dismissal, self._files("dismissed"))}
        reports = tolerant(lambda _: self.report(), [self.path])
        return Contents(
            tuple(proposals), tuple(entries), dismissed, report=next(iter(reports), None), faults=tuple(faults)
        )

    def _files(self, kind: str) -> list[Path]:
        return sorted((self.path / kind).glob("k-*.json"))

    def _proposal(self, path: Path) -> Proposal:
        text, what = self._read(path), f"proposal {path.name} cannot be read"
        found = _made(lambda: _PROPOSAL.validate_json(text), what, "run triage knowledge propose again")
        if not all(map(math.isfinite, (found.bar, found.precision, found.recall, found.per_month, found.saved_min))):
            raise InvalidRequest(f"{what}: a figure in it is no number; run triage knowledge propose again")
        return found

    def _dismissal(self, path: Path) -> Dismissal:
        text = self._read(path)
        return _made(lambda: _DISMISSAL.validate_json(text), f"dismissed/{path.name} cannot be read", "remove it")

    def _versions(self, entry_id: str) -> list[int]:
        if not _ID.fullmatch(entry_id):
            return []
        return [int(path.stem) for path in (self.path / "entries" / entry_id).glob("*.md") if path.stem.isdigit()]

    @staticmethod
    def _read(path: Path) -> str:
        try:
            return read_regular_file(path, _MOST_BYTES).decode("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidRequest(f"{path.name} cannot be read: {error}; mend or remove it") from error


def _ranked(proposals: Iterable[Proposal]) -> list[Proposal]:
    return sorted(proposals, key=lambda one: (-one.per_month * one.saved_min, one.id))


def _made(make: Callable[[], _T], what: str, remedy: str) -> _T:
    """Return what a file holds, with everything of its kind in it.

    Raises:
        InvalidRequest: Naming the first thing that is wrong with it.
    """
    try:
        return make()
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise InvalidRequest(f"{what}: {place and f'{place}: '}{first['msg']}; {remedy}") from error
