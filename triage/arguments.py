"""Command lines: an argument parser whose errors are one line, shared by the verbs of all wings."""

from __future__ import annotations

import argparse
from typing import Any, NoReturn


class Parser(argparse.ArgumentParser):
    """An argument parser that refuses in one line, with exit status 2, and takes no abbreviated options.

    Example:
        >>> Parser(prog="triage x").parse_args([])
        Namespace()
    """

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        keywords.setdefault("allow_abbrev", False)
        super().__init__(*arguments, **keywords)

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse arguments; files and options may come in any order where there are no sub-commands."""
        asks_for_help = args is not None and not {"-h", "--help"}.isdisjoint(args)
        if self._subparsers is None and not asks_for_help:
            return self.parse_intermixed_args(args, namespace)
        return super().parse_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        """Say what is wrong in one line and leave with status 2."""
        self.exit(2, f"{self.prog}: {' '.join(message.split())}; see {self.prog} --help\n")
