"""One table from what went wrong to the answer: `application/problem+json` (RFC 9457) for every status from 400 on."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, NamedTuple

from fastapi import FastAPI, Request
from fastapi.dependencies.utils import get_flat_params
from fastapi.exceptions import RequestValidationError
from fastapi.params import Form
from fastapi.responses import HTMLResponse, Response
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.routing import Match

from api.http.body_fields import body_model, fields_at, names_in, query_names
from api.http.exceptions import (
    Contradiction,
    KeyReused,
    NotAcceptable,
    NotAllowed,
    NotFound,
    NotSignedIn,
    Refused,
    TooBusy,
    TooMuch,
)
from api.pages import render
from triage.errors import (
    BundleError,
    InvalidPolicy,
    InvalidRequest,
    InvalidRules,
    InvalidTicket,
    StoreUnavailable,
    TriageError,
)
from triage.ticket import FIRST_YEAR, LAST_YEAR

MEDIA_TYPE = "application/problem+json"
_STORE_RETRY_S = 2

STATUS_OF: tuple[tuple[type[TriageError], int, str], ...] = (
    (InvalidTicket, 422, "invalid-ticket"),
    (NotSignedIn, 401, "not-signed-in"),
    (NotAllowed, 403, "not-allowed"),
    (NotFound, 404, "not-found"),
    (KeyReused, 422, "idempotency-key-reused"),
    (NotAcceptable, 422, "not-acceptable"),
    (Contradiction, 409, "contradiction"),
    (TooMuch, 429, "too-many-requests"),
    (TooBusy, 503, "busy"),
    (Refused, 400, "refused"),
    (StoreUnavailable, 503, "store-unavailable"),
    (BundleError, 409, "bundle-refused"),
    (InvalidPolicy, 409, "policy-refused"),
    (InvalidRules, 409, "rules-refused"),
    (InvalidRequest, 400, "invalid-request"),
    (TriageError, 500, "internal-error"),
)
"""Status and code of each error of this project; the first class that fits counts."""

_FRAMEWORK = {
    400: ("malformed-request", "the request cannot be read; send well-formed HTTP"),
    401: ("not-signed-in", "a key is needed; send Authorization: Bearer KEY"),
    403: ("not-allowed", "this key may not do that; use one with the scope"),
    404: ("not-found", "there is nothing at this path; see /docs"),
    405: ("method-not-allowed", "this path does not take that method; see the Allow header"),
    408: ("request-timeout", "the request did not arrive in time; send it again, faster"),
    413: ("too-large", "the request body is larger than the service takes; send less at once"),
    414: ("uri-too-long", "the request target is longer than the service takes; send data in the body"),
    415: ("unsupported-media-type", "the body is not JSON; send Content-Type: application/json"),
    431: ("headers-too-large", "the request headers are larger than the service takes; send fewer"),
    500: ("internal-error", "the service failed on this request; the log has the request id"),
}

_MESSAGES = {
    "missing": "is needed",
    "no-text": "holds no text, and neither subject nor body: state one of them",
    "extra-forbidden": "is not a known field",
    "string-too-long": "is too long",
    "too-long": "is too long",
    "too-short": "is empty",
    "string-type": "is not text",
    "list-type": "is not a list",
    "model-attributes-type": "is not a JSON object",
    "dict-type": "is not a JSON object",
    "datetime-type": "is not an RFC 3339 date and time",
    "datetime-parsing": "is not an RFC 3339 date and time",
    "bool-parsing": "is neither true nor false",
    "int-parsing": "is not a whole number",
    "out-of-range": f"is not between the years {FIRST_YEAR} and {LAST_YEAR}",
    "greater-than-equal": "is too small",
    "less-than-equal": "is too large",
    "string-unicode": "is not valid Unicode: it holds a lone surrogate",
    "invalid-unicode": "is not valid Unicode: it holds a lone surrogate",
    "nul": "holds a NUL character",
    "empty": "holds nothing to read",
    "not-finite": "is not a finite number",
    "text-beside-subject": "has text beside subject or body: send either",
    "enum": "is not one of the listed values",
    "literal-error": "is not one of the listed values",
}


@dataclass(frozen=True)
class Problem:
    """An answer that says what went wrong.

    Attributes:
        status: HTTP status, 400 to 599.
        code: Machine-readable kind, stable over versions.
        detail: One sentence for people; never holds what was submitted.
        errors: Per field at fault its path and code.
        headers: Further headers, such as ``Retry-After``.
    """

    status: int
    code: str
    detail: str
    errors: Sequence[Mapping[str, str]] = ()
    headers: Mapping[str, str] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """Return the problem as a JSON document."""
        document: dict[str, Any] = {
            "type": f"urn:triage:problem:{self.code}",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
        }
        if self.errors:
            document["errors"] = [dict(error) for error in self.errors]
        return document

    def body(self, request_id: str) -> bytes:
        """Write the problem as JSON."""
        document = {**self.document(), "request_id": request_id}
        return json.dumps(document, ensure_ascii=False).encode("utf-8", "replace")

    def response(self, request_id: str, headers: Mapping[str, str] | None = None) -> Response:
        """Return the problem as an answer."""
        stated = {**self.headers, **(headers or {})}
        return Response(self.body(request_id), self.status, headers=stated, media_type=MEDIA_TYPE)


def problem_of(error: Exception) -> Problem:
    """Look up the answer to an error of this project; anything else is an internal error without detail."""
    if isinstance(error, TriageError):
        status, code = next((status, code) for kind, status, code in STATUS_OF if isinstance(error, kind))
        if status >= 500 and not isinstance(error, (TooBusy, StoreUnavailable)):
            return framework_problem(500)
        return _domain_problem(error, status, getattr(error, "code", code))
    return framework_problem(500)


def _domain_problem(error: TriageError, status: int, code: str) -> Problem:
    if isinstance(error, InvalidTicket):
        return validation_problem([Fault(tuple(error.field.split(".")), error.code)])
    if isinstance(error, NotSignedIn):
        return Problem(status, code, str(error), headers={"WWW-Authenticate": 'Bearer realm="triage"'})
    if isinstance(error, (TooMuch, TooBusy)):
        return Problem(status, code, str(error), headers={"Retry-After": str(error.retry_after_s)})
    if isinstance(error, StoreUnavailable):
        full = error.code == "full"
        return Problem(
            507 if full else 503, f"store-{error.code}", str(error), headers={"Retry-After": str(_STORE_RETRY_S)}
        )
    if isinstance(error, NotAcceptable) and error.field:
        return Problem(status, code, str(error), [{"field": error.field, "code": code}])
    return Problem(status, code, str(error))


def framework_problem(status: int, headers: Mapping[str, str] | None = None) -> Problem:
    """Return the problem of a status that the framework or the protocol gave."""
    code, detail = _FRAMEWORK.get(
        status, (HTTPStatus(status).phrase.lower().replace(" ", "-"), "the request was refused; see the status")
    )
    return Problem(status, code, detail, headers=headers or {})


class Fault(NamedTuple):
    """A field at fault: its place, a machine-readable kind, what is allowed there, in words, and what it is called."""

    place: tuple[int | str, ...]
    code: str
    allowed: str = ""
    noun: str = "field"


def validation_problem(
    faults: Sequence[Fault], model: type[BaseModel] | None = None, parameters: Set[str] = frozenset()
) -> Problem:
    """Return a 422 that names each field at fault and what is allowed there, and never what was in it.

    Args:
        faults: What is at fault.
        model: What takes the request's body: the names of its fields may be told.
        parameters: Names of what the route takes beside the body, which may be told too.
    """
    known = KNOWN_FIELDS | names_in(model) | parameters
    errors = [{"field": _path(fault.place, known), "code": fault.code} for fault in faults]
    details = [_sentence(error["field"], fault) for error, fault in zip(errors[:3], faults, strict=False)]
    more = f" and {len(errors) - 3} more" if len(errors) > 3 else ""
    codes = {error["code"] for error in errors}
    code = codes.pop() if len(codes) == 1 and codes <= {"invalid-unicode", "nul", "not-finite"} else "invalid-request"
    return Problem(422, code, f"{'; '.join(details)}{more}; see /docs for the form", errors)


def problem_of_faults(
    faults: Sequence[Mapping[str, Any]],
    place: tuple[int | str, ...] = (),
    model: type[BaseModel] | None = None,
    parameters: Set[str] = frozenset(),
) -> Problem:
    """Return the problem of what pydantic found at fault.

    Args:
        faults: As pydantic tells them.
        place: Where the value stands that they are about.
        model: What should have taken the value: it knows the names of the fields.
        parameters: Names of what the route takes beside the body.
    """
    told = [
        Fault((*place, *fault["loc"]), _code(fault["type"]), _allowed(fault, fields_at(model, fault["loc"][:-1])))
        for fault in faults
    ]
    return validation_problem(told, model, parameters)


def problem_of_request(request: Request, error: RequestValidationError) -> Problem:
    """Return the problem of what the framework found at fault in a request; whatever its route takes may be named."""
    model, dependant = body_model(request), getattr(request.scope.get("route"), "dependant", None)
    asked = query_names(dependant) if dependant is not None else ()
    told = []
    for fault in error.errors():
        place, in_query = tuple(fault["loc"][1:]), fault["loc"][:1] == ("query",)
        noun = "parameter" if in_query else "field"
        allowed = _allowed(fault, asked if in_query else fields_at(model, place[:-1]), noun)
        told.append(Fault(place, _code(fault["type"]), allowed, noun))
    return validation_problem(told, model, _parameters(request))


def _parameters(request: Request) -> frozenset[str]:
    """Return the names of path, query and headers that the request's route takes."""
    dependant = getattr(request.scope.get("route"), "dependant", None)
    return frozenset(field.alias for field in get_flat_params(dependant)) if dependant is not None else frozenset()


def _sentence(field: str, fault: Fault) -> str:
    if fault.code == "extra-forbidden":
        name = str(fault.place[-1])
        shown = name if _PLAIN_NAME.fullmatch(name) else "a name that was sent"
        return f"{shown} is not a {fault.noun}{fault.allowed}"
    if fault.code in ("literal-error", "enum") and fault.allowed:
        return f"{field}: {fault.allowed}"
    if fault.code == "too-short" and not fault.allowed.endswith(" 1"):
        return f"{field} is too short{fault.allowed}"
    return f"{field or 'the request'} {_MESSAGES.get(fault.code, 'is not valid')}{fault.allowed}"


def _allowed(fault: Mapping[str, Any], fields: Sequence[str], noun: str = "field") -> str:
    """Say what is allowed, from what pydantic knows of the field; never from what was sent."""
    context = fault.get("ctx", {})
    if fault["type"] in ("literal_error", "enum"):
        return "one of " + ", ".join(re.findall(r"'([^']*)'", str(context.get("expected", ""))))
    if fault["type"] == "extra_forbidden":
        return f"; {noun}s: {', '.join(fields)}" if fields else ""
    for name, words in _BOUNDS.items():
        if isinstance(context.get(name), int | float):
            return f": {words} {context[name]:g}"
    return ""


def _path(place: Sequence[int | str], known_fields: Set[str]) -> str:
    """Write a field's path; names that the caller made up become an asterisk, for they may hold anything."""
    path = ""
    for depth, part in enumerate(place):
        if isinstance(part, int):
            path += f"[{part}]"
        elif part != "[key]":
            known = part in known_fields and "attributes" not in place[:depth]
            path += ("." if path else "") + (part if known else "*")
    return path


TICKET_FIELDS = ("id", "text", "subject", "body", "channel", "requester", "opened_at", "language", "attributes")
_FIELDS_OF_FEEDBACK = ("verdict", "tier", "category", "resolver_group", "targets", "agent", "reason", "comment")
_BOUNDS = {
    "le": "at most",
    "ge": "at least",
    "lt": "below",
    "gt": "above",
    "max_length": "at most",
    "min_length": "at least",
}
"""What pydantic calls a bound, in words."""
_PLAIN_NAME = re.compile(r"[a-z][a-z_]{0,23}")
"""A field's name that may be told though the caller made it up: too short and plain to hold anything."""
KNOWN_FIELDS = frozenset((*TICKET_FIELDS, "tickets", *_FIELDS_OF_FEEDBACK))
"""Names that may stand in a problem's field path at every route; all but these and what the route itself takes are
replaced by an asterisk."""


def add_error_handlers(app: FastAPI) -> None:
    """Make every error of the app a problem."""
    app.add_exception_handler(TriageError, _on_error)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(HTTPException, _on_http)


def request_id_of(request: Request) -> str:
    """Return the id that the middleware gave to the request."""
    return str(getattr(request.state, "request_id", "-"))


async def _on_error(request: Request, error: Exception) -> Response:
    return problem_of(error).response(request_id_of(request))


async def _on_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    headers = dict(error.headers or {})
    if (
        error.status_code == 400 and error.__cause__ is not None
    ):  # the framework's wording for any body that it cannot parse
        return _MALFORMED.response(request_id_of(request))
    if error.status_code == 405:
        headers["Allow"] = ", ".join(_methods(request)) or headers.get("allow", "")
        headers.pop("allow", None)
    problem = framework_problem(error.status_code, headers)
    if wants_page(request.headers.get("accept", ""), request.url.path):
        return error_page(problem, request_id_of(request))
    return problem.response(request_id_of(request))


def wants_page(accept: str, path: str) -> bool:
    """Say whether a browser asks for something to show, not a program for something to read.

    Example:
        >>> wants_page("text/html,*/*", "/nowhere"), wants_page("text/html", "/v1/model"), wants_page("*/*", "/nowhere")
        (True, False, False)
    """
    return "text/html" in accept and not path.startswith(("/v1/", "/v2/"))


_DETAILS = {
    "not-found": "Nothing is at this address: the link may be an old one, or a letter of it may be missing.",
    "store-unreachable": "The store does not answer at the moment. New tickets are still decided: try again soon.",
    "internal-error": "The service failed on this request, and its log says why. Please try again in a moment.",
}
"""What people read in a browser, where the sentence for programs would tell them little."""
_TITLES = {
    403: "This is not for you",
    404: "There is no such page",
    422: "This address cannot be read",
    500: "Something broke here",
    503: "One moment",
}


def error_page(problem: Problem, request_id: str) -> Response:
    """Say what went wrong on a page with a way back; where programs are told to look, people are not sent."""
    detail = problem.detail.partition("; see ")[0]
    if problem.status == 422:
        detail = f"part of it is not understood: {detail}"
    values = {
        "title": _TITLES.get(problem.status, "This did not work"),
        "detail": _DETAILS.get(problem.code) or f"{detail[:1].upper()}{detail[1:]}.",
        "status": problem.status,
        "request_id": request_id,
    }
    return HTMLResponse(render("error.html", here="nowhere", **values), problem.status, headers=problem.headers)


_MALFORMED = Problem(400, "malformed-json", "the body is not JSON that can be read; send UTF-8 JSON")


def _methods(request: Request) -> list[str]:
    routes = [route for route in request.app.routes if route.matches(request.scope)[0] is not Match.NONE]
    return sorted({method for route in routes for method in getattr(route, "methods", None) or ()})


async def _on_invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    faults = error.errors()
    if any(fault["type"] == "json_invalid" for fault in faults):
        return _MALFORMED.response(request_id_of(request))
    if any(fault["loc"][:1] == ("body",) for fault in faults) and takes_json(request) and await _is_foreign(request):
        return framework_problem(415).response(request_id_of(request))
    return problem_of_request(request, error).response(request_id_of(request))


def _code(kind: str) -> str:
    return {"string_unicode": "invalid-unicode", "finite_number": "not-finite", "string_too_long": "too-long"}.get(
        kind, kind.replace("_", "-")
    )


async def _is_foreign(request: Request) -> bool:
    """Say whether a body was sent that does not claim to be JSON."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json")):
        return False
    return bool(kind) or bool(await request.body())


def takes_json(request: Request) -> bool:
    """Say whether the request's route takes a body, and that as JSON."""
    body = getattr(request.scope.get("route"), "body_field", None)
    return body is not None and not isinstance(body.field_info, Form)
