"""Written cues: frames of patterns over a ticket's sentences, read from TOML."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache
from heapq import merge
from importlib.resources import files
from typing import Any

import re2

from triage.screening.reading import Reading

_ASIDE = "\0"
"""Stands in place of each character that a frame does not read; no ticket holds it."""
_NAMED = re.compile(r"\{([a-z_]+)\}")
_AFTER_GAP = re.compile(r"(\.\{\d+,\d+\})(?=[a-z]|\(\?:[a-z]|\{[a-z_]+\})")
_MAX_PATTERN_MEM = 12 << 20
"""Bytes that one compiled pattern may take, with what it remembers of texts: word lists times gaps of some hundred
characters need up to a tenth for themselves. With five times as much, texts are read no faster, and all patterns
together hold 150 MB after 2,000 texts in place of 50."""


@dataclass(frozen=True)
class Frame:
    """What speaks for one kind: patterns, and what must or must not stand beside them.

    Attributes:
        kind: What it speaks for, such as ``safety``.
        name: What it is called, unique within its kind.
        any: re2 patterns of which one must be found.
        with_: re2 patterns of which one must stand in the same sentence or a neighbour; none stated asks nothing.
        unless: re2 patterns none of which may stand there.
        unless_text: re2 patterns none of which may stand anywhere in the text.
        aside: re2 patterns over the text as written, in any case; what they find is not read.
        negatable: Whether a negation right before the match silences it.
        span: Sentences in a row that one match may reach over.
    """

    kind: str
    name: str
    any: tuple[str, ...]
    with_: tuple[str, ...] = ()
    unless: tuple[str, ...] = ()
    unless_text: tuple[str, ...] = ()
    aside: tuple[str, ...] = ()
    negatable: bool = True
    span: int = 1

    @cached_property
    def pattern(self) -> Any:
        """All of `any` as one pattern."""
        return one_of(self.any)

    @cached_property
    def beside(self) -> Any:
        """All of `with_` as one pattern, or None."""
        return one_of(self.with_)

    @cached_property
    def against(self) -> Any:
        """All of `unless` as one pattern, or None."""
        return one_of(self.unless)

    @cached_property
    def against_text(self) -> Any:
        """All of `unless_text` as one pattern, or None."""
        return one_of(self.unless_text)

    def read(self, reading: Reading) -> str:
        """Return the text for matching, of the same length, without the words that are put aside."""
        if not self.aside:
            return reading.plain
        text = list(reading.plain)
        for match in one_of([f"(?i:{pattern})" for pattern in self.aside]).finditer(reading.text):
            text[match.start() : match.end()] = _ASIDE * (match.end() - match.start())
        return "".join(text)


def compile_cue(pattern: str) -> Any:
    """Compile an re2 pattern as cues use it.

    Raises:
        re2.error: If re2 does not take it.
    """
    return re2.compile(pattern, options=_options())


def _options() -> Any:
    options = re2.Options()
    options.max_mem = _MAX_PATTERN_MEM
    options.never_capture = True
    options.log_errors = False
    return options


def one_of(patterns: Sequence[str]) -> Any:
    """Compile several patterns into one that finds any of them; None for no pattern.

    What was compiled is remembered: patterns that are too large as one take half a second to find that out.
    """
    return _one_of(tuple(patterns)) if patterns else None


@lru_cache(maxsize=256)
def _one_of(patterns: tuple[str, ...]) -> Any:
    return joined(patterns, compile_cue)


@dataclass(frozen=True)
class InParts:
    """Patterns that are too large as one: what is found is what any of the parts finds, in the order of the text."""

    parts: tuple[Any, ...]

    def search(self, text: str) -> Any:
        """Return the first match in a text, or None."""
        found = (match for part in self.parts if (match := part.search(text)))
        return min(found, key=_start, default=None)

    def finditer(self, text: str) -> Iterator[Any]:
        """Yield the matches in a text, of each part those that do not overlap."""
        return merge(*(part.finditer(text) for part in self.parts), key=_start)


def _start(match: Any) -> int:
    return int(match.start())


def joined(patterns: Sequence[str], compiled: Callable[[str], Any]) -> Any:
    """Compile several patterns into one that finds any of them, or into as few as fit where one may not be so large.

    Args:
        patterns: At least one.
        compiled: Compiles a pattern.

    Raises:
        re2.error: If one of them cannot be compiled.
    """
    try:
        return compiled("|".join(f"(?:{pattern})" for pattern in patterns))
    except re2.error:
        if len(patterns) == 1:
            raise
    middle = len(patterns) // 2
    halves = (joined(half, compiled) for half in (patterns[:middle], patterns[middle:]))
    return InParts(tuple(part for half in halves for part in (half.parts if isinstance(half, InParts) else (half,))))


def parse_frames(text: str) -> tuple[Frame, ...]:
    """Read frames from TOML text with a table `[words]` of named parts and a `[[frame]]` table each."""
    data = tomllib.loads(text)
    words: Mapping[str, str] = data.get("words", {})

    def spelled(patterns: Sequence[str]) -> tuple[str, ...]:
        return tuple(_NAMED.sub(lambda name: words[name[1]], _bounded(pattern)) for pattern in patterns)

    def frames() -> Iterator[Frame]:
        for table in data["frame"]:
            lists = {key: spelled(table.get(key, ())) for key in ("any", "with", "unless", "unless_text", "aside")}
            lists["with_"] = lists.pop("with")
            yield Frame(
                table["kind"], table["name"], negatable=table.get("negatable", True), span=table.get("span", 1), **lists
            )

    return tuple(frames())


def _bounded(pattern: str) -> str:
    """Let a pattern, and what follows a gap in it, begin at the beginning of a word."""
    start = r"\b" if pattern[0].isalpha() or pattern.startswith(("(?:", "{")) else ""
    return f"{start}(?:{_AFTER_GAP.sub(_with_boundary, pattern)})"


def _with_boundary(gap: re.Match[str]) -> str:
    return gap[1] + r"\b"


@cache
def frames_of(name: str) -> tuple[Frame, ...]:
    """Return the frames of a file of this package."""
    return parse_frames((files(__package__) / name).read_text("utf-8"))


def frames_in(name: str, text: str) -> list[Frame]:
    """Return the frames of a file of this package of which a pattern stands in a text.

    Args:
        name: Of the file.
        text: As `triage.screening.reading.plain` makes it.
    """
    frames, (patterns, owners) = frames_of(name), _patterns_of(name)
    return [frames[place] for place in sorted({owners[found] for found in patterns.Match(text) or ()})]


@cache
def _patterns_of(name: str) -> tuple[Any, list[int]]:
    """Return the patterns of all frames of a file, and the place of each one's frame.

    Only those are looked for whose words a text has, and one by one: joined, re2 needs more states for a frame than it
    may keep, and takes five times as long.
    """
    patterns, owners = re2.Filter(), list[int]()
    for place, frame in enumerate(frames_of(name)):
        for pattern in frame.any:
            patterns.Add(pattern, _options())
            owners.append(place)
    patterns.Compile()
    return patterns, owners
