"""Server-rendered pages: templates, static files, and how values are written in them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined

from api.pages.filters import ago, at, percent, surely
from triage.wording import ATTENTION, AUTOMATION, CRITERIA, NO_TICKET, SOURCES, phrase_of_rule, sentence_of

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
    environment.filters.update(
        percent=percent, ago=ago, at=at, surely=surely, reason=sentence_of, rule_words=phrase_of_rule
    )
    return environment


def render(name: str, **values: object) -> str:
    """Render a template."""
    return templates().get_template(name).render(**values)


class StaticFile(NamedTuple):
    """A file of the pages; `etag` is that of its content, as the header states it."""

    content: bytes
    media_type: str
    etag: str


def static(name: str) -> StaticFile | None:
    """Return a static file, or None.

    Names come from outside, so only files that are listed are opened, and nothing is remembered of other names.
    """
    return _read(name) if name in _listed() else None


@cache
def _listed() -> Mapping[str, Traversable]:
    found = [*_folder(__name__).iterdir(), *(_folder("fastapi_offline").joinpath(name) for name in _SWAGGER_UI)]
    return {file.name: file for file in found}


@cache
def _read(name: str) -> StaticFile:
    content = _listed()[name].read_bytes()
    return StaticFile(content, STATIC_TYPES[name.rpartition(".")[2]], f'"{hashlib.sha256(content).hexdigest()}"')


def _folder(package: str) -> Traversable:
    return files(package).joinpath("static")
