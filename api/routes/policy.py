"""`GET /v1/policy`: the tiers, categories and groups that tickets are routed by."""

from __future__ import annotations

from collections import Counter

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from api.deps import Reader, ServiceDep
from api.http.openapi import problems
from api.security.auth import GuardedRoute

router = APIRouter(prefix="/v1", tags=["policy"], route_class=GuardedRoute)


class EntryOut(BaseModel):
    """A tier or category."""

    model_config = ConfigDict(from_attributes=True)

    label: str
    name: str
    description: str
    questions: list[str]
    hand_over: list[str]
    automate: bool


class TierOut(EntryOut):
    """A support tier."""

    time_budget_min: float | None
    hours: str


class CategoryOut(EntryOut):
    """A category."""

    parent: str | None
    sensitive: bool


class GroupOut(BaseModel):
    """A resolver group, its tier and the categories it takes; none listed means every one."""

    model_config = ConfigDict(from_attributes=True)

    name: str
    tier: str | None
    categories: list[str]


class AttentionRouteOut(BaseModel):
    """Where tickets of a kind go that must not wait, and the lowest tier that may have them."""

    model_config = ConfigDict(from_attributes=True)

    kind: str
    group: str | None
    tier: str | None


class PolicyOut(BaseModel):
    """The policy in use."""

    model_config = ConfigDict(title="Policy")

    policy_version: str
    tiers: list[TierOut]
    categories: list[CategoryOut]
    resolver_groups: list[GroupOut]
    targets: dict[str, list[str]] = Field(description="labels of the targets beside tier and category, by target")
    folding: dict[str, str]
    illegal_pairs: list[list[str]]
    suggest_only: list[str]
    attention: list[AttentionRouteOut]
    not_a_ticket: dict[str, str]
    rules: dict[str, int]


@router.get("/policy", responses=problems(401, 403, 422))
async def policy(service: ServiceDep, reader: Reader) -> PolicyOut:
    """Describe the policy that decisions follow now."""
    triager = service.model.triager
    known = triager.policy
    return PolicyOut(
        policy_version=known.version,
        tiers=[TierOut.model_validate(tier) for tier in known.tiers if tier.label not in known.folding],
        categories=[CategoryOut.model_validate(category) for category in known.categories],
        resolver_groups=[GroupOut.model_validate(group) for group in known.groups],
        targets={target: list(known.labels(target)) for target in known.further},
        folding=dict(known.folding),
        illegal_pairs=sorted(list(pair) for pair in known.illegal),
        suggest_only=sorted(known.suggest_only),
        attention=[AttentionRouteOut.model_validate(route) for route in known.attention],
        not_a_ticket=dict(known.not_a_ticket),
        rules=dict(Counter(str(rule.kind) for rule in triager.rules.rules)),
    )
