"""Look at runs, figures and versions in MLflow's own pages.

Examples:
    triage mlflow ui
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass

from models.home import triage_home
from models.terminal import Family, log, number, option
from training.registry.tracker import Tracker
from triage.errors import InvalidRequest

mlflow = Family("mlflow", __doc__)


def _port(text: str) -> int:
    return number(text, int, lambda value: 0 < value < 65536, "a port between 1 and 65535")


@dataclass(frozen=True, kw_only=True)
class UiOptions:
    """The options of `triage mlflow ui`."""

    host: str = option("address to listen on", "127.0.0.1")
    port: int = option("port to listen on", 5000, "N", read=_port)


@mlflow.verb("ui")
def ui(options: UiOptions) -> None:
    """Open MLflow's pages on the runs and versions of this machine, until it is interrupted.

    Examples:
        triage mlflow ui
        triage mlflow ui --port 5001
    """
    uri = Tracker().uri
    if uri.startswith(("http:", "https:")):
        raise InvalidRequest(f"runs are tracked by the server at {uri}: open that address in a browser")
    log(f"· MLflow on http://{options.host}:{options.port}")
    artifacts = (triage_home() / "artifacts").as_uri()
    places = ("--backend-store-uri", uri, "--default-artifact-root", artifacts, "--no-serve-artifacts")
    address = ("--host", options.host, "--port", str(options.port), "--workers", "1")
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-P", "-m", "mlflow", "server", *places, *address])
