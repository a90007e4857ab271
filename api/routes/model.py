"""`/v1/model`: which model answers, and `/v1/model/reload`: look for another one now."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict

from api.http.openapi import problems
from api.scoring.service import Service
from api.security.auth import GuardedRoute, Principal, require

router = APIRouter(prefix="/v1", tags=["model"], route_class=GuardedRoute)


class ModelOut(BaseModel):
    """The model in use."""

    model_config = ConfigDict(title="Model", protected_namespaces=())

    status: str
    source: str
    model_version: str | None
    policy_version: str
    loaded_at: str | None
    targets: dict[str, dict[str, Any]]
    languages: list[str]
    manifest: dict[str, Any]
    last_error: str | None


@router.get("/model", response_model=ModelOut, responses=problems(401, 403))
async def model(request: Request, reader: Annotated[Principal, Depends(require("read"))]) -> dict[str, Any]:
    """Describe the model that answers now: version, targets and their gates, and what its manifest says."""
    return _described(request.app.state.service)


@router.post("/model/reload", response_model=ModelOut, responses=problems(401, 403, 409))
async def reload(request: Request, admin: Annotated[Principal, Depends(require("admin"))]) -> dict[str, Any]:
    """Load the bundle that the alias points to now; a bundle that is refused never replaces the one in use."""
    service: Service = request.app.state.service
    await service.desk.reload()
    return _described(service)


def _described(service: Service) -> dict[str, Any]:
    desk = service.desk
    triager = desk.triager
    manifest = getattr(triager.bundle, "manifest", None)
    return {
        "status": "ready" if desk.has_model else "rules-only",
        "source": desk.source.name,
        "model_version": triager.model_version,
        "policy_version": triager.policy.version,
        "loaded_at": desk.loaded_at,
        "targets": {
            target: {
                "labels": list(triager.policy.labels(target)),
                "threshold": gate.threshold,
                "per_class": dict(gate.per_class),
                "certified_risk": gate.certified_risk,
                "confidence": gate.confidence,
            }
            for target, gate in triager.gate.targets.items()
        },
        "languages": sorted(triager.gate.languages),
        "manifest": _without_files(manifest) if isinstance(manifest, Mapping) else {},
        "last_error": desk.last_error,
    }


def _without_files(manifest: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in manifest.items() if key != "files"}
