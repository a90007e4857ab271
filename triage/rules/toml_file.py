"""Rules as a TOML file: read with errors that name file, line and rule; `models.toml_files` writes it."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import re2

from triage.errors import TOML_FAULTS, InvalidRules, why_unreadable
from triage.files.regular_file import read_stated_text
from triage.policy.kinds import misfits
from triage.rules.book import Rule, RuleBook, RuleKind, compile_pattern

_KEYS: Mapping[str, Any] = {
    "name": str,
    "kind": str,
    **dict.fromkeys(("any", "all", "none", "channels"), list[str]),
    "attributes": dict[str, str | list[str]],
    "within": str,
    "max_words": int,
    "tier": str,
    "category": str,
    "targets": dict[str, str],
    "precision": dict[str, float],
    "precision_at_least": dict[str, float],
}
"""What a rule may state, and of which kind it is."""


def read_rules(path: Path) -> RuleBook:
    """Read a rule file.

    Raises:
        InvalidRules: If it is absent, not TOML, or one of its rules is wrong.
    """
    try:
        text = read_stated_text(path)
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidRules(
            f"rules {str(path)!r} cannot be read: {why_unreadable(error)}; name a UTF-8 TOML file"
        ) from error
    return parse_rules(text, where=str(path))


def parse_rules(text: str, where: str = "rules") -> RuleBook:
    r"""Build a rule book from TOML text with a `[[rule]]` table each.

    Raises:
        InvalidRules: Naming file, line and rule.

    Example:
        >>> book = parse_rules('[[rule]]\nname = "rest"\nkind = "fallback"\ntier = "L1"')
        >>> book.catch_all.tier
        'L1'
    """
    try:
        tables = tomllib.loads(text).get("rule", [])
    except TOML_FAULTS as error:
        raise InvalidRules(f"{where} is not TOML: {why_unreadable(error)}; mend that line") from error
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise InvalidRules(f"{where} has rules that are no tables: begin each of them with [[rule]]")
    lines = [number for number, line in enumerate(text.split("\n"), 1) if line.strip().startswith("[[rule]]")]
    if len(lines) != len(tables):  # written as one list in brackets, which has no header for each rule
        lines = [1] * len(tables)
    rules = [_rule(table, f"{where}:{line}") for table, line in zip(tables, lines, strict=True)]
    names = [rule.name for rule in rules]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InvalidRules(f"{where} has rules of the same name: {', '.join(twice)}; rename them")
    if not rules or rules[-1].kind is not RuleKind.FALLBACK or not rules[-1].is_catch_all:
        raise InvalidRules(f"{where} does not end with a catch-all: add a last fallback rule without conditions")
    for rule in rules[:-1]:
        if rule.is_catch_all:
            raise InvalidRules(
                f"{where}: rule {rule.name!r} has no condition and is not the last; state one or move it to the end"
            )
    return RuleBook(tuple(rules))


def _rule(table: Mapping[str, Any], where: str) -> Rule:
    name = table.get("name")
    if not isinstance(name, str) or not name:
        raise InvalidRules(f'{where}: rule without a name; add name = "…"')
    unknown = set(table) - set(_KEYS)
    if unknown:
        raise InvalidRules(
            f"{where}: rule {name!r} has unknown keys {', '.join(sorted(unknown))}; "
            f"known are {', '.join(sorted(_KEYS))}"
        )
    wrong = list(misfits(f"rule {name!r}", table, _KEYS))
    if wrong:
        raise InvalidRules(f"{where}: {'; '.join(wrong)}; see the default rules for the form")
    if table.get("kind") not in tuple(RuleKind):
        raise InvalidRules(f'{where}: rule {name!r} has kind {table.get("kind")!r}; write "bypass" or "fallback"')
    if table.get("within", "text") not in ("text", "subject", "body"):
        raise InvalidRules(f"{where}: rule {name!r} looks within {table['within']!r}; write text, subject or body")
    values: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in table.items()}
    values["kind"] = RuleKind(values["kind"])
    values["attributes"] = {
        key: tuple(v if isinstance(v, list) else [v]) for key, v in table.get("attributes", {}).items()
    }
    for key in ("precision", "precision_at_least"):
        _check_shares(table.get(key, {}), where, name, key)
    for key in ("any", "all", "none"):
        _check_patterns(values.get(key, ()), where, name)
    return Rule(**values)


def _check_patterns(patterns: Iterable[str], where: str, name: str) -> None:
    for pattern in patterns:
        try:
            compile_pattern(pattern)
        except re2.error as error:
            reason = error.args[0].decode() if isinstance(error.args[0], bytes) else error
            raise InvalidRules(
                f"{where}: rule {name!r} has a pattern that does not compile: {pattern!r}, {reason}; see the re2 syntax"
            ) from error


def _check_shares(value: Mapping[str, float], where: str, name: str, key: str) -> None:
    if not all(0 <= share <= 1 for share in value.values()):
        raise InvalidRules(
            f"{where}: rule {name!r} has {key} = {value!r}; write {{ tier = 0.9 }} or {{ category = 0.9 }}, in [0, 1]"
        )


def rules_document(rules: RuleBook) -> dict[str, Any]:
    """Return rules as the tables of their file, without what is empty."""
    return {"rule": [_table(rule) for rule in rules.rules]}


def _table(rule: Rule) -> dict[str, Any]:
    values = {field.name: getattr(rule, field.name) for field in fields(rule)}
    values |= {"kind": str(rule.kind), "within": None if rule.within == "text" else rule.within}
    for name in ("attributes", "targets", "precision", "precision_at_least"):
        values[name] = dict(values[name])
    return {name: value for name, value in values.items() if value not in (None, (), {})}
