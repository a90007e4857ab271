"""Which column of a file plays which role: by its name, by `--map`, or not at all."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence

from training.data.presets.roles import ATTRIBUTES, LABELS, ROLES, TAKEN, is_label, is_role, role_of_target
from triage.errors import InvalidRequest

__all__ = [
    "ATTRIBUTES",
    "DESK",
    "GROUP_SOURCE",
    "LABEL_SOURCE",
    "ROLES",
    "TEXT_ROLES",
    "assign",
    "check_roles",
    "ignored",
    "parse_mapping",
    "parse_targets",
]

LABEL_SOURCE = "label_source"
"""A column of this name says who gave a row its labels; it is read, but is no role that can be mapped."""

GROUP_SOURCE = "resolver_group_source"
"""A column of this name says whether a person named the resolver group, as `triage feedback export` writes it."""

DESK = "desk"
"""A column of this name says which helpdesk gave a ticket its id, as `triage feedback export` writes it."""

TEXT_ROLES = ("text", "subject", "body")
"""Roles of what a model reads; a column alone, or subject and body."""

_SHOWN, _LONGEST_NAME = 30, 60  # columns in an error, and characters of each: a line that can still be read


def parse_mapping(arguments: Iterable[str]) -> dict[str, str | None]:
    """Read `--map ROLE=COLUMN` arguments; an empty column switches the role off.

    Raises:
        InvalidRequest: If an argument has another form, an unknown role, or a role comes twice.

    Example:
        >>> parse_mapping(["text=Description", "opened_at="])
        {'text': 'Description', 'opened_at': None}
    """
    mapping: dict[str, str | None] = {}
    for argument in arguments:
        role, equals, column = argument.partition("=")
        role = role.strip()
        if not equals:
            raise InvalidRequest(
                f"--map {argument!r} has no '=': write --map ROLE=COLUMN, or --map ROLE= to switch a role off"
            )
        if role in mapping:
            raise InvalidRequest(f"--map names the role {role!r} twice: one column for a role; drop one of them")
        mapping[role] = column or None
    check_roles(mapping)
    return mapping


def parse_targets(arguments: Iterable[str], mapping: Mapping[str, str | None]) -> dict[str, str | None]:
    """Read `--target NAME=COLUMN` arguments beside a mapping, and return the mapping with them.

    Raises:
        InvalidRequest: If an argument has another form, a name that no target can have, or comes twice.

    Example:
        >>> parse_targets(["resolver_group=Team", "priority=Prio"], {"text": "Description"})
        {'text': 'Description', 'resolver_group': 'Team', 'targets.priority': 'Prio'}
    """
    found = dict(mapping)
    for argument in arguments:
        target, equals, column = (part.strip() for part in argument.partition("="))
        if not equals or not column:
            raise InvalidRequest(f"--target {argument!r} names no column: write --target NAME=COLUMN")
        role = role_of_target(target)
        if not is_role(role):
            raise InvalidRequest(
                f"--target {target!r} cannot be a target: write lower-case letters, digits and _, "
                f"and none of the names that stand for something else ({', '.join(TAKEN)})"
            )
        if role in found:
            raise InvalidRequest(f"the target {target!r} is given twice: one column for a target; drop one of them")
        found[role] = column
        if column in LABELS and column != role:
            found.setdefault(column, None)  # a column named like another label is what the argument says it is
    return found


def check_roles(mapping: Mapping[str, str | None]) -> None:
    """Make sure that every role of a mapping exists.

    Raises:
        InvalidRequest: Naming the unknown roles.
    """
    unknown = sorted(role for role in mapping if not is_role(role))
    if unknown:
        raise InvalidRequest(
            f"--map has unknown roles {', '.join(map(repr, unknown))}: known are {', '.join(ROLES)}, category.2 for "
            "a deeper level, "
            "targets.NAME, attributes.NAME"
        )


def assign(
    columns: Sequence[str],
    mapping: Mapping[str, str | None],
    where: str,
    *,
    preset: Mapping[str, str | None] | None = None,
    repeated: Mapping[str, Sequence[str]] | None = None,
) -> dict[str, str]:
    """Say which column of a file plays each role.

    A column named like a role takes it (case and outer spaces do not matter, an exact name comes first); a preset goes
    before names, and `mapping` overrides both in that one role. What is mapped to another role is no text besides.

    Args:
        columns: Column names of the file.
        mapping: Roles with the column that plays them; None switches a role off.
        where: Name of the file, for errors.
        preset: What the preset of a helpdesk says, None for a role that no column plays.
        repeated: Names that several columns share, with the numbered names under which each can be read.

    Raises:
        InvalidRequest: If a mapped column is missing or there several times, `text` stands beside `subject` or `body`,
            or a column would be both a label and a feature.

    Example:
        >>> assign(["Text", "queue", "category"], {"category": "queue"}, "a.csv")
        {'text': 'Text', 'category': 'queue'}
    """
    check_roles(mapping)
    several = repeated or {}
    named = _by_name([*columns, *several])
    roles = _with_preset(named, preset or {}, mapping)
    for role in _mapped_away(named, roles, mapping):
        del roles[role]
    for role, column in mapping.items():
        roles.pop(role, None)
        if column is not None:
            roles[role] = column
    _check_there(roles, columns, mapping, several=several, where=where, preset=preset or {})
    _check_text(roles, columns, where)
    _check_leakage(roles, where)
    return roles


def _with_preset(
    named: Mapping[str, str], preset: Mapping[str, str | None], mapping: Mapping[str, str | None]
) -> dict[str, str]:
    """Let a preset go before names; a text that the user maps goes before the preset's subject and body."""
    roles = dict(named)
    for role, column in preset.items():
        roles.pop(role, None)
        if column is not None:
            roles[role] = column
    if preset and any(role in preset for role in ("subject", "body")):
        roles.pop("text", None)
    if mapping.get("text") is not None:
        for role in ("subject", "body"):
            if preset.get(role) is not None:
                roles.pop(role, None)
    return roles


def _mapped_away(named: Mapping[str, str], roles: Mapping[str, str], mapping: Mapping[str, str | None]) -> list[str]:
    """List the texts that a column is by its name alone while it is mapped to another role, as in ``body=text``."""
    mapped = {column for column in mapping.values() if column is not None}
    return [role for role in TEXT_ROLES if role in roles and role not in mapping and named.get(role) in mapped]


def _is_answer(role: str) -> bool:
    return role == "resolution" or is_label(role)


def _is_read(role: str) -> bool:
    return role in TEXT_ROLES or role.startswith(ATTRIBUTES)


def _check_there(
    roles: Mapping[str, str],
    columns: Sequence[str],
    mapping: Mapping[str, str | None],
    *,
    several: Mapping[str, Sequence[str]],
    where: str,
    preset: Mapping[str, str | None],
) -> None:
    for role, column in roles.items():
        if column in several and preset.get(role) != column:
            raise InvalidRequest(
                f"{where} has {len(several[column])} columns of the same name {column!r}: say which one is the {role}, "
                f"{' or '.join(f'--map {role}={name!r}' for name in several[column])}, or none by --map {role}="
            )
    wanted = {column for column in mapping.values() if column is not None}
    missing = sorted(column for column in wanted if column not in columns and column not in several)
    if missing:
        raise InvalidRequest(f"{where} has no column {', '.join(map(repr, missing))}: {_advice(missing[0], columns)}")


def _by_name(columns: Sequence[str]) -> dict[str, str]:
    roles: dict[str, str] = {}
    for column in sorted(columns, key=lambda name: not is_role(name)):
        stem, dot, attribute = column.strip().partition(".")
        name = f"{stem.casefold()}{dot}{attribute}" if dot else stem.casefold()
        if is_role(name):
            roles.setdefault(name, column)
    return roles


def _advice(missing: str, columns: Sequence[str]) -> str:
    close = difflib.get_close_matches(missing, columns, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    return f"it has {_shown(columns)}{hint}"


def _shown(columns: Sequence[str]) -> str:
    named = [column for column in columns if column and len(column) <= _LONGEST_NAME]  # a text is no name
    return ", ".join(map(repr, named[:_SHOWN])) + (" …" if len(named) > _SHOWN else "")


def _check_text(roles: Mapping[str, str], columns: Sequence[str], where: str) -> None:
    beside = [role for role in ("subject", "body") if role in roles]
    if "text" in roles and beside:
        off = " ".join(f"--map {role}=" for role in beside)
        raise InvalidRequest(
            f"{where} has text beside {' and '.join(beside)}: which one is the ticket?; pass --map text= or {off}"
        )
    if "text" not in roles and not beside:
        raise InvalidRequest(
            f"{where} has no text: none of its columns is text, subject or body; it has {_shown(columns)}; "
            "pass --map text=COLUMN, or --from with the name of the helpdesk"
        )


def _check_leakage(roles: Mapping[str, str], where: str) -> None:
    labels = {roles[role]: role for role in roles if _is_answer(role)}
    for role, column in roles.items():
        if column in labels and _is_read(role):
            other = labels[column]
            raise InvalidRequest(
                f"{where}: column {column!r} would be both {role} and {other}, so the model would read the answer; "
                f"pass --map {other}= or --map {role}="
            )


def ignored(columns: Sequence[str], roles: Mapping[str, str]) -> list[str]:
    """List the columns of a file that play no role."""
    used = {*roles.values(), LABEL_SOURCE, GROUP_SOURCE, DESK}
    return [column for column in columns if column and column not in used]
