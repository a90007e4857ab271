"""`/livez`, `/readyz` and `/metrics`: is the process alive, should it get traffic, what has it done."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from api.deps import Reader, ServiceDep
from api.http.openapi import problems
from api.http.problems import Problem, request_id_of
from api.security.auth import GuardedRoute
from api.telemetry import CONTENT_TYPE

router = APIRouter(tags=["health"], route_class=GuardedRoute)

_WHY = {
    "draining": "the service is stopping; ask another instance",
    "scoring-stuck": "tickets are not being decided; the process should be replaced",
    "model-unavailable": "no model: tickets are routed by rules alone; promote a model, or set TRIAGE_RULES_ONLY=1",
}


@router.head("/livez", include_in_schema=False)  # some load balancers look no further than the status
@router.get("/livez")
async def livez() -> dict[str, str]:
    """Say that the process answers."""
    return {"status": "alive"}


@router.head("/readyz", include_in_schema=False)
@router.get("/readyz", responses=problems(503))
async def readyz(request: Request, service: ServiceDep) -> Response:
    """Say whether this process should get traffic: its model is loaded and warm, and it is not stopping.

    A store that fails does not change that: tickets are decided, and kept in memory until it is back. All instances
    share it, so that none could take over; the status is `degraded` then, and `because` says why. So it is where a
    mailbox cannot be read, a helpdesk does not say what is new, or what is to be loaded cannot be had in time.
    """
    why = service.unready
    if why is not None:
        problem = Problem(503, why, _WHY[why], headers={"Retry-After": "5"})
        return problem.response(request_id_of(request))
    model = service.model
    document = {"status": "ready" if model.is_loaded else "rules-only", "model_version": model.triager.model_version}
    if service.degraded is not None:
        document |= {"status": "degraded", "because": service.degraded}
    return JSONResponse(document)


@router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}, **problems(401, 403)})
async def metrics(service: ServiceDep, reader: Reader) -> Response:
    """Tell Prometheus what this service has done."""
    service.metrics.waiting.set(service.batcher.waiting)
    return Response(service.metrics.text(), headers={"content-type": CONTENT_TYPE})
