"""Pages: a browser without a session is sent to the sign-in page, and errors are pages with a way back."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import SplitResult, urlencode, urlsplit

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from starlette.datastructures import URL
from starlette.routing import Match
from starlette.types import Receive, Scope, Send

from api.http.exceptions import NotSignedIn
from api.http.problems import error_page, problem_of, problem_of_request, request_id_of
from api.pages import render
from api.security.auth import COOKIE, GuardedRoute, is_own_origin
from triage.errors import TriageError

SIGN_IN, SIGN_OUT = "/sign-in", "/sign-out"
MAX_PLACE_CHARS = 1500
"""A longer address is not come back to: it would not fit into the one of the sign-in page."""
_PLACE = re.compile(rf"[^\\\x00-\x20\x7f]{{1,{MAX_PLACE_CHARS}}}")


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
                return _let_in_again(request) if isinstance(error, NotSignedIn) else _error_page(request, error)

        return handle_or_send_away

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request; who opens the address of a form, where a refused one was shown, comes to its page."""
        request = Request(scope, receive, send)
        opened = request.method == "GET" and "GET" not in (self.methods or ())
        if opened and "text/html" in request.headers.get("accept", ""):
            await RedirectResponse(local_place(request, request.url.path), 303)(scope, receive, send)
            return
        await super().handle(scope, receive, send)


def local_place(request: Request, place: str) -> str:
    """Return where to go after signing in: a page of this service, with its query, and nothing else.

    A path at which there is no page, as that of a form, gives way to the page above it; what could lead to another
    site, or back to the sign-in page, to the first page.

    Args:
        request: Of the service that has the pages.
        place: What somebody asked for.
    """
    if not place.startswith("/") or place[1:2] in ("/", "\\") or not _PLACE.fullmatch(place):
        return "/"
    path, _, query = place.partition("#")[0].partition("?")
    pages = [route for route in request.app.routes if isinstance(route, PageRoute) and "GET" in (route.methods or ())]
    deepest = max(route.path.count("/") for route in pages)
    page = "/".join(path.split("/", deepest + 1)[: deepest + 1])
    while page and not _is_page(pages, page):
        page = page.rpartition("/")[0]
    if page in ("", "/") and not query:
        return "/"
    return f"{page}?{query}" if query and page == path else page or "/"


def _is_page(pages: Sequence[PageRoute], path: str) -> bool:
    scope = {"type": "http", "method": "GET", "path": path, "root_path": "", "headers": []}
    return not path.startswith(SIGN_IN) and any(route.matches(scope)[0] is Match.FULL for route in pages)


def _came_from(request: Request) -> SplitResult | None:
    """Return the page of this service whose form was sent; None where the browser does not say."""
    try:
        found = urlsplit(request.headers.get("referer", ""))
    except ValueError:
        return None
    return found if found.path and is_own_origin(request, f"{found.scheme}://{found.netloc}") else None


def moved_on(title: str, place: str) -> HTMLResponse:
    """Return a page that leads on to another one of this service by itself.

    Not a redirect: where another site has sent the browser here, it would still come from there, and the browser would
    hold the session's cookie back.

    Args:
        title: What it says meanwhile.
        place: Path and query of where it leads.
    """
    return HTMLResponse(render("moved_on.html", here="sign-in", title=title, next=place))


def _let_in_again(request: Request) -> Response:
    """Answer a browser without a session that is good: one that followed another site's link may still have one."""
    followed = request.method == "GET" and request.headers.get("sec-fetch-mode") == "navigate"
    if followed and request.headers.get("sec-fetch-site") == "cross-site" and COOKIE not in request.cookies:
        return moved_on("One moment", local_place(request, _asked_for(request.url)))
    return _sent_to_sign_in(request)


def _asked_for(asked: URL | SplitResult) -> str:
    return f"{asked.path}?{asked.query}" if asked.query else asked.path


def _sent_to_sign_in(request: Request) -> Response:
    """Send a browser to sign in, and back to the page that it asked for, or where it pressed a button."""
    query: dict[str, str] = {}
    asked: URL | SplitResult = request.url
    if request.method == "POST" and request.url.path != SIGN_OUT:
        asked, query["unsaved"] = _came_from(request) or asked, "1"
    place = local_place(request, _asked_for(asked))
    if place != "/" and request.url.path != SIGN_OUT:
        query["next"] = place
    answer = RedirectResponse(f"{SIGN_IN}?{urlencode(query)}" if query else SIGN_IN, 303)
    if COOKIE in request.cookies:  # one that was held back, as another site sent the browser here, may be good
        answer.delete_cookie(COOKIE)
    return answer


def _error_page(request: Request, error: TriageError | RequestValidationError) -> Response:
    """Say what went wrong on a page with a way back."""
    problem = problem_of(error) if isinstance(error, TriageError) else problem_of_request(request, error)
    return error_page(problem, request_id_of(request))
