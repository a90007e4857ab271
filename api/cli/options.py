"""What the verbs on the store share: opening it, and lengths of time as options."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import typer

from api.settings import load_settings
from api.store.repository import Repository, open_repository

_HOURS = {"h": 1.0, "d": 24.0, "w": 168.0, "y": 8760.0}
_LONGEST = 100 * _HOURS["y"]  # dates further away than a century cannot be stored everywhere


@contextmanager
def opened_store() -> Iterator[Repository]:
    """Open the store that the settings name, and close it in the end."""
    settings = load_settings()
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
    if text[:-1].replace(".", "", 1).isdigit() and 0 < float(text[:-1]) * hours <= _LONGEST:
        return timedelta(hours=float(text[:-1]) * hours)
    raise typer.BadParameter(f"{text!r} is no length of time: write 12h, 90d, 52w or 1y")
