"""The `triage` command: a dispatcher over the entry-point group `triage.commands`."""

from __future__ import annotations

import ast
import gc
import io
import os
import signal
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import EntryPoint, entry_points, version
from importlib.util import find_spec
from typing import Any

from triage.errors import InvalidDataset, TriageError, grouped

GROUP = "triage.commands"
_FAULTS_SHOWN = 200
_ENDED = 128 + signal.SIGTERM
"""Exit status of a verb that was told to end."""
_OWN = frozenset({"api", "models", "training", "triage", "triage_client"})
"""The packages of this program."""
_WORDLESS = (
    *(AttributeError, ImportError, IndexError, MemoryError, ModuleNotFoundError, NameError, NotImplementedError),
    *(RecursionError, UnboundLocalError, ZeroDivisionError),
)
"""Errors whose message is of the interpreter: any other may quote what somebody wrote."""
_LEFT_OUT = "What errors say is left out where it may quote a ticket; the line on the terminal has the beginning of it."


class Terminated(BaseException):
    """The process was told to end, by SIGTERM."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run `triage VERB …` and return the exit status: 0 done, 1 a check failed, 2 an error, 143 ended by SIGTERM.

    A verb is a callable that takes the remaining arguments and returns an exit status. Errors of this project become
    one line on stderr, never a traceback.
    """
    for stream in (sys.stdout, sys.stderr):  # a terminal that knows no `–` shows an escape instead of failing
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    arguments = list(sys.argv[1:] if argv is None else argv)
    verbs = {entry.name: entry for entry in entry_points(group=GROUP)}
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_help(verbs))
        return 0
    if arguments[0] == "--version":
        print(f"triage {version('helpdesk-triage')}")
        return 0
    verb, *rest = arguments
    if verb not in verbs:
        print(
            f"triage: unknown verb {verb!r}: known are {', '.join(sorted(verbs))}; see triage --help", file=sys.stderr
        )
        return 2
    return _run(verbs[verb], rest, import_by=_imported if argv is None else EntryPoint.load)


def _run(entry: EntryPoint, arguments: list[str], import_by: Callable[[EntryPoint], Any]) -> int:
    try:
        with _told_to_end(entry):
            command: Callable[[list[str]], int] = import_by(entry)
            return command(arguments)
    except InvalidDataset as error:
        faults = grouped(error.rows)
        for line in faults[:_FAULTS_SHOWN]:
            print(line, file=sys.stderr)
        if len(faults) > _FAULTS_SHOWN:
            print(f"… and {len(faults) - _FAULTS_SHOWN} more faults", file=sys.stderr)
        return _fail(entry.name, error)
    except TriageError as error:
        return _fail(entry.name, error)
    except BrokenPipeError:  # the reader of our output went away (`| head`): nothing is wrong
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (KeyboardInterrupt, Terminated) as error:
        by, status = ("ended by SIGTERM", _ENDED) if isinstance(error, Terminated) else ("interrupted", 2)
        return _fail(entry.name, f"{by}: what was finished is kept", status=status)
    except Exception as error:  # the last resort: nobody at a command line is helped by a traceback
        return _fail(entry.name, _in_words(error))


@contextmanager
def _told_to_end(entry: EntryPoint) -> Iterator[None]:
    """Let SIGTERM end a verb of training as an interrupt does: its tracked run is closed, and its files are tidied.

    The service has its own way to end.
    """
    is_ours = entry.module.startswith("training.") and threading.current_thread() is threading.main_thread()
    process, before = os.getpid(), signal.getsignal(signal.SIGTERM)
    if not is_ours or before in (None, signal.SIG_IGN):
        yield
        return

    def end(number: int, frame: object) -> None:
        if os.getpid() == process:
            raise Terminated
        signal.signal(number, before)  # a process that was forked off has nothing to close
        os.kill(os.getpid(), number)

    signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _imported(entry: EntryPoint) -> Any:
    """Import the verb that this process is there for, with what it needs exempt from garbage collection for good.

    Nothing that is imported becomes garbage, and looking for some takes a quarter of a start.
    """
    gc.disable()
    try:
        return entry.load()
    finally:
        gc.freeze()
        gc.enable()


def _in_words(error: Exception) -> str:
    """Say in one line what no verb expected."""
    if isinstance(error, ModuleNotFoundError):
        if (error.name or "").partition(".")[0] in _OWN:
            return (
                f"{error.name} is missing, which is a part of this program: it is not installed whole; install it anew"
            )
        return f"{error.name} is not installed: this verb needs the training wing; pip install '.[train]' in a checkout"
    if isinstance(error, OSError) and error.strerror:
        where = f" at {str(error.filename)!r}" if error.filename is not None else ""
        return f"{error.strerror}{where}: the system refused; check disk space, memory and permissions"
    said = " ".join(_said(error).split())[:200]
    return f"{type(error).__name__}: {said}; a fault of this program, not of yours: {_kept(error)}"


def _said(error: BaseException) -> str:
    """Return what an error says, and of one of a database the first line alone: further ones quote the row."""
    return str(error).partition("\n")[0] if _of_database(error) else str(error)


def _kept(error: BaseException) -> str:
    """Keep the traceback where only the user can read it, without what errors quote, and say where."""
    try:
        handle, place = tempfile.mkstemp(prefix="triage-fault-", suffix=".txt")
        with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write("\n\n".join(_described(one) for one in _chain(error)))
            file.write(f"\n\n{_LEFT_OUT}\n")
    except OSError:
        return "say what you did to those who look after it"
    return f"send {place} to those who look after it, it holds the traceback"


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Return an error after all those that it comes from, each once."""
    left, found = [error], list[BaseException]()
    while left:
        one = left.pop()
        if one not in found:
            found.append(one)
            before = one.__cause__ or (None if one.__suppress_context__ else one.__context__)
            left += [*(one.exceptions if isinstance(one, BaseExceptionGroup) else ()), *([before] if before else ())]
    return reversed(found)


def _described(error: BaseException) -> str:
    """Describe an error without a word that it may have from a ticket: its type, its places, and what is no text."""
    kind = f"{type(error).__module__}.{type(error).__qualname__}"
    if type(error) in _WORDLESS:
        kind += f": {error}"
    elif isinstance(error, OSError) and error.strerror:
        kind += f": {error.strerror}"
    places = "".join(traceback.format_tb(error.__traceback__))
    return "\n".join([f"Traceback (most recent call last):\n{places}{kind}", *_of_database(error)])


def _of_database(error: BaseException) -> list[str]:
    """Return what an error of a database says that cannot be of a row: codes, names and the statement."""
    orig = getattr(error, "orig", None) or error
    diagnosis = getattr(orig, "diag", None)
    told = {
        "code": getattr(orig, "sqlstate", None) or getattr(orig, "sqlite_errorname", None),
        "table": getattr(diagnosis, "table_name", None),
        "column": getattr(diagnosis, "column_name", None),
        "constraint": getattr(diagnosis, "constraint_name", None),
        "statement": getattr(error, "statement", None) if orig is not error else None,
    }
    return [f"{name}: {value}" for name, value in told.items() if value]


def _fail(verb: str, error: object, *, status: int = 2) -> int:
    print(f"triage {verb}: {' '.join(str(error).split())}", file=sys.stderr)
    return status


def _help(verbs: dict[str, EntryPoint]) -> str:
    lines = ["usage: triage VERB … (triage VERB --help for each)", ""]
    return "\n".join([*lines, *(f"  {name:<10} {_summary(verbs[name])}" for name in sorted(verbs))])


def _summary(verb: EntryPoint) -> str:
    """Return the first line of a verb's docstring, read from the source: importing all verbs takes two seconds.

    The docstring is that of the function; a verb that is no function, because it has verbs of its own, is described by
    its module.
    """
    try:
        spec = find_spec(verb.module)
    except ModuleNotFoundError as error:
        return f"(not available: {error.name} is not installed)"
    if spec is None or spec.origin is None:
        return f"(not available: {verb.module} is not installed)"
    with open(spec.origin, encoding="utf-8") as file:
        module = ast.parse(file.read())
    functions = (node for node in module.body if isinstance(node, ast.FunctionDef) and node.name == verb.attr)
    return (ast.get_docstring(next(functions, module)) or "").split("\n")[0]


if __name__ == "__main__":
    sys.exit(main())
