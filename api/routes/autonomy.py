"""`GET /v1/autonomy`: what the model may decide alone at this desk, since when, and why."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict

from api.deps import Reader, ServiceDep
from api.http.openapi import problems
from api.scoring.autonomy import TargetAutonomy
from api.security.auth import GuardedRoute

router = APIRouter(prefix="/v1", tags=["model"], route_class=GuardedRoute)


class AutonomyOut(BaseModel):
    """How far the model in use may go, by target; empty without a model."""

    model_config = ConfigDict(title="Autonomy")

    targets: dict[str, TargetAutonomy]


@router.get("/autonomy", responses=problems(401, 403, 422, 503))
def autonomy(service: ServiceDep, reader: Reader) -> AutonomyOut:
    """Say for each target whether the model decides alone, how many clean reviews it still takes, and why."""
    return AutonomyOut(targets=service.autonomy.describe())
