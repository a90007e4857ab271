"""What cannot work in a policy's escalation: unknown tiers, criteria that never fire, and hours that are none."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import re2

from triage.policy.escalation import EscalationPolicy
from triage.policy.hours import hours_problem
from triage.policy.model import Policy
from triage.policy.questions import BIAS, WORDS, Question
from triage.screening.cues import compile_cue

_UPWARDS = ("attempts", "time", "no_procedure", "priority")
"""Criteria that hand a ticket to the next tier up."""
_NO_ORDER = "[policy] ordinal = false gives the tiers no order"


def escalation_problems(policy: Policy) -> Iterable[str]:
    """Name each fault in the escalation and the reckoning of a policy, with its place."""
    if not all(0 <= minutes < 24 * 60 for minutes in vars(policy.effort).values()):
        yield "[effort] minutes must lie between 0 and a day"
    yield from _bars(policy)
    yield from _clock(policy)
    yield from _names(policy)
    yield from _patterns(policy)
    yield from _questions(policy)
    yield from _choices(policy)
    yield from _structure(policy)


def later_problems(policy: Policy) -> Iterable[str]:
    """Name faults that earlier versions took without a word: a bundle that was made with them is still read."""
    yield from _idle(policy)
    skills, scopes = policy.escalation.skills, policy.escalation.scopes
    for table, stated in (("skills", [one.name for one in skills]), ("scopes", [one.name for one in scopes])):
        twice = sorted({name for name in stated if stated.count(name) > 1})
        yield from (f"[[escalation.{table}]] {name!r} is listed twice: give each a name of its own" for name in twice)
    for question in policy.catalogue:
        for tier, share in question.settles.items():
            if not 0 <= share <= 1:
                yield f"[[question]] {question.id!r} settles {tier} = {share:g}, which is no probability in [0, 1]"


def _idle(policy: Policy) -> Iterable[str]:
    """Name criteria that somebody stated and that can never fire; nobody stated what is as it is by default."""
    rules, usual = policy.escalation, EscalationPolicy()
    stated = [name for name in _UPWARDS if getattr(rules, name) and getattr(rules, name) != getattr(usual, name)]
    if stated and not policy.ordinal:
        yield f"[escalation] {', '.join(stated)} can never fire: {_NO_ORDER}"
    elif "time" in stated and not any(tier.time_budget_min for tier in policy.tiers):
        yield f"[escalation] time = {rules.time:g} can never fire: no tier has a time budget"


def ungrouped(policy: Policy) -> Iterable[str]:
    """Name groups and a last tier of which nobody could say where a ticket is that moved there."""
    order = policy.labels("tier")
    if not (policy.ordinal and policy.groups and order):
        return
    for group in policy.groups:
        if group.tier is None:
            yield f"group {group.name!r} has no tier: a ticket that moves could never be told to be there"
    if order[-1] not in {policy.fold("tier", group.tier) for group in policy.groups if group.tier}:
        yield f"the last tier {order[-1]!r} has no group: a ticket that moves there reaches nobody"


def uncleared(policy: Policy) -> Iterable[str]:
    """Name entries of what must not wait whose group may not see a sensitive ticket: it does not get that one."""
    for route in policy.attention:
        if route.group is not None and not policy.group_may_see(route.group):
            tier = policy.tier_of_group(route.group)
            whose = f"of tier {tier!r}" if tier is not None else "of no tier"
            yield (
                f"[[attention]] {route.kind!r} names group {route.group!r} {whose}, which may not see sensitive "
                "tickets: those go to the group of their tier and category"
            )


def words_for_ids(policy: Policy) -> Iterable[str]:
    """Name questions to ask that are one word and no id of the catalogue: they would be asked as they stand."""
    ids = {question.id for question in policy.catalogue}
    lists = [(f"tier {tier.label!r}", tier.questions) for tier in policy.tiers]
    lists += [(f"category {one.label!r}", one.questions) for one in policy.categories]
    lists += [(f"[[settling]] between {' and '.join(sorted(pair))}", asked) for pair, asked in policy.settling.items()]
    for place, asked in lists:
        for one in asked:
            if len(one.split()) == 1 and not one.endswith("?") and one not in ids:
                yield f"{place} asks {one!r}, which is the id of no [[question]] and would be asked as it stands"


def _questions(policy: Policy) -> Iterable[str]:
    tiers, ids = {tier.label for tier in policy.tiers}, [question.id for question in policy.catalogue]
    yield from (f"[[question]] {one!r} is listed twice" for one in sorted({one for one in ids if ids.count(one) > 1}))
    for question in policy.catalogue:
        place = f"[[question]] {question.id!r}"
        weights = [option.tier for option in question.options if option.tier]
        for unknown in sorted({label for option in (*weights, question.settles) for label in option} - tiers):
            yield f"{place} names tier {unknown!r}, which is not listed"
        totals = [sum(option.get(tier, 0.0) for option in weights) for tier in sorted(tiers)]
        if any(not 0 <= share <= 1 for option in weights for share in option.values()) or any(
            t > 1.001 for t in totals
        ):
            yield f"{place} has probabilities of answers that do not lie in [0, 1] or add up to more than 1 for a tier"
        for unknown in sorted(set(question.told) - {BIAS, WORDS, *ids}):
            yield f"{place} has a weight for {unknown!r}: weights are {BIAS}, {WORDS}, and ids of questions"
        if all(max(shares) - min(shares) < 0.005 for shares in _by_answer(question, tiers)):
            yield f"{place} changes nothing: each answer is as likely in every tier"


def _choices(policy: Policy) -> Iterable[str]:
    targets = [choice.target for choice in policy.choices]
    yield from (
        f"[[choice]] of {one!r} is listed twice" for one in sorted({t for t in targets if targets.count(t) > 1})
    )
    for choice in policy.choices:
        place, known = f"[[choice]] of {choice.target!r}", {one.label for one in policy.entries(choice.target)}
        if not known:
            yield f"{place} is about a target that has no labels"
        if not 0.5 < choice.right < 1:
            yield f"{place} has right = {choice.right!r}, which must lie between 0.5 and 1"
        labels, said = ([getattr(one, name) for one in choice.statements] for name in ("label", "says"))
        yield from (f"{place} names {label!r}, which is not listed" for label in sorted(set(labels) - known))
        if known and (len(set(labels)) < len(labels) or len({words.casefold() for words in said}) < len(said)):
            yield f"{place} has two statements of one label, or two labels that say the same"


def _by_answer(question: Question, tiers: set[str]) -> list[list[float]]:
    return [[option.tier.get(tier, 0.0) for tier in tiers] for option in question.options if tiers]


def _structure(policy: Policy) -> Iterable[str]:
    """Name what leaves tickets nowhere to go: loops of folding, no last tier, groups outside of the tiers."""
    yield from _loops(policy)
    order = policy.labels("tier")
    if policy.tiers and not order:
        yield "[folding] leaves no tier: the last one has nobody to take its tickets"
    if order and policy.external_tiers.issuperset(order):
        yield "there is no last tier inside the organisation: every tier is external"
    if policy.escalation.skills:
        yield from ungrouped(policy)


def _loops(policy: Policy) -> Iterable[str]:
    for start in policy.folding:
        chain = [start]
        while policy.folding.get(chain[-1], start) not in chain:
            chain.append(policy.folding[chain[-1]])
        if policy.folding.get(chain[-1]) == start:
            yield f"[folding] is a loop: {' to '.join((*chain, start))}"


def _bars(policy: Policy) -> Iterable[str]:
    rules = policy.escalation
    if not 0.5 < rules.change <= 1:
        yield f"[escalation] change = {rules.change:g} must lie in (0.5, 1]: below, its own tier is as likely"
    if not 0 < rules.change_risk < 1:
        yield f"[escalation] change_risk = {rules.change_risk:g} must lie in (0, 1): a change needs a higher bar"
    for name in ("time", "attempts", "max_bounces", "bounce_cost", "reassign_min", "check_min"):
        if getattr(rules, name) < 0:
            yield f"[escalation] {name} = {getattr(rules, name):g} is negative"
    if rules.owner == "" and rules != EscalationPolicy() and rules.max_bounces:
        yield "[escalation] sets max_bounces, but names no owner who decides then"
    yield from _priorities(policy)


def _priorities(policy: Policy) -> Iterable[str]:
    rules, budgets = policy.escalation, any(tier.time_budget_min for tier in policy.tiers)
    for name, share in rules.priority.items():
        place = f"[escalation.priority] {name}"
        if share <= 0:
            yield f"{place} = {share!r} is not a share of the time budget above 0"
        elif rules.time and share > rules.time:
            yield f"{place} = {share:g} can never fire: [escalation] time = {rules.time:g} comes first"
        elif not budgets:
            yield f"{place} can never fire: no tier has a time budget"


def _clock(policy: Policy) -> Iterable[str]:
    try:
        ZoneInfo(policy.escalation.timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        yield f"[escalation] timezone {policy.escalation.timezone!r} is unknown: use a name such as Europe/Vienna"
    for day in policy.escalation.holidays:
        try:
            date.fromisoformat(day)
        except ValueError:
            yield f"[escalation] holiday {day!r} is not a date such as 2026-12-25"
    for tier in policy.tiers:
        problem = hours_problem(tier.hours)
        if problem is not None:
            yield (
                f"[[tiers]] {tier.label!r} has hours that are none, {problem!r}: write them such as "
                "mon-fri 08:00-12:00, 13:00-17:00, or always"
            )


def _names(policy: Policy) -> Iterable[str]:
    yield from _skills(policy)
    yield from _scopes(policy)
    if (policy.escalation.skills or policy.escalation.scopes) and not policy.ordinal:
        yield f"[escalation] skills and scopes can never fire: {_NO_ORDER}"


def _skills(policy: Policy) -> Iterable[str]:
    tiers, categories = {tier.label for tier in policy.tiers}, {entry.label for entry in policy.categories}
    order = policy.labels("tier")
    for skill in policy.escalation.skills:
        place = f"[[escalation.skills]] {skill.name!r}"
        if skill.tier not in tiers:
            yield f"{place} names tier {skill.tier!r}, which is not listed"
        elif order and policy.fold("tier", skill.tier) == order[0]:
            yield f"{place} can never fire: no tier is below {skill.tier!r}"
        for unknown in sorted({*skill.categories} - categories):
            yield f"{place} names category {unknown!r}, which is not listed"


def _scopes(policy: Policy) -> Iterable[str]:
    order, floor = policy.labels("tier"), -1
    for scope in policy.escalation.scopes:
        place, tier = f"[[escalation.scopes]] {scope.name!r}", scope.tier and policy.fold("tier", scope.tier)
        if not scope.any:
            yield f"{place} can never fire: it has no patterns"
        if tier is not None and tier not in order:
            yield f"{place} names tier {scope.tier!r}, which is not listed"
        elif tier is not None and order.index(tier) < floor:
            yield f"{place} contradicts a narrower scope, which asks for a higher tier: list them from narrow to wide"
        elif tier is not None:
            floor = order.index(tier)


def _patterns(policy: Policy) -> Iterable[str]:
    rules = policy.escalation
    groups = (
        ("no_procedure", rules.no_procedure),
        *((f"skill {one.name!r}", one.any) for one in rules.skills),
        *((f"scope {one.name!r}", one.any) for one in rules.scopes),
        *((f"question {one.id!r}", option.any) for one in policy.catalogue for option in one.options),
    )
    for place, patterns in groups:
        for pattern in patterns:
            try:
                compile_cue(pattern)
            except re2.error:
                yield f"[escalation] {place} has a pattern that does not compile: {pattern!r}; see the re2 syntax"
