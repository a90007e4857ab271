"""Mappings kept in files (TOML), so that next month's export is read like this month's."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import tomli_w

from models.atomic_write import write_text
from training.data.columns import check_roles
from training.data.dates import ORDERS
from training.data.labelling.several import WAYS
from training.data.reading import FileOptions, OpenFile, ReadOptions, check_choice
from triage.errors import TOML_FAULTS, InvalidRequest, why_unreadable

_KEYS = {
    "from": "preset",
    "encoding": "encoding",
    "date_order": "date_order",
    "date_order_before": "date_order_before",
}
_KEPT = "keep_placeholders"
SAVE_MAPPING = "--save-mapping"
"""The option that says where a mapping is kept."""
_HEAD = (
    "# How these exports are read: triage train DATA --mapping FILE\n"
    '# A role without a column ("") is switched off; [files."NAME"], or "FOLDER/NAME", says how one is read.\n'
)


def read_mapping(path: Path) -> ReadOptions:
    """Read a mapping file.

    Raises:
        InvalidRequest: If it is absent, no TOML, or says what cannot be.
    """
    try:
        document = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise InvalidRequest(f"--mapping {str(path)!r} cannot be read: {why_unreadable(error)}; name a file that "
                             "--save-mapping wrote") from error  # fmt: skip
    except TOML_FAULTS as error:
        why = why_unreadable(error)
        raise InvalidRequest(f"--mapping {str(path)!r} is no TOML: {why}; mend it, or save it anew") from error
    files = document.pop("files", {})
    keep_placeholders = document.pop(_KEPT, False)
    if not isinstance(keep_placeholders, bool):
        raise InvalidRequest(f"{path}: {_KEPT} is neither true nor false: write one of them")
    multi = document.pop("multi", None)
    if multi is not None and not isinstance(multi, str):
        raise InvalidRequest(f"{path}: multi is no text: write one of {', '.join(WAYS)}")
    multi = check_choice(f"{path}: multi", multi, WAYS)
    if not isinstance(files, dict) or not all(isinstance(table, dict) for table in files.values()):
        raise InvalidRequest(f'{path}: files is no table: write [files."NAME"]')
    general = _file_options(document, str(path))
    own = {name: _file_options(dict(table), f"{path}: {name}") for name, table in files.items()}
    return ReadOptions(**vars(general), multi=multi, keep_placeholders=keep_placeholders, files=own)


def _file_options(table: dict[str, Any], where: str) -> FileOptions:
    roles = table.pop("roles", {})
    if not isinstance(roles, dict):
        raise InvalidRequest(f"{where}: roles is no table: known are the tables roles and files, and texts beside them")
    unknown = sorted(set(table) - _KEYS.keys())
    wrong = [name for name, value in {**table, **roles}.items() if not isinstance(value, str)]
    if unknown or wrong:
        raise InvalidRequest(
            f"{where} has {', '.join(map(repr, unknown or wrong))}: known are {', '.join(_KEYS)}, multi and the table "
            f"roles, all of them texts, and {_KEPT} for all files, which is true or false"
        )
    mapping = {role: column or None for role, column in roles.items()}
    check_roles(mapping)
    for key in ("date_order", "date_order_before"):
        check_choice(f"{where}: {key}", table.get(key), ORDERS)
    return FileOptions(**{_KEYS[key]: value for key, value in table.items()}, roles=mapping)


def save_mapping(path: Path, opened: Sequence[OpenFile], options: ReadOptions) -> None:
    """Write how files were read, so that `read_mapping` reads files with the same columns alike.

    One file, or the first of several, says what holds for all; the others say what is different for them.

    Raises:
        InvalidRequest: If the file cannot be written.
    """
    first, *others = [_table(one, options) for one in opened]
    for_all = {"multi": options.multi, _KEPT: options.keep_placeholders}
    document: dict[str, Any] = {**{key: value for key, value in for_all.items() if value}, **first}
    paths = [one.source.path for one in opened]
    files = {
        _told_apart(one.source.path, paths): table
        for one, table in zip(opened[1:], others, strict=True)
        if table != first
    }
    if files:
        document["files"] = files
    write_text(path, _HEAD + tomli_w.dumps(document), place=SAVE_MAPPING)


def _told_apart(path: Path, others: Sequence[Path]) -> str:
    """Name a file by as much of the end of its path as tells it from the others."""
    parts = path.absolute().parts
    rest = {one.absolute().parts for one in others} - {parts}
    ends = (parts[-count:] for count in range(1, len(parts) + 1))
    return "/".join(next((end for end in ends if all(one[-len(end) :] != end for one in rest)), parts))


def _table(opened: OpenFile, options: ReadOptions) -> dict[str, Any]:
    own = options.for_file(opened.source.path)
    order = opened.dates.order if opened.dates is not None and own.date_order is None else None
    found = {
        "from": opened.guess.preset.name if opened.guess else None,
        "encoding": own.encoding,
        "date_order": own.date_order,
        "date_order_before": order or own.date_order_before,
    }
    by_preset = opened.guess.roles.items() if opened.guess else ()
    off = {*(role for role, column in by_preset if column is None), *opened.switched_off}
    roles = {**dict.fromkeys(sorted(off), ""), **opened.roles}
    repeated = {role for role, column in opened.roles.items() if column in opened.source.repeated}  # the preset's own
    return {
        **{key: value for key, value in found.items() if value is not None},
        "roles": {role: column for role, column in roles.items() if role not in repeated},
    }


def with_command_line(saved: ReadOptions | None, stated: ReadOptions) -> ReadOptions:
    """Let what the command line states go before what a mapping file says."""
    if saved is None:
        return stated
    said: Mapping[str, Any] = {
        name: getattr(stated, name) for name in ("preset", "encoding", "date_order") if getattr(stated, name)
    }
    files = {name: replace(own, **said) for name, own in saved.files.items()}
    kept = replace(saved, **said, multi=stated.multi or saved.multi, files=files)
    keeps = stated.keep_placeholders or saved.keep_placeholders
    return replace(kept, keep_placeholders=keeps, examine=stated.examine)
