"""Where state lives: everything under `TRIAGE_HOME`."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

from platformdirs import user_data_path

from triage.errors import InvalidRequest

DEFAULT_MODEL = "helpdesk-triage"
STORE_FILE = "store.sqlite"
"""The store of the service, where no other one is stated."""
CHECKOUT_HOME = ".triage"
"""Where `make run` keeps its state, in the checkout."""
PREFIX = "TRIAGE_"
ENVIRONMENT: Mapping[str, Any] = {"env_prefix": PREFIX, "frozen": True, "extra": "ignore", "env_ignore_empty": True}
"""How settings are read from the environment, of the service and of training alike: what is empty is not stated."""


def triage_home() -> Path:
    """Return the directory of all state, made where absent.

    It is `TRIAGE_HOME`, else `.triage` in the working directory where `make run` has made that, else the user's data
    directory.

    Raises:
        InvalidRequest: If it cannot be made, or a file is in its place.
    """
    stated = os.environ.get(f"{PREFIX}HOME")
    return made_home(Path(stated) if stated else _default_home())


def made_home(home: Path) -> Path:
    """Return a directory of all state with its full name, made where absent.

    Raises:
        InvalidRequest: If it cannot be made, or a file is in its place.
    """
    home = expanded(home)
    try:
        home.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidRequest(
            f"no directory for state at {str(home)!r}: {error.strerror}; set TRIAGE_HOME to one that can be written"
        ) from error
    return home.resolve()


def expanded(value: Any) -> Any:
    """Return a setting as it is, a path with ``~`` as the directory that it stands for.

    Raises:
        InvalidRequest: If nobody knows whose directory that is.
    """
    try:
        return value.expanduser() if isinstance(value, Path) else value
    except RuntimeError as error:
        raise InvalidRequest(f"no home directory for {str(value)!r}: {error}; write the path in full") from error


def _default_home() -> Path:
    """Return where state lives without `TRIAGE_HOME`: a fresh shell in a checkout finds what `make run` left there."""
    here = Path.cwd() / CHECKOUT_HOME
    is_checkout = here.is_dir() and (here.parent / "Makefile").is_file() and (here.parent / "triage").is_dir()
    return here if is_checkout else user_data_path("helpdesk-triage", appauthor=False)


def organisation_id(home: Path | None = None) -> str:
    """Return whose tickets these are: `TRIAGE_ORGANISATION`, else an id made once and kept in the home.

    A bundle remembers where it was trained by it: only there do the closed tickets it was tried on count as the
    organisation's own.

    Args:
        home: Directory of all state; None takes `triage_home`.

    Raises:
        InvalidRequest: If the id cannot be kept.
    """
    stated = os.environ.get(f"{PREFIX}ORGANISATION", "").strip()
    if stated:
        return stated
    place = (home or triage_home()) / "organisation.id"
    try:
        if not place.exists():
            _write_once(place, uuid4().hex)
        return place.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidRequest(
            f"the organisation's id cannot be kept in {str(place)!r}: {error}; set TRIAGE_ORGANISATION to its name"
        ) from error


def _write_once(place: Path, text: str) -> None:
    """Write a file whole, unless another process was first."""
    handle, draft = tempfile.mkstemp(dir=place.parent, prefix=".organisation-")
    with os.fdopen(handle, "w", encoding="ascii") as file:
        file.write(text + "\n")
    try:
        os.link(draft, place)  # fails where the file exists, so the first one stays
    except FileExistsError:
        pass
    finally:
        Path(draft).unlink(missing_ok=True)
