"""Style sheets, scripts and pictures of the pages."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import Response

from api.http.exceptions import NotFound
from api.pages import static

router = APIRouter(include_in_schema=False)


@router.get("/static/{name}")
async def asset(name: str) -> Response:
    """Send a style sheet, script or picture of the pages."""
    found = static(name)
    if found is None:
        raise NotFound("not-found", "there is no such file: see the page's source")
    content, media_type = found
    return Response(content, media_type=media_type, headers={"Cache-Control": "no-cache"})
