"""Which fields body and query of a request have: read from the models and parameters that take them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, get_args

from fastapi import Request
from fastapi.dependencies.models import Dependant
from pydantic import BaseModel


def body_model(request: Request) -> type[BaseModel] | None:
    """Return the model that takes the body at the request's route; None where a route takes none."""
    body = getattr(request.scope.get("route"), "body_field", None)
    return next(_models(body.field_info.annotation), None) if body is not None else None


def query_names(dependant: Dependant) -> tuple[str, ...]:
    """Return the names of what a route takes in the query, in the order in which it states them.

    A model that takes the whole query stands for its fields.
    """
    found = dict[str, None]()
    for part in dependant.query_params:
        model = next(_models(part.field_info.annotation), None)
        found.update(dict.fromkeys(fields_at(model, ()) or (part.alias,)))
    for inner in dependant.dependencies:
        found.update(dict.fromkeys(query_names(inner)))
    return tuple(found)


def fields_at(model: type[BaseModel] | None, place: Sequence[int | str]) -> tuple[str, ...]:
    """Return the names of the fields at a place in a body; none where there is no model.

    Args:
        model: Of the whole body.
        place: Names of fields and numbers of items, as pydantic tells them, from the outside in.

    Example:
        >>> from api.http.schemas import FeedbackIn
        >>> fields_at(FeedbackIn, ())[:2]
        ('verdict', 'tier')
        >>> fields_at(FeedbackIn, ("tier",))
        ()
    """
    for part in place:
        if isinstance(part, str):
            field = model.model_fields.get(part) if model is not None else None
            model = next(_models(field.annotation), None) if field is not None else None
    return tuple(model.model_fields) if model is not None else ()


def names_in(model: type[BaseModel] | None) -> frozenset[str]:
    """Return every name of a field anywhere in a body."""
    if model is None:
        return frozenset()
    inner = (names_in(one) for field in model.model_fields.values() for one in _models(field.annotation))
    return frozenset(model.model_fields).union(*inner)


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    """Yield the models in an annotation: itself, or what stands in its list, union or ``Annotated``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
        return
    for part in get_args(annotation):
        yield from _models(part)
