"""`GET /v1/policy`: the tiers, categories and groups that tickets are routed by."""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict

from api.http.openapi import problems
from api.scoring.service import Service
from api.security.auth import GuardedRoute, Principal, require
from triage.policy import Category, Tier

router = APIRouter(prefix="/v1", tags=["policy"], route_class=GuardedRoute)


class EntryOut(BaseModel):
    """A tier or category."""

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

    name: str
    tier: str | None
    categories: list[str]


class PolicyOut(BaseModel):
    """The policy in use."""

    model_config = ConfigDict(title="Policy")

    policy_version: str
    tiers: list[TierOut]
    categories: list[CategoryOut]
    resolver_groups: list[GroupOut]
    folding: dict[str, str]
    illegal_pairs: list[list[str]]
    suggest_only: list[str]
    rules: dict[str, int]


@router.get("/policy", response_model=PolicyOut, responses=problems(401, 403))
async def policy(request: Request, reader: Annotated[Principal, Depends(require("read"))]) -> dict[str, Any]:
    """Describe the policy that decisions follow now."""
    service: Service = request.app.state.service
    triager = service.desk.triager
    known = triager.policy
    return {
        "policy_version": known.version,
        "tiers": [_tier(tier) for tier in known.tiers if tier.label not in known.folding],
        "categories": [_category(category) for category in known.categories],
        "resolver_groups": [
            {"name": group.name, "tier": group.tier, "categories": list(group.categories)} for group in known.groups
        ],
        "folding": dict(known.folding),
        "illegal_pairs": sorted(list(pair) for pair in known.illegal),
        "suggest_only": sorted(known.suggest_only),
        "rules": dict(Counter(str(rule.kind) for rule in triager.rules.rules)),
    }


def _entry(entry: Tier | Category) -> dict[str, Any]:
    lists = {"questions": list(entry.questions), "hand_over": list(entry.hand_over)}
    return {
        "label": entry.label,
        "name": entry.name,
        "description": entry.description,
        "automate": entry.automate,
        **lists,
    }


def _tier(tier: Tier) -> dict[str, Any]:
    return {**_entry(tier), "time_budget_min": tier.time_budget_min, "hours": tier.hours}


def _category(category: Category) -> dict[str, Any]:
    return {**_entry(category), "parent": category.parent, "sensitive": category.sensitive}
