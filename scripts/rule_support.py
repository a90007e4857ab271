"""Which patterns of the default fallback rules generalise: tickets and organisations that each alternative is found in.

Run as `python -P scripts/rule_support.py`; it fails where a whole pattern is found in fewer than five tickets or in one
organisation alone. Such a pattern was learned by heart from the shipped tickets and tells nothing about a new desk.
Single alternatives that are as rare are listed for whoever edits the rules: words that define a tier, and plain
synonyms, may stay.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from triage.defaults import default_rules
from triage.rules import RuleBook, RuleKind
from triage.rules.book import compile_pattern
from triage.ticket import Ticket

DATA = Path(__file__).parents[1] / "datasets" / "tickets.jsonl"
MIN_TICKETS, MIN_ORGANISATIONS = 5, 2


@dataclass(frozen=True)
class Support:
    """How often something is found in the shipped tickets.

    Attributes:
        rule: Name of the rule.
        pattern: The whole pattern.
        alternative: The part of it that was looked for.
        tickets: Tickets that it is found in.
        organisations: Organisations that these tickets come from.
    """

    rule: str
    pattern: str
    alternative: str
    tickets: int
    organisations: int

    @property
    def enough(self) -> bool:
        """Whether it is found often enough to say something about a desk that was never seen."""
        return self.tickets >= MIN_TICKETS and self.organisations >= MIN_ORGANISATIONS


def split_alternatives(pattern: str) -> list[str]:
    r"""Split a pattern at its own bars, or write it out once for each alternative of its first group.

    Example:
        >>> split_alternatives(r"\b(menu|list (a|b)) here")
        ['\\b(menu) here', '\\b(list (a|b)) here']
    """
    bare = _at_bars(pattern)
    if len(bare) > 1:
        return bare
    for start, end in _groups(pattern):
        inside = _at_bars(pattern[start + 1 : end])
        if len(inside) > 1:
            return [f"{pattern[: start + 1]}{one}{pattern[end:]}" for one in inside]
    return [pattern]


def _at_bars(pattern: str) -> list[str]:
    parts, depth = [""], 0
    for token in _tokens(pattern):
        depth += (token == "(") - (token == ")")
        if token == "|" and not depth:
            parts.append("")
        else:
            parts[-1] += token
    return parts


def _tokens(pattern: str) -> Iterator[str]:
    """Yield the characters of a pattern; an escaped character and a class in brackets count as one."""
    place = 0
    while place < len(pattern):
        end = place + 1
        if pattern[place] == "\\":
            end = place + 2
        elif pattern[place] == "[":
            end = pattern.index("]", place + 2) + 1
        yield pattern[place:end]
        place = end


def _groups(pattern: str) -> Iterator[tuple[int, int]]:
    """Yield where each group begins and ends, the first to begin first."""
    place, open_at, found = 0, [], []
    for token in _tokens(pattern):
        if token == "(":
            open_at.append(place)
        elif token == ")":
            found.append((open_at.pop(), place))
        place += len(token)
    yield from sorted(found)


def supports(rules: RuleBook, tickets: Sequence[tuple[Ticket, str]], *, whole: bool = False) -> Iterator[Support]:
    """Count what each alternative of each fallback rule's patterns is found in.

    Args:
        rules: Bypass rules and the catch-all are passed over: they say what must be, not what was seen.
        tickets: Tickets with the organisation that each comes from.
        whole: Whether to count whole patterns instead of their alternatives.
    """
    for rule in rules.rules:
        if rule.kind is RuleKind.BYPASS or rule.is_catch_all:
            continue
        texts = [rule.read(ticket) for ticket, _ in tickets]
        for pattern in (*rule.any, *rule.all):
            for alternative in [pattern] if whole else split_alternatives(pattern):
                search = compile_pattern(alternative).search
                found = [group for text, (_, group) in zip(texts, tickets, strict=True) if search(text)]
                yield Support(rule.name, pattern, alternative, len(found), len(set(found)))


def shipped() -> list[tuple[Ticket, str]]:
    """Return the shipped tickets with their organisations."""
    rows = [json.loads(line) for line in DATA.read_text("utf-8").splitlines()]
    return [(Ticket(row["id"], row["subject"], row["body"]), row["organisation"]) for row in rows]


def main() -> int:
    """Print patterns that are found too rarely, else those of their alternatives that are; say whether all is well."""
    tickets, rules = shipped(), default_rules()
    rare = [one for one in supports(rules, tickets, whole=True) if not one.enough]
    for one in rare or [one for one in supports(rules, tickets) if not one.enough]:
        sys.stdout.write(f"{one.rule}: {one.tickets} tickets, {one.organisations} organisations: {one.alternative}\n")
    return 1 if rare else 0


if __name__ == "__main__":
    sys.exit(main())
