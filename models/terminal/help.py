"""What `--help` prints: usage, what a verb does, examples, and its options in groups."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Iterable, Mapping

from rich.console import Console
from rich.text import Text

from models.terminal.options import Field

_WIDEST = 110  # wider lines are hard to read
_WIDEST_NAME = 26  # what a name means stands below a longer one, not far to the right of all others
_ARGUMENTS, _OPTIONS = "arguments", "options"
_HELP = ("-h, --help", "show this help")


def print_help(path: str, docstring: str, fields: Iterable[Field]) -> None:
    """Print the help of one verb.

    Args:
        path: The words that call it, such as ``triage train``.
        docstring: What it does, with a section ``Examples:``.
        fields: Its options and arguments.
    """
    groups: dict[str, list[tuple[str, str]]] = {_ARGUMENTS: []}
    usage = [path, "[OPTIONS]"]
    for field in fields:
        group = str(field.info.rich_help_panel or _OPTIONS) if field.names else _ARGUMENTS
        groups.setdefault(group, []).append((", ".join(field.names) + field.value, _meaning(field)))
        if not field.names or field.needed:
            usage.append(" ".join(field.names[:1]) + field.value)
    rest = groups.pop(_OPTIONS, [])
    _print(" ".join(usage), docstring, {**groups, _OPTIONS: [*rest, _HELP]})


def print_family_help(path: str, docstring: str, verbs: Mapping[str, str]) -> None:
    """Print the help of a family of verbs.

    Args:
        path: The words that call it, such as ``triage keys``.
        docstring: What it is about, with a section ``Examples:``.
        verbs: The docstring of each of its verbs.
    """
    rows = [(name, _sections(text)[0][0]) for name, text in verbs.items()]
    usage = f"{path} {'|'.join(verbs)} [OPTIONS]"
    _print(usage, docstring, {f"verbs ({path} VERB --help for each)": rows, _OPTIONS: [_HELP]})


def _print(usage: str, docstring: str, groups: Mapping[str, list[tuple[str, str]]]) -> None:
    console = Console(highlight=False, markup=False, emoji=False, soft_wrap=True)
    width = min(console.width, _WIDEST)
    paragraphs, examples = _sections(docstring)
    console.print(textwrap.fill(f"usage: {usage}", width, subsequent_indent=" " * 7) + "\n")
    for paragraph in paragraphs:
        console.print(textwrap.fill(paragraph, width, break_on_hyphens=False) + "\n")
    if examples:
        groups = {"examples": [], **groups}
    named = [name for rows in groups.values() for name, _ in rows]
    column = 4 + max(len(name) for name in named if len(name) <= _WIDEST_NAME)
    for group, rows in groups.items():
        if rows or group == "examples":
            console.print(Text(f"{group}:", "bold"))
            lines = [_row(name, meaning, column, width) for name, meaning in rows] or [textwrap.indent(examples, "  ")]
            console.print("\n".join(lines) + "\n")


def _row(name: str, meaning: str, column: int, width: int) -> str:
    """Return a name and what it means, side by side where the name is short enough."""
    margin = " " * column
    text = textwrap.fill(meaning, width, initial_indent=margin, subsequent_indent=margin, break_on_hyphens=False)
    return f"  {name:<{column - 2}}{text.lstrip()}" if len(name) <= column - 4 else f"  {name}\n{text}"


def _meaning(field: Field) -> str:
    """Return the help of a field, with its default where that says something."""
    text = field.info.help or ""
    says_nothing = field.default in (None, "", []) or isinstance(field.default, bool)
    return text if field.needed or says_nothing else f"{text} (default: {field.default})"


def _sections(docstring: str) -> tuple[list[str], str]:
    """Return the paragraphs of a docstring, each on one line, and its examples."""
    text, _, examples = inspect.cleandoc(docstring).partition("\nExamples:\n")
    return [" ".join(paragraph.split()) for paragraph in text.split("\n\n")], textwrap.dedent(examples).rstrip()
