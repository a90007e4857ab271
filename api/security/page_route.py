"""Pages: a browser without a session is sent to the sign-in page, and errors are pages with a way back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import RedirectResponse, Response

from api.http.exceptions import NotSignedIn
from api.http.problems import error_page, problem_of, problem_of_request, request_id_of
from api.security.auth import COOKIE, GuardedRoute
from triage.errors import TriageError

SIGN_IN = "/sign-in"


class PageRoute(GuardedRoute):
    """A route that answers a browser with pages: the sign-in page without a session, and errors with a way back."""

    def get_route_handler(self) -> Callable[[Request], Any]:
        """Return the handler with the way to the sign-in page."""
        handle = super().get_route_handler()

        async def handle_or_send_away(request: Request) -> Any:
            try:
                return await handle(request)
            except (TriageError, RequestValidationError) as error:
                if "text/html" not in request.headers.get("accept", ""):
                    raise
                return _sent_to_sign_in() if isinstance(error, NotSignedIn) else _error_page(request, error)

        return handle_or_send_away


def _sent_to_sign_in() -> Response:
    answer = RedirectResponse(SIGN_IN, 303)
    answer.delete_cookie(COOKIE)
    return answer


def _error_page(request: Request, error: TriageError | RequestValidationError) -> Response:
    """Say what went wrong on a page with a way back."""
    problem = problem_of(error) if isinstance(error, TriageError) else problem_of_request(request, error)
    return error_page(problem, request_id_of(request))
