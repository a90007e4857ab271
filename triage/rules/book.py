"""Written rules: bypass rules always win, fallback rules speak where they beat the model, the last one catches all."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cached_property
from types import MappingProxyType
from typing import Any

import re2

from triage.errors import InvalidRules
from triage.prediction import in_order
from triage.screening.cues import joined
from triage.ticket import Ticket

_MAX_PATTERN_MEM = 8 << 20


class RuleKind(StrEnum):
    """When a rule speaks: always, or only where the model abstains."""

    BYPASS = "bypass"
    FALLBACK = "fallback"


@dataclass(frozen=True)
class Rule:
    """One written rule: every stated condition must hold.

    Attributes:
        name: Unique name, shown in decisions.
        kind: Bypass or fallback.
        any: re2 patterns of which one must be found in the folded text; none stated means no condition.
        all: re2 patterns that must all be found.
        none: re2 patterns none of which may be found.
        channels: Channels it applies to; none stated means all.
        attributes: Ticket attributes and the values that each may have.
        within: ``text`` (subject and body), ``subject`` or ``body``.
        max_words: Longest text it applies to, in words; None for any.
        tier: The tier it names, if any.
        category: The category it names, if any.
        targets: Labels that it names of further targets, such as the resolver group.
        precision: Per target, the share of its matches that were right when it was measured, in [0, 1].
        precision_at_least: Per target, the lower confidence bound of how often it is right where it may speak, in
            [0, 1]; a target that is absent was not measured.
    """

    name: str
    kind: RuleKind
    any: tuple[str, ...] = ()
    all: tuple[str, ...] = ()
    none: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()
    attributes: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))
    within: str = "text"
    max_words: int | None = None
    tier: str | None = None
    category: str | None = None
    targets: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    precision: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    precision_at_least: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def unmeasured(self) -> Rule:
        """The same rule without what was measured of it."""
        return replace(self, precision={}, precision_at_least={})

    def floor(self, target: str) -> float:
        """Return what a model's probability must stay below for this rule to speak; 0 where nothing was measured."""
        return self.precision_at_least.get(target, 0.0)

    def names(self, target: str) -> str | None:
        """Return the label that this rule gives to a target, or None."""
        return self.named.get(target)

    @cached_property
    def named(self) -> Mapping[str, str]:
        """The labels that this rule names, by target."""
        stated = {"tier": self.tier, "category": self.category, **self.targets}
        return {target: label for target in in_order(stated) if (label := stated[target]) is not None}

    @property
    def is_catch_all(self) -> bool:
        """Whether nothing is asked of the ticket."""
        return not (self.any or self.all or self.none or self.channels or self.attributes or self.max_words is not None)

    @cached_property
    def _compiled(self) -> tuple[Any, tuple[Any, ...], Any]:
        return _one_of(self.any), tuple(compile_pattern(pattern) for pattern in self.all), _one_of(self.none)

    @cached_property
    def _may_be(self) -> tuple[frozenset[str], Mapping[str, frozenset[str]]]:
        """The channels and attributes that are asked for, in lower case."""
        attributes = {name.casefold(): frozenset(map(str.casefold, values)) for name, values in self.attributes.items()}
        return frozenset(map(str.casefold, self.channels)), attributes

    def read(self, ticket: Ticket) -> str:
        """Return the folded text of a ticket that this rule is matched against."""
        return ticket.folded_part(self.within)

    def matches(self, ticket: Ticket) -> bool:
        """Say whether every condition holds for the ticket."""
        if (self.channels or self.attributes) and not _has(ticket, *self._may_be):
            return False
        text = self.read(ticket)
        if self.max_words is not None and ticket.words_in(self.within) > self.max_words:
            return False
        one, every, none = self._compiled
        return (
            (one is None or bool(one.search(text)))
            and all(p.search(text) for p in every)
            and not (none and none.search(text))
        )


def _has(ticket: Ticket, channels: frozenset[str], attributes: Mapping[str, frozenset[str]]) -> bool:
    """Say whether a ticket has one of the channels, if any, and each of the attributes; all are given in lower case."""
    if channels and (ticket.channel is None or ticket.channel.casefold() not in channels):
        return False
    found = {name.casefold(): value.casefold() for name, value in ticket.attributes.items()}
    return all(found.get(name) in values for name, values in attributes.items())


def compile_pattern(pattern: str) -> Any:
    """Compile an re2 pattern as rules use it: without regard to case, in bounded memory.

    Raises:
        re2.error: If re2 does not take it.
    """
    options = re2.Options()
    options.case_sensitive = False
    options.max_mem = _MAX_PATTERN_MEM
    options.log_errors = False
    return re2.compile(pattern, options=options)


def _one_of(patterns: tuple[str, ...]) -> Any:
    return joined(patterns, compile_pattern) if patterns else None


@dataclass(frozen=True)
class RuleBook:
    """Rules in order; for each target the first match that names it wins.

    Attributes:
        rules: In order; the last is a fallback rule without conditions.
    """

    rules: tuple[Rule, ...]

    def bypass(self, ticket: Ticket, target: str) -> Rule | None:
        """Return the first matching bypass rule that names the target."""
        return self._first(ticket, target, RuleKind.BYPASS)

    def fallback(self, ticket: Ticket, target: str) -> Rule | None:
        """Return the first matching fallback rule that names the target, the catch-all left aside."""
        return self._first(ticket, target, RuleKind.FALLBACK)

    def _first(self, ticket: Ticket, target: str, kind: RuleKind) -> Rule | None:
        for rule in self.rules:
            if rule.kind is kind and rule.names(target) is not None and not rule.is_catch_all and rule.matches(ticket):
                return rule
        return None

    @property
    def catch_all(self) -> Rule:
        """The last rule, which speaks when nothing else does."""
        return self.rules[-1]

    def measured(
        self,
        precision: Mapping[str, Mapping[str, float]],
        precision_at_least: Mapping[str, Mapping[str, float]] | None = None,
    ) -> RuleBook:
        """Return the same rules with what was measured of them.

        Args:
            precision: By rule name and target.
            precision_at_least: By rule name and target; what is absent stays as the rules say already.
        """
        return RuleBook(
            tuple(
                replace(
                    rule,
                    precision=dict(precision.get(rule.name, {})),
                    precision_at_least={**rule.precision_at_least, **(precision_at_least or {}).get(rule.name, {})},
                )
                for rule in self.rules
            )
        )

    def with_measurements_of(self, other: RuleBook) -> RuleBook:
        """Return these rules with what was measured of those that another book has as well, word for word."""
        known = {rule.name: rule for rule in other.rules}
        return RuleBook(
            tuple(
                known[rule.name] if rule.name in known and rule.unmeasured == known[rule.name].unmeasured else rule
                for rule in self.rules
            )
        )

    def fitting(self, known: Mapping[str, Iterable[str]]) -> RuleBook:
        """Return the rules as far as they name labels that a policy has; the last one stays, whatever it names.

        Args:
            known: Labels by target, as `Policy.known_labels` has them.
        """
        fitting = [
            replace(
                rule,
                tier=rule.tier if rule.tier in set(known.get("tier", ())) else None,
                category=rule.category if rule.category in set(known.get("category", ())) else None,
                targets={target: label for target, label in rule.targets.items() if label in known.get(target, ())},
            )
            for rule in self.rules
        ]
        return RuleBook((*(rule for rule in fitting[:-1] if rule.named), fitting[-1]))

    def without(self, target: str) -> RuleBook:
        """Return the same rules with one target's labels taken away."""
        if target in ("tier", "category"):
            changed: dict[str, Any] = {target: None}
            return RuleBook(tuple(replace(rule, **changed) for rule in self.rules))
        kept = ({name: label for name, label in rule.targets.items() if name != target} for rule in self.rules)
        return RuleBook(tuple(replace(rule, targets=one) for rule, one in zip(self.rules, kept, strict=True)))


NO_RULES = RuleBook((Rule("catch-all", RuleKind.FALLBACK),))
"""One catch-all rule that names nothing."""


def check_labels(rules: RuleBook, known: Mapping[str, Iterable[str]], where: str = "rules") -> None:
    """Make sure that the rules name only labels of the policy.

    Raises:
        InvalidRules: Naming every rule with an unknown label.
    """
    wrong = [
        f"rule {rule.name!r} names {target} {label!r}"
        for rule in rules.rules
        for target, label in rule.named.items()
        if label not in set(known.get(target, ()))
    ]
    if wrong:
        raise InvalidRules(
            f"{where}: {'; '.join(wrong)}: the policy does not list them; add them there or mend the rule"
        )
