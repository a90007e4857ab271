"""The names that helpdesks give to their columns, in `presets.toml`; a new helpdesk is a new table there."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from training.data.presets.roles import ROLES

_NO_LETTER = re.compile(r"[^\w.#]+")


@dataclass(frozen=True)
class Preset:
    """How one helpdesk names its columns.

    Attributes:
        name: As `--from` takes it.
        title: As people call it.
        recognised_by: Sets of columns; an export that has all of one set looks like one of this helpdesk.
        roles: Columns that may play each role, the best first; ``*`` at the end stands for any custom field.
        off: Roles that no column plays, whatever it is called.
    """

    name: str
    title: str
    recognised_by: tuple[frozenset[str], ...]
    roles: Mapping[str, tuple[str, ...]]
    off: tuple[str, ...] = ()


def normal_name(name: str) -> str:
    """Return a column's name as names are compared: lower case, without punctuation but dots and ``#``.

    Example:
        >>> normal_name("Component/s"), normal_name("created-at"), normal_name("fields.summary")
        ('component s', 'created at', 'fields.summary')
    """
    return _NO_LETTER.sub(" ", name.casefold().replace("_", " ")).strip()


@cache
def presets() -> Mapping[str, Preset]:
    """Return all presets by name."""
    tables = tomllib.loads((files("training.data.presets") / "presets.toml").read_text("utf-8"))
    return {name: _preset(name, table) for name, table in tables.items()}


def _preset(name: str, table: Mapping[str, object]) -> Preset:
    sets, roles = table["recognised_by"], table["roles"]
    if not isinstance(sets, list) or not isinstance(roles, dict):
        raise TypeError(f"presets.toml: {name} has no lists")
    return Preset(
        name=name,
        title=str(table["title"]),
        recognised_by=tuple(frozenset(map(normal_name, columns)) for columns in sets),
        roles={role: tuple(map(_pattern, columns)) for role, columns in roles.items()},
        off=tuple(table.get("off", ())),  # type: ignore[arg-type]
    )


def _pattern(name: str) -> str:
    return normal_name(name) + ("*" if name.endswith("*") else "")


@cache
def known_columns() -> frozenset[str]:
    """Return every name, as `normal_name` writes it, that a column of tickets is known by."""
    names = {name for preset in presets().values() for columns in preset.roles.values() for name in columns}
    extra = {"status", "priority", "state", "assignee", "owner", "queue", "updated", "closed"}
    return frozenset({*map(normal_name, ROLES), *names, *extra})
