"""`/docs` and `/openapi.json`: the API's documentation, for people and for programs."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, JSONResponse

from api.deps import Reader, ServiceDep
from api.pages import render
from api.pages.docs import operations_of
from api.security.page_route import PageRoute

router = APIRouter(include_in_schema=False, route_class=PageRoute)


@router.get("/openapi.json")
async def openapi(request: Request, reader: Reader) -> JSONResponse:
    """Describe the API for programs."""
    return JSONResponse(request.app.openapi())


@router.get("/docs")
async def docs(request: Request, service: ServiceDep, reader: Reader) -> HTMLResponse:
    """Describe the API for people."""
    document: dict[str, Any] = request.app.openapi()
    about = document["info"]
    page = render(
        "docs.html",
        here="docs",
        title=about["title"],
        version=about["version"],
        description=about["description"],
        open=service.settings.open_loopback,
        operations=operations_of(document, str(request.base_url).rstrip("/")),
    )
    return HTMLResponse(page)
