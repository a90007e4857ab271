"""The versions of a model that this machine has: what each was measured at, and how it compared before it served."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from api.console.overview import Row, Table
from api.settings import Settings
from api.store.work.figures import Served
from models.bundle.manifest import read_manifest
from models.local_store import LocalModelStore, parse_reference
from triage.errors import TriageError
from triage.files.regular_file import read_regular_file

_EVALUATION, _MAX_BYTES = "evaluation.json", 64 << 20
_DIGITS = 12
"""Digits of a bundle's digest by which its decisions name it."""
FIGURES = {
    "accuracy": "share of tickets set aside whose first label is right",
    "macro_f1": "the same, every label counting alike",
    "ece": "how far confidence and accuracy lie apart",
    "coverage": "share that the model decides alone",
    "selective_risk": "share of those that is wrong",
}
"""Figures of a report that are compared between versions, and what they mean."""


@dataclass(frozen=True)
class ModelVersion:
    """A version of the model.

    Attributes:
        version: Its name in the local store; that of its decisions for a bundle that is served directly.
        decides_as: The name that its decisions bear: the beginning of its digest.
        aliases: What points to it.
        facts: Of its manifest: stage, encoder, data, settings.
        measured: Of its evaluation on the tickets set aside; empty where it carries none.
        comparison: How it compared with the version that served then; None where that is not known.
    """

    version: str
    decides_as: str
    aliases: tuple[str, ...]
    facts: Mapping[str, Any]
    measured: Mapping[str, Any] = field(default_factory=dict)
    comparison: Mapping[str, Any] | None = None

    def figure(self, target: str, name: str) -> float | None:
        """Return a figure of the report for one target; None where there was nothing to measure it on."""
        figures = self.measured.get("targets", {}).get(target, {})
        value = None if name == "selective_risk" and not figures.get("coverage") else figures.get(name)
        return round(float(value), 4) if isinstance(value, int | float) else None


def versions(settings: Settings) -> list[ModelVersion]:
    """Read all versions, newest first; one that cannot be read is left out."""
    if settings.bundle is not None:
        found = [_read(settings.bundle, None, ("in use",), None)]
    else:
        store = LocalModelStore(settings.home, parse_reference(settings.model)[0])
        names = {alias: entry.version for alias, entry in _aliases(store).items()}
        found = [
            _read(
                store.path(one),
                one,
                tuple(alias for alias, version in names.items() if version == one),
                store.comparison(one),
            )
            for one in reversed(store.versions())
        ]
    return [one for one in found if one is not None]


def models(known: Iterable[ModelVersion], served: Iterable[Served], targets: Iterable[str]) -> Table:
    """Put the versions beside one another: what each was measured at, and what it did here.

    Args:
        known: The versions.
        served: What people said of the decisions of each.
        targets: Of which figures are shown.
    """
    here = {one.model_version: one for one in served}
    measured = [(target, name) for target in targets for name in ("accuracy", "coverage", "selective_risk")]
    rows: list[Row] = []
    for one in known:
        did = here.pop(one.decides_as, Served(one.decides_as))
        rows.append(_row(one.version, ", ".join(one.aliases), [one.figure(*what) for what in measured], did))
    rows += [_row(version, "gone", [None] * len(measured), did) for version, did in here.items() if version]
    columns = ("version", "alias", *(f"{target}_{name}" for target, name in measured))
    return Table(
        "models",
        "Model versions",
        "What each version was measured at on the tickets set aside in its training, and what became of its decisions "
        "here, those on texts that were replaced and of the sample day too. A version's "
        "page has its report and its comparison with the one before.",
        columns=(*columns, "decisions", "automatic", "accepted", "corrected", "accepted_share"),
        rows=tuple(rows),
    )


def _row(version: str, alias: str, figures: list[float | None], did: Served) -> Row:
    judged = did.accepted + did.corrected
    share = round(did.accepted / judged, 4) if judged else None
    return (version, alias, *figures, did.decisions, did.automatic, did.accepted, did.corrected, share)


def _aliases(store: LocalModelStore) -> Mapping[str, Any]:
    try:
        return store.aliases()
    except TriageError:
        return {}


def _read(
    path: Path, version: str | None, aliases: tuple[str, ...], comparison: Mapping[str, Any] | None
) -> ModelVersion | None:
    try:
        manifest = read_manifest(path)
        evaluation = json.loads(read_regular_file(path / _EVALUATION, _MAX_BYTES))
    except FileNotFoundError:
        evaluation = {}
    except (TriageError, OSError, ValueError):
        return None
    facts = {key: value for key, value in manifest.items() if key != "files"}
    decides_as, measured = str(manifest.get("digest", ""))[:_DIGITS], evaluation.get("measured", {})
    return ModelVersion(version or decides_as, decides_as, aliases, facts, measured=measured, comparison=comparison)
