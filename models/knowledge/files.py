"""Files of the folder of knowledge: written for their owner alone, and read only where they are what they should be."""

from __future__ import annotations

import errno
import math
import re
from collections.abc import Callable, Iterable
from dataclasses import fields
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from models.atomic_write import atomic, unwritable
from triage.errors import InvalidRequest
from triage.files.regular_file import read_regular_file
from triage.knowledge import Dismissal, Entry, Proposal, Report, parse_entry

MOST_BYTES = 1 << 20
"""Largest file that is read: an entry is some pages."""
PLACE = "TRIAGE_HOME"
"""What says where the folder is."""
_ID = re.compile(r"k-[0-9a-f]{4,40}")
_VERSION = re.compile(r"([1-9][0-9]{0,5})\.md")
_PROPOSAL = TypeAdapter(Proposal)
_ENTRY = TypeAdapter(Entry)
_DISMISSAL = TypeAdapter(Dismissal)
_REPORT = TypeAdapter(Report)
_T = TypeVar("_T")


def is_id(name: str) -> bool:
    """Say whether a name is an id of proposals and entries, and so no path."""
    return _ID.fullmatch(name) is not None


def version_of(path: Path) -> int | None:
    """Return the version that a file's name says; None where it says none.

    Example:
        >>> version_of(Path("12.md")), version_of(Path("01.md"))
        (12, None)
    """
    found = _VERSION.fullmatch(path.name)
    return int(found[1]) if found else None


def write_private(root: Path, path: Path, text: str, *, new: bool = False) -> bool:
    """Write a file below the folder of knowledge as the store is written: its owner alone may read it.

    Args:
        root: The folder. What everybody may read, as earlier versions made it, is closed.
        path: The file.
        text: What stands in it then.
        new: Leave a file alone that is there already.

    Returns:
        Whether it was written.

    Raises:
        InvalidRequest: If it cannot be written.
    """
    try:
        root.parent.mkdir(parents=True, exist_ok=True)
        for folder in (root, *reversed([one for one in path.parents if root in one.parents])):
            folder.mkdir(mode=0o700, exist_ok=True)
            if folder.stat().st_mode & 0o007:
                folder.chmod(0o700)
        with atomic(path, mode=0o600, new=new) as draft:
            draft.write_text(text, "utf-8")
    except OSError as error:
        if new and isinstance(error, FileExistsError) and path.exists():
            return False
        raise unwritable(path, error, PLACE) from error
    return True


def read_proposal(path: Path) -> Proposal:
    """Read a proposal.

    Raises:
        InvalidRequest: Naming what is wrong with it.
    """
    where, remedy = f"proposals/{path.name}", "run triage knowledge propose again"
    text = read_text(path, where)
    found = _made(lambda: _PROPOSAL.validate_json(text), where, remedy)
    _check_figures((found.bar, found.precision, found.recall, found.per_month, found.saved_min), where, remedy)
    _check_figures(found.words.values(), where, remedy)
    _check_name(found.id, path.stem, where)
    return found


def read_dismissal(path: Path) -> Dismissal:
    """Read who decided against a proposal.

    Raises:
        InvalidRequest: Naming what is wrong with it.
    """
    where = f"{path.parent.name}/{path.name}"
    text = read_text(path, where)
    found = _made(lambda: _DISMISSAL.validate_json(text), where, "remove it")
    _check_name(found.id, path.stem if is_id(path.stem) else path.parent.name, where)
    return found


def read_report(path: Path) -> Report:
    """Read what entries did.

    Raises:
        InvalidRequest: Naming what is wrong with it.
    """
    text, remedy = read_text(path, path.name), "run triage knowledge report"
    found = _made(lambda: _REPORT.validate_json(text), path.name, remedy)
    for one in found.entries:
        figures = (one.low_before, one.low_after, one.stayed_low, one.low, one.high, one.saved_min)
        _check_figures(figures, path.name, remedy)
    return found


def read_version(path: Path) -> Entry:
    """Read a version of an entry.

    Raises:
        InvalidRequest: Naming what is wrong with it.
    """
    where, remedy = f"{path.parent.name}/{path.name}", "mend its head"
    stated = parse_entry(read_text(path, where), where)
    values = {one.name: getattr(stated, one.name) for one in fields(stated)}
    found = _made(lambda: _ENTRY.validate_python(values), where, remedy)
    _check_figures((found.bar, found.saved_min, *found.words.values()), where, remedy)
    _check_name(found.id, path.parent.name, where)
    if found.version != version_of(path):
        raise InvalidRequest(f"{where} says that it is version {found.version}; {remedy}")
    try:
        datetime.fromisoformat(found.accepted_at)
    except ValueError:
        raise InvalidRequest(f"{where} says no moment as accepted_at: {found.accepted_at!r}; {remedy}") from None
    return found


def names_one_of(path: Path, ticket_ids: frozenset[str], read: Callable[[Path], Proposal | Entry]) -> bool:
    """Say whether a file is made of one of these tickets; one that cannot be read is where an id stands in it.

    Raises:
        InvalidRequest: If the bytes of the file cannot be read.
    """
    try:
        return not ticket_ids.isdisjoint(read(path).tickets)
    except InvalidRequest:
        text = read_text(path, f"{path.parent.name}/{path.name}", errors="replace")
        return any(one in text for one in ticket_ids)


def read_text(path: Path, where: str, errors: str = "strict") -> str:
    """Return a file's text.

    Args:
        path: A plain file, no link.
        where: What people call it.
        errors: What becomes of bytes that are no UTF-8.

    Raises:
        InvalidRequest: If it cannot be read.
    """
    try:
        return read_regular_file(path, MOST_BYTES).decode("utf-8-sig", errors)
    except OSError as error:
        why = "it is a link" if error.errno == errno.ELOOP else error.strerror or str(error)
        raise InvalidRequest(f"{where} cannot be read: {why}; mend or remove it") from error
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"{where} cannot be read: it is no UTF-8 text; mend or remove it") from error


def _check_figures(figures: Iterable[float], where: str, remedy: str) -> None:
    if not all(map(math.isfinite, figures)):
        raise InvalidRequest(f"{where} cannot be read: a figure in it is no number; {remedy}")


def _check_name(stated: str, name: str, where: str) -> None:
    if stated != name or not is_id(name):
        raise InvalidRequest(f"{where} says that its id is {stated!r}; name it so, or remove it where it is a copy")


def _made(make: Callable[[], _T], where: str, remedy: str) -> _T:
    """Return what a file holds, with everything of its kind in it.

    Raises:
        InvalidRequest: Naming the first thing that is wrong with it.
    """
    try:
        return make()
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise InvalidRequest(f"{where} cannot be read: {place and f'{place}: '}{first['msg']}; {remedy}") from error
