"""Where state lives: everything under `TRIAGE_HOME`."""

from __future__ import annotations

import os
from pathlib import Path

from platformdirs import user_data_path

DEFAULT_MODEL = "helpdesk-triage"


def triage_home() -> Path:
    """Return the directory of all state: `TRIAGE_HOME`, else the user's data directory; made where absent."""
    stated = os.environ.get("TRIAGE_HOME")
    home = Path(stated).expanduser() if stated else user_data_path("helpdesk-triage", appauthor=False)
    home.mkdir(parents=True, exist_ok=True)
    return home.resolve()
