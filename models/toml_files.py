"""Policies and rules written as TOML; `triage` only reads it, as it knows the standard library alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import tomli_w

from triage.policy import Policy, policy_document
from triage.rules import RuleBook, rules_document


def dump_policy(policy: Policy) -> str:
    """Write a policy as TOML that `triage.policy.parse_policy` reads back as an equal value."""
    return _toml(policy_document(policy))


def dump_rules(rules: RuleBook) -> str:
    """Write rules as TOML that `triage.rules.parse_rules` reads back as an equal value."""
    return _toml(rules_document(rules))


def _toml(document: Mapping[str, object]) -> str:
    """Write tables, then lists of tables with a header for each entry, to be edited by people and extended at the end.

    By itself tomli-w writes a list of short tables within brackets.
    """
    lists = {name: value for name, value in document.items() if isinstance(value, Sequence)}
    parts = [tomli_w.dumps({name: value for name, value in document.items() if name not in lists})]
    for name, entries in lists.items():
        for entry in entries:
            parts += _entry(name, entry)
    return "\n".join(part for part in parts if part)


def _entry(place: str, entry: Mapping[str, object]) -> list[str]:
    """Write one entry of a list of tables: what is plain first, then its tables, then its own lists of tables."""
    tables = {key: value for key, value in entry.items() if isinstance(value, Mapping)}
    lists = {key: value for key, value in entry.items() if _is_list_of_tables(value)}
    plain = {key: value for key, value in entry.items() if key not in tables and key not in lists}
    parts = [f"[[{place}]]\n" + tomli_w.dumps(plain)]
    parts += [f"[{place}.{key}]\n" + tomli_w.dumps(table) for key, table in tables.items()]
    for key, rows in lists.items():
        for row in rows:  # type: ignore[attr-defined]
            parts += _entry(f"{place}.{key}", row)
    return parts


def _is_list_of_tables(value: object) -> bool:
    return isinstance(value, Sequence) and bool(value) and all(isinstance(one, Mapping) for one in value)
