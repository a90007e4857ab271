"""The roles that columns play."""

from __future__ import annotations

import re
from collections.abc import Iterable

from triage.prediction import KEPT_BESIDE, ROUTE

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
"""What a column may be, beside `attributes.NAME` and the deeper levels of a label, such as ``category.2``."""

LABELS = ROUTE
"""The roles that hold labels, beside those of further targets."""

ATTRIBUTES = "attributes."
FURTHER = "targets."
"""What the role of a further target begins with: ``targets.priority`` is the label of the target ``priority``."""

_NAME = re.compile("[a-z][a-z0-9_]{0,39}")
TAKEN = tuple(dict.fromkeys((*ROLES, *KEPT_BESIDE)))
"""Names that no further target may have."""
LEVEL_OF = re.compile(r"(?P<target>tier|category|resolver_group|targets\.[a-z][a-z0-9_]{0,39})\.[2-9]")
"""Deeper levels of a label that a file has in columns of their own: ``category.2`` below ``category``."""


def is_role(name: str) -> bool:
    """Say whether a name is that of a role."""
    if name.startswith(FURTHER):
        target = name.removeprefix(FURTHER)
        return bool(LEVEL_OF.fullmatch(name)) or (bool(_NAME.fullmatch(target)) and target not in TAKEN)
    return name in ROLES or bool(LEVEL_OF.fullmatch(name)) or (name.startswith(ATTRIBUTES) and name != ATTRIBUTES)


def role_of_target(target: str) -> str:
    """Return the role that a column of labels of this target plays."""
    return target if target in LABELS else FURTHER + target


def roles_of_levels(target: str, roles: Iterable[str]) -> list[str]:
    """Return the roles that columns of labels of this target play, from the top level down.

    Example:
        >>> roles_of_levels("category", ["category.3", "tier", "category", "category.2"])
        ['category', 'category.2', 'category.3']
    """
    own = role_of_target(target)
    return [own, *sorted(role for role in roles if role.startswith(f"{own}."))]


def target_of_role(role: str) -> str | None:
    """Return the target whose labels a role holds; None for a role that holds none.

    Example:
        >>> target_of_role("category"), target_of_role("targets.priority"), target_of_role("channel")
        ('category', 'priority', None)
    """
    if LEVEL_OF.fullmatch(role):
        return None
    return role if role in LABELS else role.removeprefix(FURTHER) if role.startswith(FURTHER) else None


def is_label(role: str) -> bool:
    """Say whether a role holds labels, or a deeper level of some."""
    return target_of_role(role) is not None or bool(LEVEL_OF.fullmatch(role))
