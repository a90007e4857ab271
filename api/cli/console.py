"""What the store's verbs share: opening the store, reading ages, printing tables."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta

from api.settings import Settings, load_settings
from api.store.repository import Repository, open_repository

Verb = Callable[[argparse.Namespace, Settings], int]
_HOURS = {"h": 1.0, "d": 24.0, "w": 168.0, "y": 8760.0}


def run(parser: argparse.ArgumentParser, verbs: Iterable[argparse.ArgumentParser], arguments: list[str]) -> int:
    """Parse what follows a verb, and do it; every verb takes ``--json``."""
    for verb in verbs:
        verb.add_argument("--json", action="store_true", help="print one JSON document and nothing else")
    chosen = parser.parse_args(arguments)
    do: Verb = chosen.do
    return do(chosen, load_settings())


@contextmanager
def opened(settings: Settings) -> Iterator[Repository]:
    """Open the store of the settings, and close it in the end."""
    repository = open_repository(settings.home, settings.store_url, redact=settings.redact_stored)
    try:
        yield repository
    finally:
        repository.close()


def age(text: str) -> timedelta:
    """Read a length of time such as ``12h``, ``90d``, ``52w`` or ``1y``.

    Example:
        >>> age("90d")
        datetime.timedelta(days=90)
    """
    number, unit = text[:-1], text[-1:].lower()
    if (
        unit not in _HOURS
        or not number.replace(".", "", 1).isdigit()
        or float(number) == 0
        or float(number) * _HOURS[unit] > 876_000
    ):
        raise argparse.ArgumentTypeError(f"{text!r} is no length of time: write 12h, 90d, 52w or 1y")
    return timedelta(hours=float(number) * _HOURS[unit])


def table(heads: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return rows as text in columns."""
    cells = [[str(head) for head in heads], *[["-" if cell is None else str(cell) for cell in row] for row in rows]]
    widths = [max(len(line[place]) for line in cells) for place in range(len(heads))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in cells
    )
