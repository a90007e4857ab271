"""`triage serve`: the service, in one process or in several."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from api.server.address import bind_after_the_last
from api.server.shared_folder import remove_left_behind
from api.server.workers import MARGIN_S, Supervisor, serve_here
from api.settings import Settings, load_settings
from api.telemetry import configure_logs
from models.home import PREFIX, triage_home
from models.terminal import option, verb
from triage.errors import InvalidRequest

_MODEL, _SERVER = "which model", "where and how"


@dataclass(frozen=True, kw_only=True)
class ServeOptions:
    """The options of `triage serve`; what is not stated comes from the environment."""

    bundle: Path | None = option("serve this bundle directory", None, "DIR", group=_MODEL)
    model: str | None = option(
        "serve what this alias points to, and follow it (default: helpdesk-triage@champion)",
        None,
        "NAME@ALIAS",
        group=_MODEL,
    )
    host: str | None = option("address to listen on (default: 127.0.0.1)", None, group=_SERVER)
    port: int | None = option("port to listen on (default: 8000; 0 takes a free one)", None, group=_SERVER)
    workers: int | None = option("number of processes (default: 1)", None, "N", group=_SERVER)
    open_loopback: bool = option("answer without keys; only on a loopback address", False, group=_SERVER)


@verb
def serve(options: ServeOptions) -> int:
    """Serve decisions over HTTP, with the agent page at / and the API's documentation at /docs.

    Settings come from environment variables that begin with TRIAGE_; an option wins over its variable.

    Examples:
        triage serve
        triage serve --bundle my-bundle --open-loopback
        triage serve --workers 4 --host 0.0.0.0
    """
    settings = _settings(options)
    sock = bind_after_the_last(settings.host, settings.port, settings.drain_s + settings.grace_s + MARGIN_S)
    remove_left_behind()
    if settings.workers > 1:
        configure_logs(settings.log_level)
        return Supervisor(settings, sock, _as_environment(settings)).run()
    serve_here(sock, settings)
    return 0


def _settings(options: ServeOptions) -> Settings:
    if options.bundle is not None and options.model is not None:
        raise InvalidRequest("--bundle and --model both say what to serve: give one of them")
    if options.bundle is not None and not options.bundle.is_dir():
        raise InvalidRequest(
            f"no bundle in {str(options.bundle)!r}: there is no such directory; name one that triage train wrote"
        )
    if options.model is not None:
        os.environ.pop(f"{PREFIX}BUNDLE", None)  # an option wins over a variable, here and in every worker
    stated = {**vars(options), "open_loopback": options.open_loopback or None}
    return load_settings(home=triage_home(), **stated)


def _as_environment(settings: Settings) -> dict[str, str]:
    """Write the settings as variables that read back the same in a worker."""
    read = {"store_url"} if settings.store_url_file else None  # each worker reads it from the file
    values = settings.model_dump(mode="json", exclude_none=True, exclude=read)
    return {f"{PREFIX}{name.upper()}": str(value) for name, value in values.items()} | {
        "PYTHONUNBUFFERED": os.environ.get("PYTHONUNBUFFERED", "1")
    }
