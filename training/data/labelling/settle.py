"""Labels of a whole file settled: combinations taken apart, placeholders held back, both told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from itertools import chain, islice
from typing import Any

from training.data.finding import FINE, NOTICE, SERIOUS, SHOWN_PLACES, Finding
from training.data.labelled_ticket import LabelledTicket
from training.data.labelling.cells import above_placeholder
from training.data.labelling.hierarchy import JOINT, SURE_SEPARATORS, levels_of, roll_up, separator_of
from training.data.labelling.several import WAYS, parts_of, said_once, separator_in
from training.data.presets.roles import LEVEL_OF, role_of_target, roles_of_levels
from training.data.reading import ReadOptions
from triage.errors import InvalidRequest
from triage.prediction import in_order

LEAST_ROWS = 10
"""Tickets that a label needs to be learned; `training.data.labels` goes by it as well."""

GROUP = "resolver_group"
"""The target whose label a row has beside those of `labels`, until it is known to be learned."""

_NAMED = 5  # combinations or placeholders in a message: enough to know them


@dataclass(frozen=True)
class Settled:
    """The rows of a file with labels that are labels, and what was noticed."""

    rows: list[LabelledTicket]
    findings: list[Finding]


def settle_labels(
    rows: Sequence[LabelledTicket], roles: Mapping[str, str], options: ReadOptions, where: str
) -> Settled:
    """Settle the labels of a file.

    Args:
        rows: All of its rows.
        roles: Which column plays which role.
        options: What is done with several labels in a cell, and whether placeholders are labels.
        where: The file, for errors.

    Raises:
        InvalidRequest: If cells hold several labels and nothing says what is to be done.
    """
    settled, findings = list(rows), list[Finding]()
    targets = {target for row in rows for target in row.labels}
    if any(row.resolver_group is not None for row in rows):
        targets.add(GROUP)
    shared = _shared_column(targets, roles)
    for target in in_order(targets - ({GROUP} if shared else set())):
        columns = [roles[role] for role in roles_of_levels(target, roles)]
        settled, found = _said_once(settled, target)
        findings += found
        settled, found = _apart(settled, target, options, columns, where=where)
        findings += found
        if not options.keep_placeholders:
            settled, found = _held_back(settled, target, columns)
            findings += found
        findings += _levels(settled, target)
    if shared:
        settled = [_with_group(row, row.labels.get(shared)) for row in settled]
    return Settled(settled, findings)


def _shared_column(targets: Set[str], roles: Mapping[str, str]) -> str | None:
    """Return the target whose column is that of the groups as well, such as a queue; its labels are the groups then."""
    if GROUP not in targets or any(LEVEL_OF.fullmatch(role) for role in roles):
        return None
    same = (target for target in in_order(targets - {GROUP}) if roles[role_of_target(target)] == roles[GROUP])
    return next(same, None)


# ── One label, several times in a cell ───────────────────────────────────────────────────────────────────────────────


def _said_once(rows: list[LabelledTicket], target: str) -> tuple[list[LabelledTicket], list[Finding]]:
    """Take a label that a cell repeats as that label; a path whose levels have the same name stays a path."""
    cells = [None if target in row.several else _label_of(row, target) for row in rows]
    counts = Counter(label for label in cells if label is not None)
    joint = separator_of(counts)
    once = {label: said_once(label) for label in counts if joint is None or len(levels_of(label, joint)) == 1}
    repeated = Counter({label: counts[label] for label, one in once.items() if one != label})
    if not repeated:
        return rows, []
    settled = [
        row if label is None or label not in repeated else _with_label(row, target, once[label])
        for row, label in zip(rows, cells, strict=True)
    ]
    named = ", ".join(repr(label) for label, _ in repeated.most_common(_NAMED))
    what = f"{target}: {repeated.total()} of {len(rows)} cells repeat one label, such as {named}: it is read once"
    holding = [row for row, label in zip(rows, cells, strict=True) if label in repeated]
    return settled, [Finding(f"{target}-repeated-in-cell", FINE, what, rows=len(holding), places=_places(holding))]


def _label_of(row: LabelledTicket, target: str) -> str | None:
    return row.resolver_group if target == GROUP else row.labels.get(target)


def _counts(rows: Iterable[LabelledTicket], target: str) -> Counter[str]:
    return Counter(label for row in rows if (label := _label_of(row, target)) is not None)


def _places(rows: Iterable[LabelledTicket]) -> tuple[str, ...]:
    return tuple(row.place_and_id for row in islice(rows, SHOWN_PLACES))


# ── Several labels in a cell ─────────────────────────────────────────────────────────────────────────────────────────


def _apart(
    rows: list[LabelledTicket], target: str, options: ReadOptions, columns: Sequence[str], *, where: str
) -> tuple[list[LabelledTicket], list[Finding]]:
    """Take cells that hold several labels apart as asked, and those that hold one beside placeholders as that one."""
    known = options.known.get(target, frozenset())
    separator = separator_in(_counts(rows, target), known, None if options.keep_placeholders else columns[0])
    parts = {place: found for place, row in enumerate(rows) if len(found := _parts(row, target, separator, known)) > 1}
    findings: list[Finding] = []
    if not options.keep_placeholders:
        kept = {place for place in parts if options.multi == "keep" and target not in rows[place].several}
        real = _less_placeholders({place: parts[place] for place in parts.keys() - kept}, columns, known)
        findings = _told_beside(rows, target, parts, real)
        rows = [_with_label(row, target, *real[n]) if len(real.get(n, ())) == 1 else row for n, row in enumerate(rows)]
        parts = {place: labels for place, found in parts.items() if len(labels := real.get(place, found)) > 1}
    if not parts:
        return rows, findings
    how = f"separated by {separator!r}" if separator is not None else "as a list"
    named = [" + ".join(labels) for labels, _ in Counter(parts.values()).most_common(_NAMED)]
    what = f"{target}: {len(parts)} of {len(rows)} cells hold several labels, {how}, such as {', '.join(named)}"
    route = target in ("tier", "category")
    if options.multi is None and not options.examine and route:
        raise InvalidRequest(f"{where}, column {columns[0]!r}: {what}; say --multi {'|'.join(WAYS)}")
    way = options.multi or ("drop" if route else "first")
    do = {
        "first": "only the first of each is taken" + (", as asked" if options.multi else ""),
        "drop": "none of them is taken" + (", as asked" if options.multi else f"; train with --multi {'|'.join(WAYS)}"),
        "split": "each of them has a row of its own, as asked",
        "keep": "each is one label as it stands (of a list the first is taken), as asked",
    }[way]
    places = _places(rows[place] for place in parts)
    finding = Finding(
        f"{target}-several-labels",
        SERIOUS if options.multi is None and route else NOTICE,
        what,
        do,
        rows=len(parts),
        places=places,
    )  # fmt: skip
    taken = [one for place, row in enumerate(rows) for one in _TAKE[way](row, target, parts.get(place))]
    return taken, [*findings, finding]


def _less_placeholders(
    parts: Mapping[int, tuple[str, ...]], columns: Sequence[str], known: Set[str]
) -> dict[int, tuple[str, ...]]:
    """Return the labels in cells less those that only fill a place; of a cell that has no others the first one."""
    left = _left_of(Counter(chain.from_iterable(parts.values())), columns)
    return {
        place: tuple(label for label in labels if left[label] or label in known) or labels[:1]
        for place, labels in parts.items()
    }


def _told_beside(
    rows: Sequence[LabelledTicket],
    target: str,
    parts: Mapping[int, tuple[str, ...]],
    real: Mapping[int, tuple[str, ...]],
) -> list[Finding]:
    """Tell which cells hold placeholders beside other labels, or several placeholders."""
    less = {place: parts[place] for place, labels in sorted(real.items()) if labels != parts[place]}
    if not less:
        return []
    named = ", ".join(repr(" + ".join(labels)) for labels, _ in Counter(less.values()).most_common(_NAMED))
    what = f"{target}: {len(less)} of {len(rows)} cells hold placeholders among several labels, such as {named}"
    do = "only what is no placeholder counts there; --keep-placeholders makes them labels"
    places = _places(rows[place] for place in less)
    return [Finding(f"{target}-placeholders-among-labels", NOTICE, what, do, rows=len(less), places=places)]


def _parts(row: LabelledTicket, target: str, separator: str | None, known: Set[str]) -> tuple[str, ...]:
    """Return the labels in a cell; a label that the policy lists is one, whatever stands in it."""
    label = _label_of(row, target) or ""
    if target in row.several:
        return row.several[target]
    return parts_of(label, separator) if separator is not None and label not in known else (label,)


def _first(row: LabelledTicket, target: str, parts: tuple[str, ...] | None) -> Iterator[LabelledTicket]:
    yield row if parts is None else _with_label(row, target, parts[0])


def _drop(row: LabelledTicket, target: str, parts: tuple[str, ...] | None) -> Iterator[LabelledTicket]:
    yield row if parts is None else _without_label(row, target)


def _split(row: LabelledTicket, target: str, parts: tuple[str, ...] | None) -> Iterator[LabelledTicket]:
    if parts is None:
        yield row
    else:
        yield from (_with_label(row, target, part) for part in parts)


def _keep(row: LabelledTicket, target: str, parts: tuple[str, ...] | None) -> Iterator[LabelledTicket]:
    return _first(row, target, parts if target in row.several else None)


_Take = Callable[[LabelledTicket, str, tuple[str, ...] | None], Iterator[LabelledTicket]]
_TAKE: Mapping[str, _Take] = {"first": _first, "drop": _drop, "split": _split, "keep": _keep}


def _with_label(row: LabelledTicket, target: str, label: str) -> LabelledTicket:
    several = {name: one for name, one in row.several.items() if name != target}
    if target == GROUP:
        return replace(row, resolver_group=label.strip(), several=several)
    changed: dict[str, Any] = {
        "labels": {**row.labels, target: label.strip()},
        "written": {**row.written, target: label},
    }
    return replace(row, **changed, several=several)


def _without_label(row: LabelledTicket, target: str) -> LabelledTicket:
    kept: dict[str, Any] = {
        name: {key: value for key, value in getattr(row, name).items() if key != target}
        for name in ("labels", "written", "several")
    }
    group = None if target == GROUP else row.resolver_group
    held_back = {**row.held_back, target: _label_of(row, target) or ""}
    return replace(row, **kept, resolver_group=group, held_back=held_back)


def _with_group(row: LabelledTicket, group: str | None) -> LabelledTicket:
    several = {name: one for name, one in row.several.items() if name != GROUP}
    held_back = row.held_back if group or row.resolver_group is None else {**row.held_back, GROUP: row.resolver_group}
    return replace(row, resolver_group=group, several=several, held_back=held_back)


# ── Placeholders ─────────────────────────────────────────────────────────────────────────────────────────────────────


def _held_back(
    rows: list[LabelledTicket], target: str, columns: Sequence[str]
) -> tuple[list[LabelledTicket], list[Finding]]:
    """Hold placeholders back: of a path the levels from the first one on, and the whole where that is the top."""
    counts = _counts(rows, target)
    left = _left_of(counts, columns)
    changed = Counter({label: count for label, count in counts.items() if left[label] != label})
    if not changed:
        return rows, []
    holding = [row for row in rows if _label_of(row, target) in changed]
    named = ", ".join(f"{label!r} ({count})" for label, count in changed.most_common(_NAMED))
    what = f"{target}: {len(holding)} of {len(rows)} cells hold what is no label: {named}"
    above = sum(count for label, count in changed.items() if left[label])
    what += f"; {above} of them are learned as the level above" if above else ""
    do = "nothing is learned from them; --keep-placeholders, or a policy that lists them, makes them labels"
    finding = Finding(f"{target}-placeholders", NOTICE, what, do, rows=len(holding),
                      places=_places(holding))  # fmt: skip
    return [_down_to(row, target, left.get(_label_of(row, target) or "")) for row in rows], [finding]


def _left_of(counts: Mapping[str, int], columns: Sequence[str]) -> dict[str, str]:
    """Return what is left of each label above its first placeholder: nothing where that is the top."""
    joint = JOINT.strip() if len(columns) > 1 else separator_of(counts)
    return {
        label: above_placeholder(label, joint or next((one for one in SURE_SEPARATORS if one in label), JOINT), columns)
        for label in counts
    }


def _down_to(row: LabelledTicket, target: str, label: str | None) -> LabelledTicket:
    """Return a row with the level of its label that is one, and what stood there held back; as it is without any."""
    written = _label_of(row, target)
    if label is None or label == written:
        return row
    held_back = _without_label(row, target)
    return _with_label(held_back, target, label) if label else held_back


# ── Levels ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def _levels(rows: Sequence[LabelledTicket], target: str) -> Iterator[Finding]:
    """Tell how labels that are paths are learned."""
    counts = _counts(rows, target)
    found = roll_up(counts, LEAST_ROWS)
    if found is None:
        return
    written, learned = (
        ", ".join(f"{count} at level {level}" for level, count in levels.items()) for levels in found.levels
    )
    what = (
        f"{target} is a hierarchy ({found.separator.strip()!r} between levels): as written {len(counts)} labels "
        f"({written}); with --policy learn {len(set(found.learned.values()))} are learned ({learned}), "
        f"{found.rolled_up} rolled up for having fewer than {LEAST_ROWS} tickets"
    )
    yield Finding(f"{target}-hierarchy", FINE if not found.rolled_up else NOTICE, what,
                  "look at accuracy by level: rolled-up labels are less exact" if found.rolled_up else "")  # fmt: skip
