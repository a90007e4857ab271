"""Which column of a file plays which role: by its name, by `--map`, or not at all."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence

from triage.errors import InvalidRequest

ROLES = (
    "id",
    "text",
    "subject",
    "body",
    "channel",
    "opened_at",
    "language",
    "requester",
    "tier",
    "category",
    "resolver_group",
    "resolution",
    "sensitive",
    "group",
)
"""What a column may be, beside `attributes.NAME`."""

ATTRIBUTES = "attributes."
LABEL_SOURCE = "label_source"
"""A column of this name says who gave a row its labels; it is read, but is no role that can be mapped."""

_LABEL_ROLES = ("tier", "category", "resolver_group", "resolution")
_TEXT_ROLES = ("text", "subject", "body")


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


def check_roles(mapping: Mapping[str, str | None]) -> None:
    """Make sure that every role of a mapping exists.

    Raises:
        InvalidRequest: Naming the unknown roles.
    """
    unknown = sorted(role for role in mapping if not _is_role(role))
    if unknown:
        raise InvalidRequest(
            f"--map has unknown roles {', '.join(map(repr, unknown))}: known are {', '.join(ROLES)}, attributes.NAME"
        )


def _is_role(name: str) -> bool:
    return name in ROLES or (name.startswith(ATTRIBUTES) and len(name) > len(ATTRIBUTES))


def assign(columns: Sequence[str], mapping: Mapping[str, str | None], where: str) -> dict[str, str]:
    """Say which column of a file plays each role.

    A column named like a role takes it (case and outer spaces do not matter, an exact name comes first); `mapping`
    overrides that one role.

    Args:
        columns: Column names of the file.
        mapping: Roles with the column that plays them; None switches a role off.
        where: Name of the file, for errors.

    Raises:
        InvalidRequest: If a mapped column is missing, `text` stands beside `subject` or `body`, or a column would be
            both a label and a feature.

    Example:
        >>> assign(["Text", "queue", "category"], {"category": "queue"}, "a.csv")
        {'text': 'Text', 'category': 'queue'}
    """
    check_roles(mapping)
    missing = sorted({column for column in mapping.values() if column is not None and column not in columns})
    if missing:
        raise InvalidRequest(f"{where} has no column {', '.join(map(repr, missing))}: {_advice(missing[0], columns)}")
    roles = _by_name(columns)
    for role, column in mapping.items():
        roles.pop(role, None)
        if column is not None:
            roles[role] = column
    _check_text(roles, where)
    _check_leakage(roles, where)
    return roles


def _by_name(columns: Sequence[str]) -> dict[str, str]:
    roles: dict[str, str] = {}
    for column in sorted(columns, key=lambda name: not _is_role(name)):
        stem, dot, attribute = column.strip().partition(".")
        name = f"{stem.casefold()}{dot}{attribute}" if dot else stem.casefold()
        if _is_role(name):
            roles.setdefault(name, column)
    return roles


def _advice(missing: str, columns: Sequence[str]) -> str:
    close = difflib.get_close_matches(missing, columns, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    shown = ", ".join(map(repr, columns[:30])) + (" …" if len(columns) > 30 else "")
    return f"it has {shown}{hint}"


def _check_text(roles: Mapping[str, str], where: str) -> None:
    beside = [role for role in ("subject", "body") if role in roles]
    if "text" in roles and beside:
        off = " ".join(f"--map {role}=" for role in beside)
        raise InvalidRequest(
            f"{where} has text beside {' and '.join(beside)}: which one is the ticket?; pass --map text= or {off}"
        )
    if "text" not in roles and not beside:
        raise InvalidRequest(
            f"{where} has no text: none of its columns is text, subject or body; pass --map text=COLUMN"
        )


def _check_leakage(roles: Mapping[str, str], where: str) -> None:
    labels = {roles[role]: role for role in _LABEL_ROLES if role in roles}
    for role, column in roles.items():
        if column in labels and (role in _TEXT_ROLES or role.startswith(ATTRIBUTES)):
            other = labels[column]
            raise InvalidRequest(
                f"{where}: column {column!r} would be both {role} and {other}, so the model would read the answer; "
                f"pass --map {other}= or --map {role}="
            )


def ignored(columns: Sequence[str], roles: Mapping[str, str]) -> list[str]:
    """List the columns of a file that play no role."""
    used = {*roles.values(), LABEL_SOURCE}
    return [column for column in columns if column and column not in used]
