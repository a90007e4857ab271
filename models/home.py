"""Where state lives: everything under `TRIAGE_HOME`."""

from __future__ import annotations

import os
from pathlib import Path

from platformdirs import user_data_path

from triage.errors import InvalidRequest

DEFAULT_MODEL = "helpdesk-triage"


def triage_home() -> Path:
    """Return the directory of all state: `TRIAGE_HOME`, else the user's data directory; made where absent.

    Raises:
        InvalidRequest: If it cannot be made, or a file is in its place.
    """
    stated = os.environ.get("TRIAGE_HOME")
    home = Path(stated).expanduser() if stated else user_data_path("helpdesk-triage", appauthor=False)
    try:
        home.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidRequest(
            f"no directory for state at {str(home)!r}: {error.strerror}; set TRIAGE_HOME to one that can be written"
        ) from error
    return home.resolve()
