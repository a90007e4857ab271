"""A knowledge entry as Markdown with a head of TOML, the proposal that it came from, and what it did."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import Any

from triage.errors import TOML_FAULTS, InvalidRequest, why_unreadable

ARTICLE, SCRIPT = "article", "script"
KINDS = (ARTICLE, SCRIPT)
"""An article answers the requester at self-service; a script is what the service desk follows."""

MAX_ENTRY_CHARS = 100_000
"""Longest article or script, in characters."""
FENCE = "+++"
_NONE: Mapping[str, float] = MappingProxyType({})


@dataclass(frozen=True)
class Proposal:
    """Tickets of a higher tier that share a resolution: what could end lower, with the evidence.

    Attributes:
        id: Made of its tickets: the same ones give the same id. Where there is an entry about them, it is that one's.
        title: What they are about, in the words that they share.
        kind: One of `KINDS`: what is proposed to be written.
        tier: Where they would end with it.
        from_tier: Where they ended: the commonest tier of theirs.
        category: Their commonest category; None where they have none.
        tickets: Ids of all of them.
        words: Words that tell them from other tickets, with weights that add up to 1.
        bar: Share of these weights from which on a ticket is one of this kind.
        precision: Of the history's tickets at or above the bar, the share that are of this kind, in [0, 1].
        recall: Of the tickets of this kind, the share at or above the bar, in [0, 1].
        resolutions: How some of them were resolved, the most typical first.
        per_month: How many come in a month.
        saved_min: Minutes of work that it would save a ticket, at the policy's figures.
        cover: What the script or article has to cover, one sentence each.
        categories: All categories that its tickets have; none where an earlier version wrote it.
    """

    id: str
    title: str
    kind: str
    tier: str
    from_tier: str
    category: str | None
    tickets: tuple[str, ...]
    words: Mapping[str, float]
    bar: float
    precision: float
    recall: float
    resolutions: tuple[str, ...]
    per_month: float
    saved_min: float
    cover: tuple[str, ...]
    categories: tuple[str, ...] = ()

    @property
    def made_of(self) -> tuple[str, ...]:
        """The categories of the tickets that it is made of, as far as they are known."""
        return _made_of(self.category, self.categories)

    def draft(self) -> str:
        """Return the body of an entry to begin with, as Markdown."""
        parts = [
            f"# {self.title}",
            "## How to recognise it\n"
            + f"Tickets of this kind say: {', '.join(list(self.words)[:10])}. Seen in {len(self.tickets)} tickets.",
            "## What to do\n" + "\n".join(f"- {one}" for one in self.resolutions),
            "## What this has to cover\n" + "\n".join(f"- {one}" for one in self.cover),
        ]
        return "\n\n".join(parts) + "\n"


@dataclass(frozen=True)
class Entry:
    """An accepted entry, in one of its versions.

    Attributes:
        id: That of its proposal.
        version: From 1 on.
        title: What it is about.
        kind: One of `KINDS`.
        tier: The tier that resolves its tickets with it.
        accepted_at: When this version was accepted, ISO 8601 with a zone.
        accepted_by: By whom.
        words: Words that tell its tickets from others, with weights that add up to 1.
        bar: Share of these weights from which on it is suggested.
        from_tier: Where its tickets ended before.
        category: Their commonest category.
        saved_min: Minutes of work that it saves a ticket, at the policy's figures when it was proposed.
        tickets: What it was made from.
        body: Markdown.
        categories: All categories that its tickets have, those of earlier versions too; none where an earlier version
            wrote it.
    """

    id: str
    version: int
    title: str
    kind: str
    tier: str
    accepted_at: str
    accepted_by: str
    words: Mapping[str, float] = field(default_factory=lambda: _NONE)
    bar: float = 0.5
    from_tier: str = ""
    category: str | None = None
    saved_min: float = 0.0
    tickets: tuple[str, ...] = ()
    body: str = ""
    categories: tuple[str, ...] = ()

    @property
    def made_of(self) -> tuple[str, ...]:
        """The categories of the tickets that it is made of, as far as they are known."""
        return _made_of(self.category, self.categories)

    def head(self) -> dict[str, Any]:
        """Return the tables of its head."""
        said = {one.name: getattr(self, one.name) for one in fields(self) if one.name != "body"}
        said = {name: list(value) if isinstance(value, tuple) else value for name, value in said.items()}
        return {name: dict(value) if name == "words" else value for name, value in said.items() if value is not None}


def _made_of(commonest: str | None, categories: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*([commonest] if commonest is not None else []), *categories)))


@dataclass(frozen=True)
class Dismissal:
    """A proposal that somebody decided against, or an entry that was withdrawn: by whom, and when (ISO 8601)."""

    id: str
    by: str
    at: str


@dataclass(frozen=True)
class Effect:
    """What one entry did.

    Attributes:
        id: Of the entry.
        title: Of the entry.
        before: Tickets that fit it from before it was accepted.
        low_before: Of those, the share that its tier or a lower one resolved.
        after: Tickets that fit it since.
        low_after: Of those, the share that its tier or a lower one resolved.
        stayed_low: Tickets since that would have gone higher at the share from before: the difference of shares times
            those since; negative where more go higher now.
        low: Lower end of its 95 % interval.
        high: Upper end.
        saved_min: Minutes of work that this saved, at the policy's figures.
    """

    id: str
    title: str
    before: int
    low_before: float
    after: int
    low_after: float
    stayed_low: float
    low: float
    high: float
    saved_min: float


@dataclass(frozen=True)
class Report:
    """What the accepted entries did, as it was last counted: when (ISO 8601 with a zone), and each entry's effect."""

    at: str
    entries: tuple[Effect, ...]


def parse_entry(text: str, where: str = "entry") -> Entry:
    r"""Read an entry: a head of TOML between lines of ``+++``, then Markdown, with the line ends of any editor.

    Raises:
        InvalidRequest: If it has no such head, or the head lacks something.

    Example:
        >>> head = 'id="k"\nversion=1\ntitle="t"\nkind="script"\ntier="L1"\naccepted_at=""\naccepted_by="me"'
        >>> parse_entry(f"+++\n{head}\n+++\n# How\n").body
        '# How\n'
    """
    opening, _, rest = text.removeprefix("\ufeff").replace("\r\n", "\n").partition("\n")
    head, found, body = rest.partition(f"\n{FENCE}\n")
    if opening.strip() != FENCE or not found:
        raise InvalidRequest(f"{where} has no head of TOML between lines of {FENCE}: see the other entries")
    try:
        data = tomllib.loads(head)
        known = {one.name for one in fields(Entry)} - {"body"}
        values: dict[str, Any] = {name: tuple(one) if isinstance(one, list) else one for name, one in data.items()}
        stated: dict[str, Any] = {name: value for name, value in values.items() if name in known}
        return Entry(**stated, body=body.lstrip("\n"))
    except (TypeError, *TOML_FAULTS) as error:
        raise InvalidRequest(f"{where} cannot be read: {why_unreadable(error)}; mend its head") from error
