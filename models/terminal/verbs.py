"""Verbs of the command line: a function with a class of options becomes a callable that takes arguments, by Typer."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from inspect import Parameter, Signature
from typing import Annotated, Any, get_type_hints

import typer
from typer.main import get_command

from models.terminal.help import print_family_help, print_help
from models.terminal.options import fields_of

Body = Callable[[Any], "int | None"]
_HELP = ("--help", "-h")


class Verb:
    """What a person types after `triage`: called with the arguments that follow it, it returns the exit status.

    Args:
        body: What the verb does. It takes one dataclass, whose fields are made by `option` and `argument`, and returns
            an exit status, or None for 0. Its docstring is the help.
        name: The words that call it after `triage`, such as ``keys create``.
    """

    def __init__(self, body: Body, name: str) -> None:
        self.__doc__ = body.__doc__
        self._body, self._path = body, f"triage {name}"
        self._options: type = next(iter(get_type_hints(body).values()))
        self._fields = fields_of(self._options)

    def __call__(self, arguments: list[str]) -> int:
        """Run the verb; wrong arguments are one line on stderr and exit status 2."""
        app = typer.Typer(add_completion=False, rich_markup_mode=None, context_settings={"help_option_names": []})
        app.command()(self._callback())
        several = [name for field in self._fields if field.takes_several for name in field.names]
        try:
            with get_command(app).make_context(self._path, _repeated(arguments, several)) as context:
                return int(context.command.invoke(context) or 0)
        except typer.Exit as end:
            return end.exit_code
        except typer.BadParameter as error:
            where = next((one.shown for one in self._fields if error.param and one.name == error.param.name), "")
            what = error.message.removeprefix("Value error, ")  # which Typer takes over from pydantic
            return _refuse(self._path, f"{where}: {what}" if what else f"{where} is required")
        except typer.TyperException as error:
            return _refuse(self._path, error.format_message())

    def _callback(self) -> Callable[..., int | None]:
        """Return the function whose parameters Typer reads: one for each field, and `--help`."""

        def show(asked: bool) -> None:
            if asked:
                print_help(self._path, self.__doc__ or "", self._fields)
                raise typer.Exit

        def run(**values: object) -> int | None:
            values.pop("help")
            return self._body(self._options(**values))

        flag = Annotated[bool, typer.Option(*_HELP, is_eager=True, callback=show)]
        kinds = {"help": (flag, False), **{field.name: (field.annotation, field.default) for field in self._fields}}
        run.__annotations__ = {name: kind for name, (kind, _) in kinds.items()}
        run.__signature__ = Signature(  # type: ignore[attr-defined]
            [Parameter(name, Parameter.KEYWORD_ONLY, annotation=kind, default=at) for name, (kind, at) in kinds.items()]
        )
        return run


def verb(body: Body) -> Verb:
    """Make a verb of a function that is called like it."""
    return Verb(body, body.__name__)


class Family:
    """A verb that has verbs of its own, such as `triage keys create`.

    Args:
        name: The word that calls it after `triage`.
        docstring: Its help, with a section ``Examples:``.

    Attributes:
        verbs: Its own, by name.
    """

    def __init__(self, name: str, docstring: str | None) -> None:
        self.__doc__ = docstring
        self._name, self.verbs = name, dict[str, Verb]()

    def verb(self, name: str) -> Callable[[Body], Verb]:
        """Make a verb of a function, called by this name behind the family's."""

        def add(body: Body) -> Verb:
            self.verbs[name] = Verb(body, f"{self._name} {name}")
            return self.verbs[name]

        return add

    def __call__(self, arguments: list[str]) -> int:
        """Run the verb that the first argument names."""
        path, known = f"triage {self._name}", " | ".join(self.verbs)
        if arguments[:1] and arguments[0] in _HELP:
            print_family_help(path, self.__doc__ or "", {name: one.__doc__ or "" for name, one in self.verbs.items()})
            return 0
        if not arguments:
            return _refuse(path, f"a verb is required: {known}")
        if arguments[0] not in self.verbs:
            return _refuse(path, f"unknown verb {arguments[0]!r}: known are {known}")
        return self.verbs[arguments[0]](arguments[1:])


def _repeated(arguments: Sequence[str], several: Sequence[str]) -> list[str]:
    """Write `--data ONE TWO` as `--data ONE --data TWO`, which is what Typer reads."""
    written: list[str] = []
    option = None
    for word in arguments:
        if word.startswith("-"):
            option = word if word in several else None
        elif option is not None and written[-1] != option:
            written.append(option)
        written.append(word)
    return written


def _refuse(path: str, what: str) -> int:
    """Print in one line what is wrong with the arguments, and return the exit status of an error."""
    print(f"{path}: {' '.join(what.split()).rstrip('.')}; see {path} --help", file=sys.stderr)
    return 2
