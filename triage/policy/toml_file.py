"""A policy as a TOML file: read with errors that name the place; `models.toml_files` writes it."""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, get_origin

import re2

from triage.errors import TOML_FAULTS, InvalidPolicy, why_unreadable
from triage.files.regular_file import read_stated_text
from triage.languages.names import language_code
from triage.policy.effort import Effort
from triage.policy.escalation import EscalationPolicy, Scope, Skill
from triage.policy.faults import escalation_problems, later_problems
from triage.policy.kinds import misfits
from triage.policy.model import AttentionRoute, Category, GatePolicy, Label, Legal, Policy, ResolverGroup, Tier
from triage.policy.questions import Choice, Option, Question, Statement
from triage.prediction import ROUTE, name_problem
from triage.screening.cues import compile_cue
from triage.screening.intake import KINDS


@dataclass(frozen=True)
class _Pair:
    """A tier and a category."""

    tier: str
    category: str


@dataclass(frozen=True)
class _Settling:
    """What is asked where two tiers are in doubt."""

    between: tuple[str, ...]
    ask: tuple[str, ...]


_HEAD: Mapping[str, Any] = {
    **{"version": str | float, "name": str, "description": str},
    **{"ordinal": bool, "cost_under": float, "cost_over": float, "decide_by_cost": bool, "sensitive_clearance": int},
    **{"suggest_only": list[str], "ask_when_vague": list[str]},
}
_TABLES: Mapping[str, Any] = {
    "policy": _HEAD,
    "tiers": list[Tier],
    "categories": list[Category],
    "groups": list[ResolverGroup],
    "folding": dict[str, str],
    "illegal": list[dict[str, str]],
    "aliases": dict[str, dict[str, str]],
    "settling": list[_Settling],
    "attention": list[AttentionRoute],
    "not_a_ticket": dict[str, str],
    "never_automatic": list[_Pair],
    "translations": dict[str, dict[str, str]],
    "gate": GatePolicy,
    "escalation": EscalationPolicy,
    "question": list[Question],
    "effort": Effort,
    "targets": dict[str, list[Label]],
    "legal": list[dict[str, str | list[str]]],
    "choice": list[Choice],
}
"""What a policy file may hold, and of which kind each of its tables is."""
_TARGET = re2.compile("[a-z][a-z0-9_]{0,39}")

_MOST_NAMED = 5
"""Values of a wrong kind that are named at a time."""

_ACTIONS = ("close", "merge", "none")
"""What may be done by itself with a message that is no ticket."""

_SCALARS = (
    "ordinal",
    "cost_under",
    "cost_over",
    "decide_by_cost",
    "sensitive_clearance",
    "suggest_only",
    "ask_when_vague",
)


def read_policy(path: Path, *, of_bundle: bool = False) -> Policy:
    """Read a policy file.

    Args:
        path: Of the file.
        of_bundle: Whether it is that of a bundle: one that was made before may have names of targets that are refused
            by now, and faults that were not looked for.

    Raises:
        InvalidPolicy: If it is absent, not TOML, or contradicts itself.
    """
    try:
        text = read_stated_text(path)
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidPolicy(
            f"policy {str(path)!r} cannot be read: {why_unreadable(error)}; name a UTF-8 TOML file"
        ) from error
    policy = parse_policy(text, where=str(path))
    clashes, later = ([], []) if of_bundle else (list(_clashes(policy)), list(later_problems(policy)))
    if clashes:
        raise InvalidPolicy(f"{path}: {'; '.join(clashes)}; give these targets other names")
    if later:
        raise InvalidPolicy(_contradicts(str(path), later))
    return policy


def parse_policy(text: str, where: str = "policy") -> Policy:
    r"""Build a policy from TOML text.

    Raises:
        InvalidPolicy: Naming the table and key at fault.

    Example:
        >>> parse_policy('[[tiers]]\nlabel = "L1"').labels("tier")
        ('L1',)
    """
    try:
        data = tomllib.loads(text)
    except TOML_FAULTS as error:
        raise InvalidPolicy(f"{where} is not TOML: {why_unreadable(error)}; mend that line") from error
    unknown = set(data) - set(_TABLES)
    if unknown:
        raise InvalidPolicy(
            f"{where} has unknown tables {', '.join(sorted(unknown))}: known are {', '.join(sorted(_TABLES))}"
        )
    wrong = [fault for name, table in data.items() for fault in misfits(_place(name), table, _TABLES[name])]
    if wrong:
        raise InvalidPolicy(f"{where}: {'; '.join(wrong[:_MOST_NAMED])}; see the default policy for the form")
    try:
        policy = _build(data, text)
    except (TypeError, ValueError, AttributeError, KeyError) as error:
        raise InvalidPolicy(f"{where}: {error}; see the default policy for the form") from error
    _check(policy, where)
    return policy


def _place(table: str) -> str:
    return f"[[{table}]]" if get_origin(_TABLES[table]) is list else f"[{table}]"


def _build(data: Mapping[str, Any], text: str) -> Policy:
    head = dict(data.get("policy", {}))
    version = str(head.pop("version", "") or hashlib.sha256(text.encode()).hexdigest()[:12])
    unknown = set(head) - set(_HEAD)
    if unknown:
        raise ValueError(f"[policy] has unknown keys {', '.join(sorted(unknown))}")
    scalars = {key: head[key] for key in _SCALARS if key in head}
    illegal: list[Mapping[str, str]] = data.get("illegal", [])
    scalars["suggest_only"] = frozenset(scalars.get("suggest_only", ()))
    scalars["ask_when_vague"] = tuple(scalars.get("ask_when_vague", ()))
    return Policy(
        version=version,
        tiers=tuple(_entries(Tier, data.get("tiers", []), "tiers")),
        categories=tuple(_entries(Category, data.get("categories", []), "categories")),
        groups=tuple(_entries(ResolverGroup, data.get("groups", []), "groups")),
        folding=dict(data.get("folding", {})),
        illegal=frozenset((row["tier"], row["category"]) for row in illegal if row.keys() == {"tier", "category"}),
        apart=frozenset(_apart(row) for row in illegal if row.keys() != {"tier", "category"}),
        legal=tuple(_legal(row) for row in data.get("legal", [])),
        further={
            target: tuple(_entries(Label, rows, f"targets.{target}"))
            for target, rows in data.get("targets", {}).items()
        },
        aliases={target: dict(table) for target, table in data.get("aliases", {}).items()},
        settling={frozenset(row.between): row.ask for row in _entries(_Settling, data.get("settling", []), "settling")},
        attention=tuple(_entries(AttentionRoute, data.get("attention", []), "attention")),
        not_a_ticket=dict(data.get("not_a_ticket", {})),
        never_automatic=frozenset(
            (row.tier, row.category) for row in _entries(_Pair, data.get("never_automatic", []), "never_automatic")
        ),
        translations={
            language_code(language) or language: dict(table) for language, table in data.get("translations", {}).items()
        },
        gate=GatePolicy(**_numbers(GatePolicy, data.get("gate", {}), "gate")),
        effort=Effort(**_numbers(Effort, data.get("effort", {}), "effort")),
        escalation=_escalation(data.get("escalation", {})),
        catalogue=tuple(_question(row) for row in _entries(Question, data.get("question", []), "question")),
        choices=tuple(_choice(row) for row in _entries(Choice, data.get("choice", []), "choice")),
        **scalars,
    )


def _apart(row: Mapping[str, str]) -> frozenset[tuple[str, str]]:
    if len(row) != 2:
        raise ValueError(f"[[illegal]] {dict(row)} does not name one label of each of two targets")
    return frozenset(row.items())


def _legal(row: Mapping[str, Any]) -> Legal:
    bound = [(target, label) for target, label in row.items() if isinstance(label, str)]
    beside = {target: tuple(labels) for target, labels in row.items() if isinstance(labels, list)}
    if len(bound) != 1 or not beside or len(bound) + len(beside) != len(row):
        raise ValueError(
            f"[[legal]] {dict(row)} is not one label of a target and lists of labels of others, such as "
            'resolver_group = "network" and tier = ["L2", "L3"]'
        )
    return Legal(*bound[0], beside)


def _numbers(kind: type[GatePolicy | Effort], table: Mapping[str, Any], name: str) -> dict[str, float]:
    """Read a table that holds numbers alone."""
    known = [field.name for field in fields(kind)]
    unknown = set(table) - set(known)
    if unknown:
        raise ValueError(f"[{name}] has unknown keys {', '.join(sorted(unknown))}: known are {', '.join(known)}")
    return {key: float(value) for key, value in table.items()}


def _escalation(table: Mapping[str, Any]) -> EscalationPolicy:
    known = [field.name for field in fields(EscalationPolicy)]
    unknown = set(table) - set(known)
    if unknown:
        raise ValueError(f"[escalation] has unknown keys {', '.join(sorted(unknown))}: known are {', '.join(known)}")
    values: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in table.items()}
    values["skills"] = tuple(_entries(Skill, table.get("skills", []), "escalation.skills"))
    values["scopes"] = tuple(_entries(Scope, table.get("scopes", []), "escalation.scopes"))
    return EscalationPolicy(**values)


def _question(row: Question) -> Question:
    options: Any = row.options  # still tables
    return replace(row, options=tuple(_entries(Option, options, f"question {row.id!r}, options")))


def _choice(row: Choice) -> Choice:
    statements: Any = row.statements  # still tables
    return replace(row, statements=tuple(_entries(Statement, statements, f"choice of {row.target!r}, statements")))


def _entries(kind: Callable[..., Any], rows: Iterable[Mapping[str, Any]], table: str) -> Iterable[Any]:
    known = {field.name: field for field in fields(kind)}  # type: ignore[arg-type]
    for number, row in enumerate(rows, 1):
        unknown = set(row) - set(known)
        if unknown:
            raise ValueError(f"[[{table}]] number {number} has unknown keys {', '.join(sorted(unknown))}")
        needed = [key for key, one in known.items() if one.default is MISSING and one.default_factory is MISSING]
        missing = [key for key in needed if row.get(key, "") == "" and (kind, key) != (ResolverGroup, "tier")]
        if missing:
            raise ValueError(f"[[{table}]] number {number} lacks {', '.join(missing)}")
        values = {key: tuple(value) if isinstance(value, list) else value for key, value in row.items()}
        if kind is ResolverGroup:
            values.setdefault("tier", None)
        yield kind(**values)


def _check(policy: Policy, where: str) -> None:
    known = {target: [entry.label for entry in policy.entries(target)] for target in _known_targets(policy)}
    if not known["tier"] and not known["category"] and not policy.further:
        raise InvalidPolicy(
            f"{where} lists neither tiers nor categories: state at least one [[tiers]] or [[categories]]"
        )
    problems = [
        *_target_problems(policy),
        *_label_problems(policy, known),
        *_range_problems(policy),
        *_screening_problems(policy),
        *_access_problems(policy),
        *escalation_problems(policy),
    ]
    if problems:
        raise InvalidPolicy(_contradicts(where, problems))


def _contradicts(where: str, problems: Iterable[str]) -> str:
    return f"{where} contradicts itself: {'; '.join(problems)}; mend these entries"


def _known_targets(policy: Policy) -> tuple[str, ...]:
    """Return the targets that a policy may speak of: those of a route, and those that it lists."""
    return (*ROUTE, *(target for target in policy.further if target not in ROUTE))


def _target_problems(policy: Policy) -> Iterable[str]:
    for target in policy.further:
        if target in ("tier", "category") or not _TARGET.fullmatch(target):
            yield f"[targets] {target!r} is no name of a further target: write lower-case letters, digits and _"


def _clashes(policy: Policy) -> Iterable[str]:
    for target in policy.further:
        problem = name_problem(target, policy.further)
        if problem is not None:
            yield f"[targets] {target!r} cannot be a target: {problem}"


def _label_problems(policy: Policy, known: Mapping[str, list[str]]) -> Iterable[str]:
    for target, labels in known.items():
        twice = sorted({label for label in labels if labels.count(label) > 1})
        yield from (f"{target} {label!r} is listed twice" for label in twice)
        yield from (f"{target} label {label!r} is not text" for label in labels if not str(label).strip())
    for target, label, place in _mentioned(policy):
        if target not in known:
            yield f"{place} names {target!r}, which is not a target"
        elif label not in known[target] and (known[target] or target != "resolver_group"):
            yield f"{place} names {target} {label!r}, which is not listed"
    for target in sorted({*policy.aliases, *policy.suggest_only} - set(known)):
        yield f"{target!r} is not a target"
    for folded, into in policy.folding.items():
        if into in policy.folding:
            yield f"[folding] sends {folded!r} to {into!r}, which is folded itself"


def _mentioned(policy: Policy) -> Iterable[tuple[str, str, str]]:
    """Name every label that the file mentions outside its own entry: target, label, place."""
    yield from (("tier", label, "[folding]") for pair in policy.folding.items() for label in pair)
    yield from (("tier", tier, "[[illegal]]") for tier, _ in policy.illegal)
    yield from (("category", category, "[[illegal]]") for _, category in policy.illegal)
    yield from (("tier", tier, "[[never_automatic]]") for tier, _ in policy.never_automatic)
    yield from (("category", category, "[[never_automatic]]") for _, category in policy.never_automatic)
    yield from (("tier", route.tier, f"[[attention]] {route.kind!r}") for route in policy.attention if route.tier)
    yield from (("tier", group.tier, f"group {group.name!r}") for group in policy.groups if group.tier is not None)
    yield from (("category", label, f"group {group.name!r}") for group in policy.groups for label in group.categories)
    yield from (("category", entry.parent, f"category {entry.label!r}") for entry in policy.categories if entry.parent)
    yield from (("tier", label, "[[settling]]") for pair in policy.settling for label in pair)
    yield from ((target, label, "[[illegal]]") for pair in policy.apart for target, label in pair)
    yield from ((rule.target, rule.label, "[[legal]]") for rule in policy.legal)
    beside = ((target, labels) for rule in policy.legal for target, labels in rule.beside.items())
    yield from ((target, label, "[[legal]]") for target, labels in beside for label in labels)
    for target in _known_targets(policy):
        yield from ((target, label, f"[aliases.{target}]") for label in policy.aliases.get(target, {}).values())


def _screening_problems(policy: Policy) -> Iterable[str]:
    groups = {group.name: group for group in policy.groups}
    kinds = [route.kind for route in policy.attention]
    yield from (f"[[attention]] {kind!r} is listed twice" for kind in sorted({k for k in kinds if kinds.count(k) > 1}))
    for route in policy.attention:
        place = f"[[attention]] {route.kind!r}"
        if route.group is not None and route.group not in groups:
            yield f"{place} names group {route.group!r}, which is not listed"
        elif route.group is not None and policy.is_below(groups[route.group].tier, route.tier):
            tier = groups[route.group].tier
            yield f"{place} names group {route.group!r} of tier {tier!r}, below its own {route.tier!r}"
        for pattern in route.any:
            try:
                compile_cue(pattern)
            except re2.error:
                yield f"{place} has a pattern that does not compile: {pattern!r}; see the re2 syntax"
    for kind, action in policy.not_a_ticket.items():
        if kind not in KINDS or action not in _ACTIONS:
            yield f"[not_a_ticket] {kind} = {action!r}: kinds are {', '.join(KINDS)}, actions {', '.join(_ACTIONS)}"


def _access_problems(policy: Policy) -> Iterable[str]:
    if policy.tiers and policy.sensitive_categories and policy.cleared_tier(None) is None:
        yield (
            f"category {min(policy.sensitive_categories)!r} is sensitive, but no tier has the clearance "
            f"{policy.sensitive_clearance} that it takes to see it"
        )


def _range_problems(policy: Policy) -> Iterable[str]:
    for target in policy.targets:
        shares = [entry.expected_share for entry in policy.entries(target) if entry.expected_share is not None]
        if any(not 0 < share <= 1 for share in shares) or (shares and sum(shares) > 1.001):
            yield f"expected_share of {target} must lie in (0, 1] and add up to 1 at most"
        yield from _recall_problems(policy, target)
    if policy.cost_under < 0 or policy.cost_over < 0:
        yield "costs must not be negative"
    if policy.gate.max_ticket_risk_multiple < 1:
        yield f"[gate] max_ticket_risk_multiple = {policy.gate.max_ticket_risk_multiple:g} is below 1"
    floors = [getattr(policy.gate, name) for name in ("min_margin", "tolerated_ticket_risk", "max_stranger")]
    if not all(0 <= floor <= 1 for floor in floors) or not 0 <= policy.gate.stranger_share < 1:
        yield "[gate] min_margin, tolerated_ticket_risk, max_stranger and stranger_share must lie in [0, 1]"
    yield from _tier_problems(policy)


def _tier_problems(policy: Policy) -> Iterable[str]:
    for tier in policy.tiers:
        if tier.time_budget_min is not None and tier.time_budget_min <= 0:
            yield f"tier {tier.label!r} has a time budget of {tier.time_budget_min}"
        if tier.handling_min is not None and not 0 < tier.handling_min < 100_000:
            yield f"tier {tier.label!r} has a handling time of {tier.handling_min} minutes"
        if tier.staff is not None and not 0 < tier.staff < 10_000:
            yield f"tier {tier.label!r} has a staff of {tier.staff}"


def _recall_problems(policy: Policy, target: str) -> Iterable[str]:
    for entry in policy.entries(target):
        if entry.min_recall is not None and not 0 < entry.min_recall < 1:
            yield f"{target} {entry.label!r} has a min_recall of {entry.min_recall}, which must lie between 0 and 1"


def _option_table(option: Option) -> dict[str, Any]:
    return {"answer": option.answer, "any": list(option.any), "tier": dict(option.tier)}


def policy_document(policy: Policy) -> dict[str, Any]:
    """Return a policy as the tables of its file, without what is empty."""

    def entries(
        values: Iterable[Tier | Category | Label | ResolverGroup | AttentionRoute | Skill | Scope],
    ) -> list[dict[str, Any]]:
        return [{name: value for name, value in vars(entry).items() if value not in (None, (), "")} for entry in values]

    scalars = {key: getattr(policy, key) for key in _SCALARS}
    document = {
        "policy": {"version": policy.version, **scalars, "suggest_only": sorted(policy.suggest_only)},
        "gate": asdict(policy.gate),
        "effort": asdict(policy.effort),
        "escalation": {
            **{name: value for name, value in vars(policy.escalation).items() if value not in ((), "")},
            "priority": dict(policy.escalation.priority),
            "skills": entries(policy.escalation.skills),
            "scopes": entries(policy.escalation.scopes),
        },
        "folding": dict(policy.folding),
        "aliases": {target: dict(names) for target, names in policy.aliases.items()},
        "tiers": entries(policy.tiers),
        "categories": entries(policy.categories),
        "groups": entries(policy.groups),
        "targets": {target: entries(labels) for target, labels in policy.further.items()},
        "illegal": [
            *({"tier": tier, "category": category} for tier, category in sorted(policy.illegal)),
            *(dict(pair) for pair in sorted(map(sorted, policy.apart))),
        ],
        "legal": [{rule.target: rule.label, **{t: list(v) for t, v in rule.beside.items()}} for rule in policy.legal],
        "never_automatic": [{"tier": tier, "category": category} for tier, category in sorted(policy.never_automatic)],
        "attention": entries(policy.attention),
        "not_a_ticket": dict(policy.not_a_ticket),
        "translations": {language: dict(table) for language, table in policy.translations.items()},
        "question": [
            {
                "id": one.id,
                "ask": one.ask,
                "settles": dict(one.settles),
                **({"told": dict(one.told)} if one.told else {}),
                "options": [_option_table(option) for option in one.options],
            }
            for one in policy.catalogue
        ],
        "choice": [
            {**vars(one), "statements": [vars(statement) for statement in one.statements]} for one in policy.choices
        ],
        "settling": [{"between": sorted(pair), "ask": asked} for pair, asked in policy.settling.items()],
    }
    return {name: table for name, table in document.items() if table}
