"""What a verb prints: results on stdout, as tables or as one JSON document; notices and progress bars on stderr."""

from __future__ import annotations

import codecs
import contextlib
import json
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text
from tqdm import tqdm

Log = Callable[[str], object]
"""What a long run tells of its steps."""

# A person sees a bar that moves; a log file gets a line every ten seconds, and none for what is done before that.
_WATCHED, _UNWATCHED = (0.2, 0.5), (10.0, 10.0)


def log(text: str) -> None:
    """Print a notice on stderr, where it cannot be taken for a result."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def log_step(text: str) -> None:
    """Print on stderr what a long run is doing now."""
    log(f"· {text}")


def print_json(document: object) -> None:
    """Print one strict JSON document on stdout."""
    plain = codecs.lookup(sys.stdout.encoding or "ascii").name != "utf-8"
    print(json.dumps(document, ensure_ascii=plain, allow_nan=False, indent=2))


def print_result(document: object, text: str, *, as_json: bool) -> None:
    """Print what a verb found: as one JSON document for programs, as text for people."""
    if as_json:
        print_json(document)
    else:
        print(text)


def print_table(header: Sequence[str], rows: Iterable[Sequence[object]], indent: int = 0) -> None:
    """Print rows in columns: drawn by rich on a terminal, as plain aligned text anywhere else."""
    if not sys.stdout.isatty():
        print(table(header, rows, " " * indent))
        return
    body, right = _cells(header, rows)
    drawn = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for name, to_right in zip(header, right, strict=True):
        drawn.add_column(Text(name), justify="right" if to_right else "left")
    for line in body:
        drawn.add_row(*map(Text, line))
    Console().print(Padding.indent(drawn, indent))


def table(header: Sequence[str], rows: Iterable[Sequence[object]], indent: str = "") -> str:
    """Lay rows out in columns: numbers to the right, with three decimals where they have any.

    Example:
        >>> print(table(["label", "rows"], [["access", 12], ["data", 5]]))
        label   rows
        access    12
        data       5
    """
    body, right = _cells(header, rows)
    lines = [list(header), *body]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        indent
        + "  ".join(
            text.rjust(width) if to_right else text.ljust(width)
            for text, width, to_right in zip(line, widths, right, strict=True)
        ).rstrip()
        for line in lines
    )


def _cells(header: Sequence[str], rows: Iterable[Sequence[object]]) -> tuple[list[list[str]], list[bool]]:
    """Return the cells as text, and for each column whether it holds numbers."""
    body = [[_cell(value) for value in row] for row in rows]
    columns = list(zip(*body, strict=True))
    return body, [all(map(_is_number, column)) for column in columns] or [False] * len(header)


def _cell(value: object) -> str:
    if value is None:
        return "–"
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def _is_number(text: str) -> bool:
    return text.replace(".", "", 1).replace("-", "", 1).replace("%", "").isdigit() or text == "–"


class _Lenient:
    """Standard error for a progress bar: a reader that has gone (`… 2>&1 | head`) is no reason to stop.

    A bar that fails while it draws keeps its lock, and everything that draws later would wait for ever.
    """

    def __getattr__(self, name: str) -> Any:
        return getattr(sys.stderr, name)

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError):
            sys.stderr.write(text)
        return len(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError):
            sys.stderr.flush()


def progress(
    total: int | None, what: str, *, unit: str = " tickets", initial: int = 0, quiet: bool = False, soon: bool = False
) -> tqdm[Any]:
    """Return a progress bar on stderr; where nobody watches, it prints a line every ten seconds only.

    Args:
        total: How much there is to do; None where nobody knows.
        what: What is being done, in a word.
        unit: What is counted.
        initial: How much is done already.
        quiet: Whether to print nothing at all.
        soon: Whether to appear at once, not only when it takes a while.
    """
    pace, delay = _WATCHED if sys.stderr.isatty() else _UNWATCHED
    return tqdm(
        total=total,
        initial=initial,
        desc=what,
        unit=unit,
        mininterval=pace,
        delay=0 if soon else delay,
        file=_Lenient(),
        leave=False,
        disable=quiet,
    )
