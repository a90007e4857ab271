"""Routes whose paths hold names that others chose: a slash in one, sent as %2F, is part of the name."""

from __future__ import annotations

import re
from functools import lru_cache
from urllib.parse import unquote

from fastapi.routing import APIRoute
from starlette.routing import Match
from starlette.types import Scope

_HELD = re.compile(rb"%(?=25|2[fF])")


@lru_cache(maxsize=16)
def _held(raw: bytes) -> str:
    """Read a path in which slashes, and with them the signs that quote, stay quoted until it is taken apart.

    It is remembered for the next route that the same request is held against.
    """
    return unquote(_HELD.sub(b"%25", raw.partition(b"?")[0]).decode("latin-1"))


class WholePartsRoute(APIRoute):
    """A route that takes a quoted slash for part of a name: the server decodes paths before routes see them."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Say whether the path is this route's, and what its parts are."""
        raw: bytes = scope.get("raw_path") or b""
        if _HELD.search(raw) is None:
            return super().matches(scope)
        match, found = super().matches({**scope, "path": _held(raw)})
        parts = found.get("path_params", {})
        return match, {
            **found,
            "path_params": {name: unquote(part) for name, part in parts.items()},
        } if parts else found
