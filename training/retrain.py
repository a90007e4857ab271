"""Training again: history, new export and what people said as one data set, under the champion's settings."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, groupby, pairwise
from pathlib import Path
from typing import Any, NamedTuple

from models.bundle.bundle import load_bundle
from models.bundle.manifest import read_manifest
from training.data.dataset import Dataset, LabelledTicket, dataset_digest, targets_in
from training.encoders.onnx_export import DEFAULT_ENCODER
from training.stages import STARTED, stage_of
from training.task import LEARN, TrainSettings
from triage.errors import BundleError, BundleNotFound, InvalidDataset


@dataclass(frozen=True)
class Gathered:
    """What a training learns from.

    Attributes:
        dataset: All tickets, each as one file has it.
        repeated: Rows that stand in a later file again, or twice in one.
        confirmed: Tickets of the files whose labels are those that people said in the service.
        added: Tickets that only the service had.
    """

    dataset: Dataset
    repeated: int
    confirmed: int
    added: int


def gather(exports: Dataset | None, feedback: Dataset | None) -> Gathered:
    """Join exported tickets with what people said of tickets in the service.

    A ticket that stands in several exports counts once, as the last of them has it. A ticket that people judged in the
    service keeps its text as it was when it was filed, which is what a model will see, and the labels that people
    named; labels that nobody spoke about stay those of the export. It counts as judged: nothing is measured on it.
    Which of the exported tickets it is, its id and its helpdesk say, or its id and its text: several helpdesks may have
    given the same id.

    Args:
        exports: What was read of files, history first; None where there are none.
        feedback: What `triage feedback export` wrote, oldest first; None where nobody has said anything.

    Raises:
        InvalidDataset: If there is no ticket at all.
    """
    key_of = _keys(exports.rows if exports else ())
    rows = _of_all_files(exports.rows if exports else (), key_of)
    repeated = (len(exports) if exports else 0) - sum(map(len, rows.values()))
    keys: dict[str, list[_Key]] = {}
    for key, tickets in rows.items():
        keys.setdefault(_name(tickets[0]), []).append(key)
    said = _filed(feedback.rows if feedback else ())
    joined = set[_Key]()
    confirmed = 0
    for row in said:
        known = _counterpart(row, keys, rows)
        if known in joined:  # it is that of another helpdesk
            known = None
        confirmed += known is not None
        if known is None:
            rows[_Key(f"said {row.desk or ''}", row.ticket.id, row.ticket.text)] = [row]
        else:  # of equal texts without an id one is what people spoke of; the rows of an id are one ticket
            joined |= {known} if known.id else set()
            others = [] if known.id else rows[known][:-1]
            rows[known] = [*others, _joined(row, rows[known][-1])]
    if not rows:
        raise InvalidDataset("there is nothing to train on: name an export, or let people judge tickets in the service")
    kept, base = list(chain.from_iterable(rows.values())), exports or feedback
    assert base is not None
    dataset = replace(
        base,
        rows=kept,
        targets=targets_in(kept),
        digest=dataset_digest(kept),
        files=(*(exports.files if exports else ()), *(feedback.files if feedback else ())),
    )
    return Gathered(dataset, repeated, confirmed, len(said) - confirmed)


class _Key(NamedTuple):
    """What tells tickets apart: their id, else the text; and the group or desk, where each numbers its own tickets."""

    group: str
    id: str
    text: str


def _keys(rows: Sequence[LabelledTicket]) -> Callable[[LabelledTicket], _Key]:
    """Return what gives the key of a row.

    Whether each group numbers its own tickets is told by the ids that stand under several groups: of most of them the
    groups have different texts then. Else a ticket has moved from one group to another. A row without a group is of the
    only group that has its id, or of the one that has its text too. Where rows have no group, desks are told apart so.
    """
    texts: dict[str, dict[str, set[str]]] = {}
    for row in rows:
        group = _group(row)
        if group is not None:
            texts.setdefault(_name(row), {}).setdefault(group, set()).add(row.ticket.text)
    ids = {_name(row) for row in rows if row.ticket.id}
    several = [list(of_id.values()) for name, of_id in texts.items() if name in ids and len(of_id) > 1]
    different = sum(len(set().union(*of_groups)) == sum(map(len, of_groups)) for of_groups in several)
    each_its_own = 2 * different > len(several)

    def group_of(row: LabelledTicket) -> str:
        group = _group(row)
        if group is not None:
            return group
        known = texts.get(_name(row), {})
        if len(known) > 1:
            known = {one: of_group for one, of_group in known.items() if row.ticket.text in of_group}
        return next(iter(known)) if len(known) == 1 else ""

    def key_of(row: LabelledTicket) -> _Key:
        group = group_of(row) if each_its_own else ""
        return _Key(group, row.ticket.id, "" if row.ticket.id else row.ticket.text)

    return key_of


def _group(row: LabelledTicket) -> str | None:
    return row.group if row.group is not None else row.desk


def _of_all_files(
    rows: Sequence[LabelledTicket], key_of: Callable[[LabelledTicket], _Key]
) -> dict[_Key, list[LabelledTicket]]:
    """Return the rows by ticket, those of a ticket of several files as the last file has them.

    Within a file all rows stay, as in `triage train`: messages of one ticket, one ticket for each of its labels, equal
    texts without an id. Of these a text counts as often as the file with most of it has it. Only a row that stands
    there twice with its id, text and labels counts once.
    """
    found: dict[_Key, list[LabelledTicket]] = {}
    for _, of_file in groupby(rows, key=lambda row: row.place.rpartition(":")[0]):
        mine: dict[_Key, list[LabelledTicket]] = {}
        seen = set[tuple[object, ...]]()
        for row in of_file:
            key = key_of(row)
            same = (key, row.ticket.text, *sorted(row.labels.items()))
            if not key.id or same not in seen:
                mine.setdefault(key, []).append(row)
                seen.add(same)
        for key, tickets in mine.items():
            before = found.get(key, [])
            if key.id or len(tickets) >= len(before):
                found[key] = _in_its_group(tickets, before)
    return found


def _in_its_group(tickets: list[LabelledTicket], before: Sequence[LabelledTicket]) -> list[LabelledTicket]:
    """Return tickets with the group that an earlier file names, where theirs does not."""
    group = next((row.group for row in before if row.group is not None), None)
    return [row if row.group is not None or group is None else replace(row, group=group) for row in tickets]


def _counterpart(
    said: LabelledTicket, keys: Mapping[str, Sequence[_Key]], rows: Mapping[_Key, Sequence[LabelledTicket]]
) -> _Key | None:
    """Return which of the exported tickets people judged: of those with its id the one of its text, or the only one."""
    same = [key for key in keys.get(_name(said), ()) if _may_be(said, rows[key])]
    if len(same) < 2:
        return same[0] if same else None
    return next((key for key in same if any(row.ticket.text == said.ticket.text for row in rows[key])), None)


def _may_be(said: LabelledTicket, exported: Sequence[LabelledTicket]) -> bool:
    """Say whether an exported ticket of the same id is the one that people judged: by its helpdesk, or by its text.

    Feedback that was exported without the column of helpdesks is known by the id alone.
    """
    if not said.ticket.id or said.desk is None:
        return True
    return any(row.desk == said.desk or _agree(row.ticket.text, said.ticket.text) for row in exported)


def _agree(one: str, other: str) -> bool:
    """Say whether two texts are of one ticket: what was solved stands below, personal data is left out, words change.

    Most pairs of neighbouring words of the shorter text stand in the other one then; single words are of any ticket.

    Example:
        >>> _agree("VPN drops", "Subject: VPN drops. Solved: new certificate"), _agree("VPN drops", "The printer jams")
        (True, False)
    """
    shorter, longer = sorted((_pairs(one), _pairs(other)), key=len)
    return one == other or 2 * len(shorter & longer) > len(shorter)


def _pairs(text: str) -> set[tuple[str, str]]:
    """Return the pairs of neighbouring words of a text; of one word, itself."""
    words = re.findall(r"\w+", text.casefold())
    return set(pairwise(words)) or {(word, "") for word in words}


def _name(row: LabelledTicket) -> str:
    return f"id {row.ticket.id}" if row.ticket.id else f"text {row.ticket.text}"


def _filed(rows: Sequence[LabelledTicket]) -> list[LabelledTicket]:
    """Return each judged ticket once: its first text, and for each target the last label."""
    found: dict[tuple[str | None, str], LabelledTicket] = {}
    for row in rows:
        if row.weight > 0:
            key = (row.desk if row.ticket.id else None, _name(row))
            before = found.get(key)
            if before is not None:
                last = row if row.resolver_group and (row.group_said or not before.group_said) else before
                row = replace(
                    before,
                    labels={**before.labels, **row.labels},
                    written={**before.written, **row.written},
                    resolver_group=last.resolver_group,
                    group_said=last.group_said,
                )
            found[key] = replace(row, judged=True)
    return list(found.values())


def _joined(said: LabelledTicket, exported: LabelledTicket) -> LabelledTicket:
    """Return an exported ticket with its text as filed, and with what people said of it."""
    ticket = replace(
        exported.ticket,
        subject=said.ticket.subject,
        body=said.ticket.body,
        attributes={**exported.ticket.attributes, **said.ticket.attributes},
    )
    group = (said.group_said and said.resolver_group) or exported.resolver_group or said.resolver_group
    named = {*said.labels, *(["resolver_group"] if group else [])}
    return replace(
        exported,
        ticket=ticket,
        labels={**exported.labels, **said.labels},
        written={**exported.written, **said.written},
        resolver_group=group,
        held_back={target: label for target, label in exported.held_back.items() if target not in named},
        weight=1.0,
        judged=True,
    )


def settings_of(champion: Path, out: Path) -> TrainSettings:
    """Return how a champion was trained, so that the next version is trained in the same way.

    Its policy and its rules are those in the bundle, but for a policy that was learned from the data: that one is
    learned anew, so that labels which are new since then are in it.

    Raises:
        BundleError: If the champion is absent or altered.
    """
    manifest = read_manifest(champion)
    stated: Mapping[str, Any] = manifest.get("settings", {})
    policy: Path | str | None = {"learn": LEARN, "default": None}.get(
        stated.get("policy", ""), champion / "policy.toml"
    )
    own_rules = stated.get("rules", "default") == "file" or policy == champion / "policy.toml"
    return TrainSettings(
        data=(),
        out=out,
        policy=policy,
        rules=champion / "rules.toml" if own_rules else None,
        tier_order=tuple(stated.get("tier_order", ())),
        encoder=stated.get("encoder", DEFAULT_ENCODER),
        target_risk=stated.get("target_risk") or TrainSettings.target_risk,
        confidence=stated.get("confidence") or TrainSettings.confidence,
        per_class=bool(stated.get("per_class", False)),
        cascade=bool(stated.get("cascade", True)),
        newest=int(stated.get("newest", TrainSettings.newest)),
        seed=int(stated.get("seed", 0)),
        asked=frozenset(manifest.get("targets", {})),
        champion=champion if stage_of(manifest).name not in STARTED else None,
    )


def lacks_adaptation(champion: Path) -> bool:
    """Say whether a champion's encoder is adapted to the desk's labels, which a training again does not repeat."""
    return bool(read_manifest(champion).get("adaptation", {}).get("kept"))


_NOT_THE_TASK = ("out", "data", "champion")


def _in_order(value: object) -> str:
    """Return a setting in words that are the same in every process: a set's order is not."""
    return str(sorted(value) if isinstance(value, frozenset) else value)


def task_digest(dataset: Dataset, settings: TrainSettings) -> str:
    """Return a digest that is equal where a training would be the same: by it an interrupted one is taken up again."""
    champion = str(read_manifest(settings.champion)["digest"]) if settings.champion else ""
    stated = {name: _in_order(value) for name, value in vars(settings).items() if name not in _NOT_THE_TASK}
    stated |= {"data": dataset.digest, "champion": champion}
    if any(row.judged for row in dataset.rows):  # else the digest is that of earlier versions
        stated["judged"] = "".join(str(int(row.judged)) for row in dataset.rows)
    for name in ("policy", "rules"):
        file = getattr(settings, name)
        if isinstance(file, Path):
            stated[name] = hashlib.sha256(file.read_bytes()).hexdigest()
    return hashlib.sha256(json.dumps(stated, sort_keys=True).encode()).hexdigest()


def finished(folder: Path) -> bool:
    """Say whether a training has left a whole bundle in a folder.

    Raises:
        BundleError: If something else is there, or a bundle that was altered.
    """
    try:
        load_bundle(folder)
    except BundleNotFound:
        return False
    except BundleError as error:
        raise BundleNotFound(f"{error}; move {str(folder)!r} away to train anew") from error
    return True
