"""When a ticket changes its tier, as data: bars, budgets, skills, scopes, and who owns what went to and fro."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

_NONE: Mapping[str, float] = MappingProxyType({})


@dataclass(frozen=True)
class Skill:
    """Something that not every tier can do.

    Attributes:
        name: What it is called in answers, such as ``admin logs``.
        tier: The lowest tier that has it.
        any: re2 patterns over lower-case text without accents that say that it is needed.
        categories: Categories whose tickets always need it.
    """

    name: str
    tier: str
    any: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()


@dataclass(frozen=True)
class Scope:
    """How many are affected.

    Attributes:
        name: Such as ``several``.
        tier: The lowest tier that takes a matter of this scope; None for any.
        any: re2 patterns that say so.
    """

    name: str
    tier: str | None = None
    any: tuple[str, ...] = ()


@dataclass(frozen=True)
class EscalationPolicy:
    """The criteria by which a ticket moves between tiers.

    Attributes:
        change: Probability that the ticket belongs to another tier from which on it changes, in (0.5, 1]: a higher bar
            than for the first tier, which is the most probable one.
        change_risk: What the machine decided by itself, it changes by itself where the new tier's probability of being
            wrong is at most this share of what the gate allows, in (0, 1).
        time: Share of the tier's time budget after which the ticket is handed up; 0 never does.
        attempts: Attempts without success at one tier after which the ticket is handed up; 0 never does.
        no_procedure: re2 patterns that say that no written procedure covers the matter.
        priority: By priority class, the share of the time budget that it allows, such as ``critical = 0.25``.
        max_bounces: Times that a ticket may return to a group that had it before; then `owner` decides. 0 sets no
            limit.
        owner: Who decides about a ticket that went to and fro.
        bounce_cost: What one such return costs, in reassignments.
        reassign_min: Minutes of work that one reassignment costs: the hand-over is written, and read by the next.
        check_min: Minutes until the next check where the tier has no time budget, or has spent it.
        timezone: Where the hours of the tiers are read.
        holidays: Days without work, such as ``2026-12-25``.
        skills: What not every tier can do.
        scopes: From the narrowest to the widest.
    """

    change: float = 0.75
    change_risk: float = 0.5
    time: float = 1.0
    attempts: int = 2
    no_procedure: tuple[str, ...] = ()
    priority: Mapping[str, float] = field(default_factory=lambda: _NONE)
    max_bounces: int = 3
    owner: str = ""
    bounce_cost: float = 1.0
    reassign_min: float = 10.0
    check_min: float = 60.0
    timezone: str = "UTC"
    holidays: tuple[str, ...] = ()
    skills: tuple[Skill, ...] = ()
    scopes: tuple[Scope, ...] = ()
