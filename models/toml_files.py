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
            tables = {key: value for key, value in entry.items() if isinstance(value, Mapping)}
            parts.append(f"[[{name}]]\n" + tomli_w.dumps({key: entry[key] for key in entry if key not in tables}))
            parts += [f"[{name}.{key}]\n" + tomli_w.dumps(table) for key, table in tables.items()]
    return "\n".join(part for part in parts if part)
