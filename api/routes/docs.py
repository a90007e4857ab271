"""`/docs` and `/openapi.json`: the API's documentation, for people and for programs."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, JSONResponse

from api.deps import PartsDep, Reader
from api.http.middleware import CONTENT_SECURITY_POLICY
from api.routes.pages.frame import page
from api.security.page_route import PageRoute

router = APIRouter(include_in_schema=False, route_class=PageRoute)

_WITH_DRAWN_ICONS = CONTENT_SECURITY_POLICY.replace("img-src 'self'", "img-src 'self' data:")
"""Swagger UI's style sheet holds its icons as data: they are pictures of its own, and load nothing."""


@router.get("/openapi.json")
async def openapi(request: Request, reader: Reader) -> JSONResponse:
    """Describe the API for programs."""
    return JSONResponse(request.app.openapi())


@router.get("/docs")
async def docs(parts: PartsDep, reader: Reader) -> HTMLResponse:
    """Describe the API for people, and let them try it."""
    shown = await page(parts, reader, "docs.html", here="docs")
    shown.headers["Content-Security-Policy"] = _WITH_DRAWN_ICONS
    return shown
