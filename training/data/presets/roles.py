"""The roles that columns play."""

from __future__ import annotations

import re

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

ATTRIBUTES = "attributes."
LEVEL_OF = re.compile(r"(?P<target>tier|category|resolver_group)\.[2-9]")
"""Deeper levels of a label that a file has in columns of their own: ``category.2`` below ``category``."""


def is_role(name: str) -> bool:
    """Say whether a name is that of a role."""
    return name in ROLES or bool(LEVEL_OF.fullmatch(name)) or (name.startswith(ATTRIBUTES) and name != ATTRIBUTES)
