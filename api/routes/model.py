"""`/v1/model`: which model answers, and `/v1/model/reload`: look for another one now."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from api.deps import Admin, Reader, ServiceDep
from api.http.openapi import problems
from api.scoring.model_holder import ModelHolder
from api.security.auth import GuardedRoute

router = APIRouter(prefix="/v1", tags=["model"], route_class=GuardedRoute)


class GateOut(BaseModel):
    """When a target is decided without a person, and what that was certified for."""

    labels: list[str]
    threshold: float | None
    per_class: dict[str, float | None]
    certified_risk: float | None
    confidence: float | None
    promise: Literal["new_rows", "new_group", "none"] = Field(description="whom the certified risk holds for")
    guards: dict[str, float] = Field(
        description="labels that must not be missed: no other is decided where one is at least as probable as this"
    )
    max_ticket_risk: float = Field(description="no ticket is decided whose own probability of being wrong is above it")


class ModelOut(BaseModel):
    """The model in use."""

    model_config = ConfigDict(title="Model", protected_namespaces=())

    status: str
    source: str
    model_version: str | None
    policy_version: str
    loaded_at: str | None
    targets: dict[str, GateOut]
    languages: list[str]
    manifest: dict[str, Any]
    last_error: str | None


@router.get("/model", responses=problems(401, 403, 422))
async def model(service: ServiceDep, reader: Reader) -> ModelOut:
    """Describe the model that answers now: version, targets and their gates, and what its manifest says."""
    return _described(service.model)


@router.post("/model/reload", responses=problems(401, 403, 409, 503))
async def reload(service: ServiceDep, admin: Admin) -> ModelOut:
    """Load the bundle that the alias points to now, with policy and rules; what is refused never replaces those in use.

    Other processes that share the store do the same within some seconds. What takes more than a minute goes on after
    the answer 503 `loading-slow`; the others follow once it has ended well.
    """
    await service.reload()
    return _described(service.model)


def _described(model: ModelHolder) -> ModelOut:
    triager = model.triager
    manifest = getattr(triager.bundle, "manifest", None)
    stated = manifest if isinstance(manifest, Mapping) else {}
    return ModelOut(
        status="ready" if model.is_loaded else "rules-only",
        source=model.source.name,
        model_version=triager.model_version,
        policy_version=triager.policy.version,
        loaded_at=model.loaded_at,
        targets={
            target: GateOut(
                labels=list(triager.policy.labels(target)),
                threshold=gate.threshold,
                per_class=dict(gate.per_class),
                certified_risk=gate.certified_risk,
                confidence=gate.confidence,
                promise=gate.promise.value,
                guards=dict(gate.guards),
                max_ticket_risk=triager.gate.max_ticket_risk(target),
            )
            for target, gate in triager.gate.targets.items()
        },
        languages=sorted(triager.gate.languages),
        manifest={key: value for key, value in stated.items() if key != "files"},
        last_error=model.last_error,
    )
