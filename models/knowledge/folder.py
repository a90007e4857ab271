"""The folder of knowledge: `proposals/ID.json`, and `entries/ID/VERSION.md`, of which the newest counts."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import tomli_w

from models.atomic_write import write_text
from models.home import triage_home
from models.regular_file import read_regular_file
from triage.errors import InvalidRequest
from triage.knowledge import Entry, Proposal, parse_entry
from triage.knowledge.entry import FENCE

_ID = re.compile(r"k-[0-9a-f]{4,40}")
_MOST_BYTES = 1 << 20
"""Largest file that is read: an entry is some pages."""


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
        found = [_proposal(self._read(path), path.name) for path in sorted((self.path / "proposals").glob("k-*.json"))]
        return sorted(found, key=lambda one: (-one.per_month * one.saved_min, one.id))

    def proposal(self, proposal_id: str) -> Proposal | None:
        """Return one proposal; None where there is none of that id."""
        path = self.path / "proposals" / f"{proposal_id}.json"
        if not _ID.fullmatch(proposal_id) or not path.is_file():
            return None
        return _proposal(self._read(path), path.name)

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
        return parse_entry(self._read(path), f"{entry_id}/{path.name}")

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


def _proposal(text: str, where: str) -> Proposal:
    try:
        data: Mapping[str, Any] = json.loads(text)
        values = {one.name: data[one.name] for one in fields(Proposal)}
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidRequest(f"proposal {where} cannot be read: {error}; run triage knowledge propose again") from error
    stated: dict[str, Any] = {name: tuple(one) if isinstance(one, list) else one for name, one in values.items()}
    return Proposal(**stated)
