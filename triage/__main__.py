"""The `triage` command: a dispatcher over the entry-point group `triage.commands`."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import EntryPoint, entry_points, version

from triage.errors import InvalidDataset, TriageError

GROUP = "triage.commands"
_BAD_ROWS_SHOWN = 200


def main(argv: Sequence[str] | None = None) -> int:
    """Run `triage VERB …` and return the exit status: 0 done, 1 a check failed, 2 an error.

    A verb is a function that takes the remaining arguments and returns an exit status; the first line of its docstring
    is its help. Errors of this project become one line on stderr, never a traceback.
    """
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
    return _run(verbs[verb], rest)


def _run(entry: EntryPoint, arguments: list[str]) -> int:
    try:
        command: Callable[[list[str]], int] = entry.load()
        return command(arguments)
    except InvalidDataset as error:
        for row in error.rows[:_BAD_ROWS_SHOWN]:
            print(row, file=sys.stderr)
        if len(error.rows) > _BAD_ROWS_SHOWN:
            print(f"… and {len(error.rows) - _BAD_ROWS_SHOWN} more bad rows", file=sys.stderr)
        return _fail(entry.name, error)
    except TriageError as error:
        return _fail(entry.name, error)
    except ModuleNotFoundError as error:
        missing = (
            f"{error.name} is not installed: this verb needs the training wing; pip install 'helpdesk-triage[train]'"
        )
        return _fail(entry.name, missing)
    except KeyboardInterrupt:
        return _fail(entry.name, "interrupted: what was finished is kept")
    except BrokenPipeError:  # the reader of our output went away (`| head`): nothing is wrong
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _fail(verb: str, error: object) -> int:
    print(f"triage {verb}: {' '.join(str(error).split())}", file=sys.stderr)
    return 2


def _help(verbs: dict[str, EntryPoint]) -> str:
    lines = ["usage: triage VERB … (triage VERB --help for each)", ""]
    for name in sorted(verbs):
        try:
            summary = (verbs[name].load().__doc__ or "").strip().split("\n")[0]
        except ModuleNotFoundError as error:
            summary = f"(not available: {error.name} is not installed)"
        lines.append(f"  {name:<10} {summary}")
    return "\n".join(lines)


def print_json(document: object) -> None:
    """Print one strict JSON document on stdout."""
    print(json.dumps(document, ensure_ascii=False, allow_nan=False, indent=2))


if __name__ == "__main__":
    sys.exit(main())
