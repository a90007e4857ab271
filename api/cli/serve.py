"""The verbs of the service: `serve`, `keys`, `store`, `feedback`."""

from __future__ import annotations

import os
from pathlib import Path

from api.cli.store import feedback, keys, store
from api.server.server import announce, bind, serve_on
from api.server.workers import Supervisor
from api.settings import PREFIX, Settings, load_settings
from api.telemetry import configure_logs
from models.home import triage_home
from triage.arguments import Parser
from triage.errors import InvalidRequest

__all__ = ["feedback", "keys", "serve", "store"]


def serve(arguments: list[str]) -> int:
    """Serve decisions over HTTP, with the agent page at / and the API's documentation at /docs."""
    settings = _settings(arguments)
    sock = bind(settings.host, settings.port)
    if settings.workers > 1:
        configure_logs(settings.log_level)
        announce(sock)
        return Supervisor(settings, sock, _as_environment(settings)).run()
    serve_on(sock, settings)
    return 0


def _settings(arguments: list[str]) -> Settings:
    parser = Parser(prog="triage serve", description=serve.__doc__)
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--bundle", type=Path, metavar="DIR", help="serve this bundle directory")
    which.add_argument(
        "--model",
        metavar="NAME@ALIAS",
        help="serve what this alias points to, and follow it (default: helpdesk-triage@champion)",
    )
    parser.add_argument("--host", help="address to listen on (default: 127.0.0.1)")
    parser.add_argument("--port", type=int, help="port to listen on (default: 8000; 0 takes a free one)")
    parser.add_argument("--workers", type=int, metavar="N", help="number of processes (default: 1)")
    parser.add_argument(
        "--open-loopback", action="store_true", default=None, help="answer without keys; only on a loopback address"
    )
    stated = parser.parse_args(arguments)
    if stated.bundle is not None and not stated.bundle.is_dir():
        raise InvalidRequest(
            f"no bundle in {str(stated.bundle)!r}: there is no such directory; name one that triage train wrote"
        )
    return load_settings(home=triage_home(), **vars(stated))


def _as_environment(settings: Settings) -> dict[str, str]:
    """Write the settings as variables that read back the same in a worker."""
    values = settings.model_dump(mode="json", exclude_none=True)
    return {f"{PREFIX}{name.upper()}": str(value) for name, value in values.items()} | {
        "PYTHONUNBUFFERED": os.environ.get("PYTHONUNBUFFERED", "1")
    }
