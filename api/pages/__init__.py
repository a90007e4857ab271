"""Server-rendered pages: templates, static files, and the words that agents read."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined

from api.pages.filters import ago, at, percent, surely
from triage.wording import ATTENTION, AUTOMATION, CRITERIA, NO_TICKET, SOURCES, sentence_of

_SWAGGER_UI = ("swagger-ui.css", "swagger-ui-bundle.js")
STATIC_TYPES = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml", "txt": "text/plain"}


@cache
def templates() -> Environment:
    """Return the environment of the templates; everything put into a page is escaped."""
    environment = Environment(
        loader=PackageLoader("api.pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    words = {"automations": AUTOMATION, "attentions": ATTENTION, "no_tickets": NO_TICKET, "criteria": CRITERIA}
    environment.globals.update(sources=SOURCES, **words)
    environment.filters.update(percent=percent, ago=ago, at=at, surely=surely, reason=sentence_of)
    return environment


def render(name: str, **values: object) -> str:
    """Render a template."""
    return templates().get_template(name).render(**values)


@cache
def static(name: str) -> tuple[bytes, str] | None:
    """Return a static file and its media type, or None; names come from outside, so only listed ones are opened."""
    folder = files("fastapi_offline" if name in _SWAGGER_UI else __name__).joinpath("static")
    if name not in {entry.name for entry in folder.iterdir()}:
        return None
    return folder.joinpath(name).read_bytes(), STATIC_TYPES[name.rpartition(".")[2]]
