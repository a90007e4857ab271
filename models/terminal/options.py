"""Options of a verb: the fields of a dataclass, as Typer and the help see them, and numbers that are checked."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from dataclasses import MISSING, dataclass, fields
from typing import Annotated, Any, TypeVar, get_args, get_origin, get_type_hints

import typer
from typer.models import OptionInfo, ParameterInfo

_T = TypeVar("_T", int, float)


@dataclass(frozen=True)
class Field:
    """One field of a class of options.

    Attributes:
        name: The field's name.
        kind: Its type.
        info: What `typer.Option` or `typer.Argument` states of it.
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
    hints = get_type_hints(options, include_extras=True)
    known = {field.name: field for field in fields(options)}
    names = [name for base in (*options.__mro__[1:], options) for name in vars(base).get("__annotations__", ())]
    found = []
    for name in dict.fromkeys(names):
        kind, info = get_args(hints[name])
        default, factory = known[name].default, known[name].default_factory
        if factory is not MISSING:
            default = factory()
        found.append(Field(name, kind, info, ... if default is MISSING else default))
    return found


@dataclass(frozen=True, kw_only=True)
class JsonOption:
    """The option of verbs whose result a program can read."""

    json: Annotated[bool, typer.Option(help="print one JSON document on stdout and nothing else there")] = False


def share(text: str) -> float:
    """Read an option that is a number between 0 and 1, both left out."""
    return number(text, float, lambda value: 0 < value < 1, "a number between 0 and 1")


def fraction(text: str) -> float:
    """Read an option that is a number from 0 to 1."""
    return number(text, float, lambda value: 0 <= value <= 1, "a number from 0 to 1")


def seed(text: str) -> int:
    """Read an option that seeds what is drawn."""
    return number(text, int, lambda value: 0 <= value < 2**32, "a whole number from 0 to 4294967295")


def seconds(text: str) -> float:
    """Read an option that is a time to wait, in seconds."""
    return number(text, float, lambda value: 0 < value <= 86400, "a number of seconds from 0 to 86400")


def number(text: str, kind: Callable[[str], _T], fits: Callable[[_T], bool], what: str) -> _T:
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
