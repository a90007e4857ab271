"""Style sheets, scripts and pictures of the pages."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import Response

from api.http.exceptions import NotFound
from api.pages import static

router = APIRouter(include_in_schema=False)


@router.get("/static/{name}")
async def asset(name: str, request: Request) -> Response:
    """Send a style sheet, script or picture of the pages; 304 where the browser has it as it is (RFC 9110, 13.1.2)."""
    found = static(name)
    if found is None:
        raise NotFound("not-found", "there is no such file: see the page's source")
    headers = {"Cache-Control": "no-cache", "ETag": found.etag}
    if _has(request.headers.getlist("if-none-match"), found.etag):
        return Response(status_code=304, headers=headers)
    return Response(found.content, media_type=found.media_type, headers=headers)


def _has(stated: list[str], etag: str) -> bool:
    """Say whether one of the states that a browser has is this one; a proxy that compresses calls it a weak one."""
    kept = {one.strip().removeprefix("W/") for line in stated for one in line.split(",")}
    return etag in kept or "*" in kept
