"""Pages: a browser without a session is sent to the sign-in page, where a key opens one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import Request
from fastapi.responses import RedirectResponse

from api.http.exceptions import NotSignedIn
from api.security.auth import COOKIE, GuardedRoute

SIGN_IN = "/sign-in"


class PageRoute(GuardedRoute):
    """A route that sends a browser without a session to the sign-in page, not to an error for programs."""

    def get_route_handler(self) -> Callable[[Request], Any]:
        """Return the handler with the way to the sign-in page."""
        handle = super().get_route_handler()

        async def handle_or_send_away(request: Request) -> Any:
            try:
                return await handle(request)
            except NotSignedIn:
                if "text/html" not in request.headers.get("accept", ""):
                    raise
                answer = RedirectResponse(SIGN_IN, 303)
                answer.delete_cookie(COOKIE)
                return answer

        return handle_or_send_away
