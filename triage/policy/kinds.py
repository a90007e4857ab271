"""Whether values of a TOML file are of the kind that their keys take, by the annotations of what is made of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import is_dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

_SCALARS: Mapping[Any, tuple[str, Callable[[object], bool]]] = {
    str: ("text", lambda value: isinstance(value, str)),
    bool: ("true or false", lambda value: isinstance(value, bool)),
    int: ("a number", lambda value: _is_number(value)),
    float: ("a number", lambda value: _is_number(value)),
}
_MOST_CHARS = 60


def misfits(place: str, value: object, kind: Any) -> Iterable[str]:
    """Name each value that is of another kind than its key takes.

    Args:
        place: Where the value stands, such as ``[folding]``.
        value: As it was read.
        kind: A type, such as ``tuple[str, ...]``; a data class, or types by key, for a table. Keys that these do not
            know are passed over, and nothing has to be there.

    Example:
        >>> list(misfits("[folding]", {"L1": {"L2": "L3"}}, dict[str, str]))
        ["[folding] L1 = {'L2': 'L3'} is not text"]
    """
    if isinstance(kind, Mapping):
        yield from _of_table(place, value, kind)
    elif get_origin(kind) in (Union, UnionType):
        yield from _of_either(place, value, [one for one in get_args(kind) if one is not NoneType])
    elif kind in _SCALARS:
        words, fits = _SCALARS[kind]
        if not fits(value):
            yield _not(place, value, words)
    elif get_origin(kind) in (list, tuple):
        yield from _of_list(place, value, get_args(kind)[0])
    else:
        yield from _of_table(place, value, kind)


def _of_either(place: str, value: object, kinds: list[Any]) -> Iterable[str]:
    found = [list(misfits(place, value, kind)) for kind in kinds]
    if all(found):
        yield from found[0] if len(found) == 1 else [_not(place, value, " or ".join(map(_words, kinds)))]


def _of_list(place: str, value: object, kind: Any) -> Iterable[str]:
    if not isinstance(value, list):
        yield _not(place, value, _words(list[kind]))
        return
    for number, one in enumerate(value, 1):
        yield from misfits(f"{place} number {number}", one, kind)


def _of_table(place: str, value: object, kind: Any) -> Iterable[str]:
    if not isinstance(value, dict):
        yield _not(place, value, "a table")
        return
    known = _keys(kind) if isinstance(kind, type) and is_dataclass(kind) else kind
    for key, one in value.items():
        if not isinstance(known, Mapping):
            yield from misfits(f"{place} {key}", one, get_args(kind)[1])
        elif key in known:
            yield from misfits(f"{place} {key}", one, known[key])


@cache
def _keys(kind: type) -> Mapping[str, Any]:
    return get_type_hints(kind)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _words(kind: Any) -> str:
    if kind in _SCALARS:
        return _SCALARS[kind][0]
    if get_origin(kind) in (list, tuple):
        return "a list of text" if get_args(kind)[0] is str else "a list of tables"
    return "a table"


def _not(place: str, value: object, words: str) -> str:
    shown = repr(value)
    return f"{place} = {shown if len(shown) <= _MOST_CHARS else shown[:_MOST_CHARS] + '…'} is not {words}"
