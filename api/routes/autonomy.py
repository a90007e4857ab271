"""`/v1/autonomy`: what the model may decide alone at this desk, since when, and why."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from api.deps import Reader, ServiceDep
from api.http.openapi import problems
from api.security.auth import GuardedRoute

router = APIRouter(prefix="/v1", tags=["model"], route_class=GuardedRoute)


class TargetAutonomyOut(BaseModel):
    """How far the model may go for one target."""

    model_config = ConfigDict(title="Autonomy of a target")

    mode: Literal["suggest", "automatic"]
    target_risk: float = Field(gt=0, lt=1, description="highest error rate that may be automatic")
    reviews: int = Field(
        ge=0, description="reviews that count: before opening all of what the gate passed, then audits"
    )
    errors: int = Field(ge=0, description="errors that they found")
    reviews_to_go: int = Field(ge=0, description="reviews without an error until automation opens; 0 where it is open")
    changed_at: datetime
    because: str = Field(description="why the mode is what it is, in words")


class AutonomyOut(BaseModel):
    """How far the model in use may go, by target; empty without a model."""

    model_config = ConfigDict(title="Autonomy")

    targets: dict[str, TargetAutonomyOut]


@router.get("/autonomy", responses=problems(401, 403, 503))
def autonomy(service: ServiceDep, reader: Reader) -> AutonomyOut:
    """Say for each target whether the model decides alone, how many clean reviews it still takes, and why."""
    return AutonomyOut(
        targets={target: TargetAutonomyOut.model_validate(one) for target, one in service.autonomy.describe().items()}
    )
