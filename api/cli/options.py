"""What the verbs on the store share: opening it, and lengths of time as options."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import typer

from api.settings import load_settings
from api.store.repository import Repository, open_repository, require_store
from api.store.rows import MOST_CLEARANCE
from models.terminal import number

_HOURS = {"h": 1.0, "d": 24.0, "w": 168.0, "y": 8760.0}
_MOST_DAYS = 36_500
_MOST_ROWS = 2**63 - 1
_LONGEST = 100 * _HOURS["y"]  # dates further away than a century cannot be stored everywhere


@contextmanager
def opened_store(*, is_made: bool = False) -> Iterator[Repository]:
    """Open the store that the settings name, and close it in the end.

    Args:
        is_made: Whether one that is not there is made: where the first thing comes into it, not to list or change any.

    Raises:
        NotFound: There is none, and it is not made.
    """
    settings = load_settings()
    if not is_made:
        require_store(settings.home, settings.store_url)
    repository = open_repository(settings.home, settings.store_url, redact=settings.redact_stored)
    try:
        yield repository
    finally:
        repository.close()


def age(text: str) -> timedelta:
    """Read a length of time such as ``12h``, ``90d``, ``52w`` or ``1y``.

    Raises:
        BadParameter: If it is none.

    Example:
        >>> age("90d")
        datetime.timedelta(days=90)
    """
    hours = _HOURS.get(text[-1:].lower(), 0.0)
    if text[:-1].replace(".", "", 1).isdecimal() and 0 < float(text[:-1]) * hours <= _LONGEST:
        return timedelta(hours=float(text[:-1]) * hours)
    raise typer.BadParameter(f"{text!r} is no length of time: write 12h, 90d, 52w or 1y")


def clearance(text: str) -> int:
    """Read which sensitive tickets somebody may see, as a number of the policy's tiers.

    Raises:
        BadParameter: If it is none.

    Example:
        >>> clearance("2")
        2
    """
    return number(text, int, lambda value: 0 <= value <= MOST_CLEARANCE, f"a whole number from 0 to {MOST_CLEARANCE}")


def days(text: str) -> float:
    """Read an age in days; 0 is for ever.

    Raises:
        BadParameter: If it is none.
    """
    return number(
        text, float, lambda value: 0 <= value <= _MOST_DAYS, f"an age in days from 0, which keeps all, to {_MOST_DAYS}"
    )


def row_number(text: str) -> int:
    """Read the number of a row.

    Raises:
        BadParameter: If no row can have it.
    """
    return number(text, int, lambda value: 1 <= value <= _MOST_ROWS, "the number of a row, 1 or more")
