"""The errors of this project: every one says what happened, on what evidence, and what to do.

The tree:

    TriageError
    ├── InvalidTicket        a ticket breaks its own rules
    ├── InvalidPolicy        the policy file contradicts itself
    ├── InvalidRules         a rule cannot be read or compiled
    ├── UnknownLabel         labels that the policy does not list
    ├── InvalidDataset       a data set cannot be read; carries every bad row
    ├── InvalidRequest       a command or a setting asks for what cannot be done
    ├── EncoderUnavailable   an encoder cannot be found, loaded or exported
    ├── TrackingUnavailable  the experiment tracker or its registry does not answer
    ├── StoreUnavailable     the service's store cannot take or give a row now
    └── BundleError
        ├── BundleNotFound   no bundle at that path
        ├── BundleTampered   a file is not what the manifest lists
        └── BundleMismatch   the bundle was made for another code, policy or encoder

Messages read *what: evidence; what to do*, in lower case and without a full stop. They never hold ticket text.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

TOML_FAULTS = (ValueError, RecursionError)
"""What reading TOML fails with: its own error is a `ValueError`, as is that of too many digits."""

_UNREADABLE = {
    FileNotFoundError: "nothing is there",
    NotADirectoryError: "nothing is there",
    IsADirectoryError: "it is a folder",
    PermissionError: "this user may not read it",
}


class TriageError(Exception):
    """Base of every error that this project raises on purpose."""


class InvalidTicket(TriageError):
    """A ticket breaks its own rules.

    Attributes:
        field: Name of the offending field.
        code: Machine-readable kind of the fault, such as ``nul`` or ``surrogate``.
    """

    def __init__(self, field: str, code: str, message: str) -> None:
        super().__init__(message)
        self.field = field
        self.code = code


class InvalidPolicy(TriageError):
    """The policy file cannot be read or contradicts itself."""


class InvalidRules(TriageError):
    """A rule file cannot be read, or one of its rules does not compile."""


class UnknownLabel(TriageError):
    """Labels of one target that the policy does not list.

    Attributes:
        target: Name of the target, such as ``tier``.
        labels: The unknown labels, sorted.
    """

    def __init__(self, target: str, labels: Iterable[str], known: Iterable[str]) -> None:
        self.target = target
        self.labels = tuple(sorted(set(labels)))
        super().__init__(
            f"unknown {target} {', '.join(map(repr, self.labels))}: the policy lists "
            f"{', '.join(sorted(known)) or 'none'}; add them to the policy or map them under [aliases.{target}]"
        )


@dataclass(frozen=True)
class BadRow:
    """One unusable row of a data file: where it stands, why it cannot be used, and its ticket's id if it has one."""

    file: str
    line: int
    reason: str
    ticket_id: str = ""

    def __str__(self) -> str:
        return f"{self.file}:{self.line}{f' ({self.ticket_id})' if self.ticket_id else ''}: {self.reason}"


def grouped(rows: Iterable[BadRow]) -> list[str]:
    """Say what is wrong with rows: equal faults are one line, with a count and the first places.

    Example:
        >>> grouped([BadRow("a.csv", 2, "no text", "T-1"), BadRow("a.csv", 5, "no text", "T-4")])
        ['2 rows: no text (a.csv:2 T-1, a.csv:5 T-4)']
    """
    by_reason: dict[str, list[BadRow]] = {}
    for row in rows:
        by_reason.setdefault(row.reason, []).append(row)
    return [str(found[0]) if len(found) == 1 else _several(reason, found) for reason, found in by_reason.items()]


def _several(reason: str, rows: Sequence[BadRow]) -> str:
    places = ", ".join(f"{row.file}:{row.line}{f' {row.ticket_id}' if row.ticket_id else ''}" for row in rows[:5])
    return f"{len(rows)} rows: {reason} ({places}{', …' if len(rows) > 5 else ''})"


class InvalidDataset(TriageError):
    """A data set cannot be read or learned from.

    Attributes:
        rows: Every bad row, in file order; empty where the file as a whole is at fault.
    """

    def __init__(self, message: str, rows: Sequence[BadRow] = ()) -> None:
        super().__init__(message)
        self.rows = tuple(rows)


class InvalidRequest(TriageError):
    """A command, an argument or a setting asks for something that cannot be done."""


class EncoderUnavailable(TriageError):
    """An encoder cannot be found, loaded or exported."""


class TrackingUnavailable(TriageError):
    """The experiment tracker or its model registry does not answer, or does not take what it is given."""


class StoreUnavailable(TriageError):
    """The service's store cannot take or give a row at the moment.

    Attributes:
        code: ``locked``, ``full`` or ``unreachable``.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class BundleError(TriageError):
    """A bundle cannot be used."""


class BundleNotFound(BundleError):
    """There is no bundle at that path."""


class AliasUnreadable(BundleError):
    """The file that says which bundle an alias points to is damaged."""


class BundleTampered(BundleError):
    """A file of the bundle is missing, added, or differs from what the manifest lists."""


class BundleMismatch(BundleError):
    """The bundle was made for another format, policy or encoder than this code supports."""


def why_unreadable(error: Exception) -> str:
    """Say in words why a file could not be read.

    Args:
        error: Of the system that reads it, or one of `TOML_FAULTS`.

    Example:
        >>> why_unreadable(FileNotFoundError(2, "No such file or directory", "policy.toml"))
        'nothing is there'
        >>> why_unreadable(RecursionError("maximum recursion depth exceeded"))
        'its brackets are nested too deeply'
    """
    if isinstance(error, UnicodeDecodeError):
        return "it is no UTF-8 text"
    if isinstance(error, RecursionError):
        return "its brackets are nested too deeply"
    if isinstance(error, ValueError) and not isinstance(error, tomllib.TOMLDecodeError):
        return "a number in it has thousands of digits"
    if not isinstance(error, OSError):
        return str(error)
    known = next((said for kind, said in _UNREADABLE.items() if isinstance(error, kind)), None)
    return known or error.strerror or str(error)
