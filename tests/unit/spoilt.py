"""A TOML text with one value after another put in the place of another one: of each kind, and empty ones."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from typing import Any

import tomli_w

OF_EVERY_KIND: tuple[Any, ...] = ({"x": {"y": "z"}}, ["x"], 7, True, [], "")


def spoilt(text: str) -> Iterator[str]:
    """Yield the text as often as it has places, times kinds: each table, list and value is one place."""
    document = tomllib.loads(text)
    for *path, last in list(_paths(document)):
        inside: Any = document
        for step in path:
            inside = inside[step]
        kept = inside[last]
        for value in OF_EVERY_KIND:
            inside[last] = value
            yield tomli_w.dumps(document)
        inside[last] = kept


def _paths(value: Any) -> Iterator[tuple[Any, ...]]:
    keys = value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        yield (key,)
        yield from ((key, *more) for more in _paths(value[key]))
