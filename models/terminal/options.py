"""Options of a verb: the fields of a dataclass, as Typer and the help see them, and numbers that are checked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import MISSING, dataclass, field, fields
from typing import Annotated, Any, TypeVar, cast, get_origin, get_type_hints

import typer
from typer.models import OptionInfo, ParameterInfo

_Number = TypeVar("_Number", int, float)
_Value = TypeVar("_Value")

NEEDED: Any = ...
"""The default of an option that must be stated."""

_INFO = "typer"


def option(
    help: str,
    default: _Value,
    metavar: str | None = None,
    *,
    names: Sequence[str] = (),
    read: Callable[[str], object] | None = None,
    group: str | None = None,
) -> _Value:
    """Return a field of a dataclass that is an option of a verb.

    Args:
        help: What it means.
        default: What it is where nobody states it.
        metavar: How its value is shown; ending in ``…`` where it takes all the words behind it.
        names: How it is typed, where it is not called like its field.
        read: Reads and checks its text.
        group: Heading of the group of options that it belongs to.
    """
    return _field(default, typer.Option(*names, help=help, metavar=metavar, parser=read, rich_help_panel=group))


def argument(
    help: str, metavar: str, default: _Value = NEEDED, *, read: Callable[[str], object] | None = None
) -> _Value:
    """Return a field of a dataclass that is an argument of a verb, known by its position."""
    return _field(default, typer.Argument(help=help, metavar=metavar, parser=read))


def _field(default: _Value, info: ParameterInfo) -> _Value:
    """Return a field as `dataclasses.field` does, which says of itself that it is its default."""
    metadata = {_INFO: info}
    if default is NEEDED:
        stated = field(metadata=metadata)
    elif isinstance(default, list):
        stated = field(default_factory=lambda: list(default), metadata=metadata)
    else:
        stated = field(default=default, metadata=metadata)
    return cast(_Value, stated)


@dataclass(frozen=True)
class Field:
    """One field of a class of options.

    Attributes:
        name: The field's name.
        kind: Its type.
        info: What `option` or `argument` states of it.
        default: What it is where nobody states it; ``...`` where somebody must.
    """

    name: str
    kind: Any
    info: ParameterInfo
    default: object

    @property
    def names(self) -> tuple[str, ...]:
        """The names that are typed, such as ``--scope``; none for an argument, which is known by its position."""
        if not isinstance(self.info, OptionInfo):
            return ()
        # Typer keeps the first name of an annotated option where it keeps a default otherwise.
        first = () if self.info.default is ... else (str(self.info.default),)
        return (*first, *(self.info.param_decls or ())) or (f"--{self.name.replace('_', '-')}",)

    @property
    def shown(self) -> str:
        """How it is called in a message."""
        return " / ".join(self.names) or self.info.metavar or self.name.upper()

    @property
    def needed(self) -> bool:
        """Whether it must be stated."""
        return self.default is ...

    @property
    def takes_several(self) -> bool:
        """Whether it is an option that takes all words behind it, which its metavar says: ``--data FILE…``."""
        return bool(self.names) and get_origin(self.kind) is list and (self.info.metavar or "").endswith("…")

    @property
    def value(self) -> str:
        """How its value is shown in the help: `` FILE`` behind an option, ``[NAME]`` as an argument."""
        shown = self.info.metavar or self.name.upper()
        if self.names:
            return "" if self.kind is bool else f" {shown}"
        many = f"{shown}…" if get_origin(self.kind) is list else shown
        return many if self.needed else f"[{many}]"

    @property
    def annotation(self) -> object:
        """The annotation from which Typer makes its parameter, with all names stated: no ``--no-…`` beside a flag."""
        info = copy(self.info)
        if self.names:
            info.default, info.param_decls = self.names[0], self.names[1:]
        return Annotated[self.kind, info]


def fields_of(options: type) -> list[Field]:
    """Return the fields of a dataclass: those of its bases first, in the order in which the bases are named."""
    hints, known = get_type_hints(options), {one.name: one for one in fields(options)}
    names = [name for base in (*options.__mro__[1:], options) for name in vars(base).get("__annotations__", ())]
    found = []
    for one in (known[name] for name in dict.fromkeys(names)):
        default = one.default if one.default_factory is MISSING else one.default_factory()
        found.append(Field(one.name, hints[one.name], one.metadata[_INFO], NEEDED if default is MISSING else default))
    return found


@dataclass(frozen=True, kw_only=True)
class JsonOption:
    """The option of verbs whose result a program can read."""

    json: bool = option("print one JSON document on stdout and nothing else there", False)


def share(text: str) -> float:
    """Read an option that is a number between 0 and 1, both left out."""
    return number(text, float, lambda value: 0 < value < 1, "a number between 0 and 1")


def fraction(text: str) -> float:
    """Read an option that is a number from 0 to 1."""
    return number(text, float, lambda value: 0 <= value <= 1, "a number from 0 to 1")


def seed(text: str) -> int:
    """Read an option that seeds what is drawn."""
    return number(text, int, lambda value: 0 <= value < 2**32, "a whole number from 0 to 4294967295")


def count(text: str) -> int:
    """Read an option that counts something, of which there may be none."""
    return number(text, int, lambda value: 0 <= value < 10**9, "a whole number from 0 to 999999999")


def seconds(text: str) -> float:
    """Read an option that is a time to wait, in seconds."""
    return number(text, float, lambda value: 0 < value <= 86400, "a number of seconds from 0 to 86400")


def number(text: str, kind: Callable[[str], _Number], fits: Callable[[_Number], bool], what: str) -> _Number:
    """Read an option that is a number of some range.

    Raises:
        BadParameter: If it is none.
    """
    try:
        value = kind(text)
    except ValueError:
        pass
    else:
        if fits(value):
            return value
    raise typer.BadParameter(f"{text!r} is not {what}")
