"""Training again: history, new export and what people said as one data set, under the champion's settings."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

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
        dataset: All tickets, each once.
        repeated: Rows that stood in the files more than once; the last one counts.
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

    Args:
        exports: What was read of files, history first; None where there are none.
        feedback: What `triage feedback export` wrote, oldest first; None where nobody has said anything.

    Raises:
        InvalidDataset: If there is no ticket at all.
    """
    rows: dict[str, LabelledTicket] = {}
    for row in exports.rows if exports else ():
        rows[_key(row)] = row
    repeated = (len(exports) if exports else 0) - len(rows)
    said = _filed(feedback.rows if feedback else ())
    confirmed = sum(key in rows for key in said)
    for key, row in said.items():
        rows[key] = _joined(row, rows[key]) if key in rows else row
    if not rows:
        raise InvalidDataset("there is nothing to train on: name an export, or let people judge tickets in the service")
    kept, base = list(rows.values()), exports or feedback
    assert base is not None
    dataset = replace(
        base,
        rows=kept,
        targets=targets_in(kept),
        digest=dataset_digest(kept),
        files=(*(exports.files if exports else ()), *(feedback.files if feedback else ())),
    )
    return Gathered(dataset, repeated, confirmed, len(said) - confirmed)


def _key(row: LabelledTicket) -> str:
    """Return what tells tickets apart: the helpdesk's id, else the text."""
    return f"id {row.ticket.id}" if row.ticket.id else f"text {row.ticket.text}"


def _filed(rows: Sequence[LabelledTicket]) -> dict[str, LabelledTicket]:
    """Return each judged ticket once: its first text, and for each target the last label."""
    found: dict[str, LabelledTicket] = {}
    for row in rows:
        if row.weight > 0:
            before = found.get(_key(row))
            if before is not None:
                group = row.resolver_group or before.resolver_group
                row = replace(before, labels={**before.labels, **row.labels}, resolver_group=group)
            found[_key(row)] = replace(row, judged=True)
    return found


def _joined(said: LabelledTicket, exported: LabelledTicket) -> LabelledTicket:
    """Return an exported ticket with its text as filed, and with what people said of it."""
    ticket = replace(
        exported.ticket,
        subject=said.ticket.subject,
        body=said.ticket.body,
        attributes={**exported.ticket.attributes, **said.ticket.attributes},
    )
    labels = {**exported.labels, **said.labels}
    group = exported.resolver_group or said.resolver_group
    return replace(exported, ticket=ticket, labels=labels, resolver_group=group, weight=1.0, judged=True)


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
        seed=int(stated.get("seed", 0)),
        asked=frozenset(manifest.get("targets", {})),
        champion=champion if stage_of(manifest).name not in STARTED else None,
    )


def task_digest(dataset: Dataset, settings: TrainSettings) -> str:
    """Return a digest that is equal where a training would be the same: by it an interrupted one is taken up again."""
    champion = str(read_manifest(settings.champion)["digest"]) if settings.champion else ""
    stated = {name: str(value) for name, value in vars(settings).items() if name not in ("out", "data", "champion")}
    stated |= {"data": dataset.digest, "champion": champion}
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
