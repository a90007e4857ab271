"""What a data file is once it is opened: its columns, and its rows as often as they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from types import MappingProxyType
from typing import Any

_NOTHING: Mapping[str, tuple[str, ...]] = MappingProxyType({})


FOOTER = "line below the table"
"""What a footer is called among the lines that are left out."""


class Footer(IntEnum):
    """Whether a row may be a footer, such as "160 records", by where it stands and by how many of its cells are filled.

    Attributes:
        NO: It is a row.
        MAYBE: It is one where it has neither a text nor a label.
        LIKELY: It is one where it has no label and rows have one.
        SURELY: It is one.
    """

    NO = 0
    MAYBE = 1
    LIKELY = 2
    SURELY = 3


@dataclass(frozen=True)
class RawRow:
    """One row as the file has it.

    Attributes:
        line: Its line, or its number where there are no lines.
        cells: What stands in it, by column.
        fault: Why it cannot be read.
        footer: Whether it may be none.
    """

    line: int
    cells: dict[str, Any]
    fault: str | None = None
    footer: Footer = Footer.NO


@dataclass(frozen=True)
class Source:
    """A data file that can be read.

    Attributes:
        path: The file, as the user named it.
        columns: Its columns, in order of appearance.
        rows: How many rows it has, the unreadable ones included; None where that is only known at the end.
        read: Yields the rows; takes the columns that are wanted.
        kind: What it is, in a word or two, such as ``CSV`` or ``JSON list``.
        notes: What was done to open it that a user should know, such as the encoding that was detected.
        skipped: How many lines were left out that are no rows, by what they are; complete after each full reading.
        repeated: Names that several columns share, with the numbered names under which each can be read.
    """

    path: Path
    columns: tuple[str, ...]
    rows: int | None
    read: Callable[[Sequence[str]], Iterator[RawRow]]
    kind: str = ""
    notes: tuple[str, ...] = ()
    skipped: dict[str, int] = field(default_factory=dict)
    repeated: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: _NOTHING)
