"""How the verbs of this wing speak: results on stdout, notices on stderr, numbers among the arguments checked."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from triage.__main__ import print_json
from triage.arguments import Parser

__all__ = [
    "Log",
    "Parser",
    "fraction",
    "log_step",
    "note",
    "print_json",
    "progress",
    "say",
    "seconds",
    "seed",
    "share",
    "table",
]


_T = TypeVar("_T", int, float)

Log = Callable[[str], object]
"""Takes the steps of a long job, each in a few words."""


def log_step(text: str) -> None:
    """Print a step of a long job on stderr."""
    sys.stderr.write(f"· {text}\n")


def share(text: str) -> float:
    """Read an argument that is a number between 0 and 1, both left out."""
    return _number(text, float, lambda value: 0 < value < 1, "a number between 0 and 1")


def fraction(text: str) -> float:
    """Read an argument that is a number from 0 to 1."""
    return _number(text, float, lambda value: 0 <= value <= 1, "a number from 0 to 1")


def seed(text: str) -> int:
    """Read an argument that seeds what is drawn."""
    return _number(text, int, lambda value: 0 <= value < 2**32, "a whole number from 0 to 4294967295")


def seconds(text: str) -> float:
    """Read an argument that is a time to wait, in seconds."""
    return _number(text, float, lambda value: 0 < value <= 86400, "a number of seconds from 0 to 86400")


def _number(text: str, kind: Callable[[str], _T], fits: Callable[[_T], bool], what: str) -> _T:
    try:
        value = kind(text)
    except ValueError:
        pass
    else:
        if fits(value):
            return value
    raise argparse.ArgumentTypeError(f"{text!r} is not {what}")


def say(text: str = "") -> None:
    """Print a line of the result on stdout."""
    sys.stdout.write(text + "\n")


def note(text: str) -> None:
    """Print a notice on stderr, where it cannot be taken for a result."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def table(header: Sequence[str], rows: Iterable[Sequence[object]], indent: str = "") -> str:
    """Lay rows out in columns: numbers to the right, with three decimals where they have any.

    Example:
        >>> print(table(["label", "rows"], [["access", 12], ["data", 5]]))
        label   rows
        access    12
        data       5
    """
    body = [[_cell(value) for value in row] for row in rows]
    right = [all(_is_number(value) for value in column) for column in zip(*body, strict=True)] or [False] * len(header)
    lines = [list(header), *body]
    widths = [max(len(line[place]) for line in lines) for place in range(len(header))]
    return "\n".join(
        indent
        + "  ".join(
            text.rjust(width) if to_right else text.ljust(width)
            for text, width, to_right in zip(line, widths, right, strict=True)
        ).rstrip()
        for line in lines
    )


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
) -> Any:
    """Return a progress bar on stderr; where nobody watches, it speaks every ten seconds only.

    Args:
        total: How much there is to do; None where nobody knows.
        what: Is being done.
        unit: Of the total.
        initial: How much is done already.
        quiet: Say nothing at all.
        soon: Appear at once, not only when it takes a while.
    """
    from tqdm import tqdm

    pace, delay = (0.2, 0.5) if sys.stderr.isatty() else (10.0, 10.0)
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
