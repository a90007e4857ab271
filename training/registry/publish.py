"""From a bundle folder to a tracked run and a registered version: everything it needs stands in the bundle."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from models.bundle.bundle import load_bundle
from models.bundle.manifest import read_manifest
from models.home import DEFAULT_MODEL
from training.data.columns import ATTRIBUTES
from training.evaluation.record import Record, read_record
from training.gate.served import certificates_of, labels_decided
from training.registry.pyfunc import save_pyfunc
from training.registry.tracker import Opening, Run, Tracker, metric_part
from training.reports.model_card import model_card
from training.reports.report import report, target_plots


def publish(tracker: Tracker, directory: Path, name: str = DEFAULT_MODEL, run_id: str | None = None) -> tuple[str, str]:
    """Log a bundle with parameters, metrics, plots and model card, as a model that MLflow loads, and register it.

    A bundle that is registered already is not registered twice.

    Args:
        tracker: Where to.
        directory: What `triage train` wrote.
        name: Name of the registered model.
        run_id: The run that made it, still open; None opens one for it.

    Returns:
        The run's id and the version.

    Raises:
        BundleError: If the bundle cannot be used.
        TrackingUnavailable: If the tracker was lost on the way; the bundle is untouched.
    """
    manifest, record = read_manifest(directory), read_record(directory)
    for known in tracker.versions(name):
        if known.digest == manifest["digest"]:
            return known.run_id, known.version
    if run_id is None:
        with tracker.running(Opening(run_name(name, manifest), "register")) as opened:
            return publish(tracker, directory, name, opened)
    card = model_card(manifest, record)
    with tempfile.TemporaryDirectory() as folder:
        drawn = Path(folder) / "model"
        save_pyfunc(directory, drawn, manifest, _attributes(directory))
        for file, text in _drawings(manifest, record, card):
            (drawn / file).parent.mkdir(parents=True, exist_ok=True)
            (drawn / file).write_text(text, encoding="utf-8")
        data = manifest.get("data", {})
        run = Run(
            parameters=_parameters(manifest),
            metrics={**flat_metrics(record.measured), **_thresholds(manifest)},
            tags={
                "triage.data_digest": str(data.get("digest", "")),
                "triage.bundle": manifest["digest"],
                "mlflow.note.content": card[:5000],
            },
            files=((drawn, ""),),
            data=(str(data["digest"]), "tickets", int(data["rows"])) if data.get("rows") else None,
        )
        tracker.log(run_id, run)
    return run_id, tracker.register(run_id, manifest["digest"], name, card)


def run_name(name: str, manifest: Mapping[str, Any]) -> str:
    """Return what the run of a bundle is called."""
    return f"{name} {manifest['digest'][:12]}"


def _attributes(directory: Path) -> list[str]:
    """Return the names of the structured fields that a bundle reads beside the text."""
    bundle = load_bundle(directory)
    fields = (name.partition("=")[0] for name in bundle.model.fields.names)
    return sorted({field.removeprefix(ATTRIBUTES) for field in fields if field.startswith(ATTRIBUTES)})


def _thresholds(manifest: Mapping[str, Any]) -> dict[str, float]:
    """Return the certified threshold of each target that has one; where each label has its own, how many have."""
    found = certificates_of(manifest)
    if manifest.get("settings", {}).get("per_class"):
        return {f"{target}/labels_decided": float(len(labels_decided(one))) for target, one in found.items()}
    thresholds = {f"{target}/threshold": one.get("threshold") for target, one in found.items()}
    return {name: threshold for name, threshold in thresholds.items() if threshold is not None}


def _drawings(manifest: Mapping[str, Any], record: Record, card: str) -> Iterator[tuple[str, str]]:
    drawn = target_plots(manifest, record)
    yield "model-card.md", card
    yield "report.html", report(manifest, record, drawn=drawn)
    yield "evaluation.json", json.dumps(record.measured, ensure_ascii=False, allow_nan=False, indent=1)
    for target, named in drawn.items():
        yield from ((f"plots/{target}-{name}.svg", text) for name, text in named.items())


def _parameters(manifest: Mapping[str, Any]) -> dict[str, object]:
    """Flatten what the manifest says about settings and data and of the choices made; long lists stay out."""
    found: dict[str, object] = {}
    for part in ("settings", "data", "adaptation", "champion"):
        for key, value in manifest.get(part, {}).items():
            if isinstance(value, str | int | float | bool) or value is None:
                found[f"{part}.{key}"] = value
            elif isinstance(value, list) and all(isinstance(one, str) for one in value):
                found[f"{part}.{key}"] = ", ".join(value)
    found["encoder"] = manifest.get("encoder", {}).get("name", "")
    found["stage"] = manifest.get("stage", {}).get("name", "")
    for target, facts in manifest.get("targets", {}).items():
        found[f"{target}.labels"] = len(facts["labels"])
        found[f"{target}.excluded"] = ", ".join(facts.get("excluded", {}))
    return found | _thresholds(manifest)


def flat_metrics(measured: Mapping[str, Any]) -> dict[str, float]:
    """Name every single figure of an evaluation by its path, such as `tier/accuracy` or `tier/label/L1/recall`.

    Where nothing was measured there is no figure: a zero would look like a bad one.
    """
    found = {"rows": measured["rows"]}
    if not measured["rows"]:
        return found
    found |= {f"route/{key}": value for key, value in measured["route"].items()}
    for target, values in measured["targets"].items():
        if values.get("rows", 1):
            found |= _of_target(target, values)
    return found


def _of_target(target: str, values: Mapping[str, Any]) -> dict[str, float]:
    found = {f"{target}/{key}": value for key, value in values.items() if isinstance(value, int | float)}
    for part in ("misses", "sets"):
        found |= {f"{target}/{part}/{key}": value for key, value in values.get(part, {}).items()}
    for baseline, figures in values["baselines"].items():
        found |= {f"{target}/baseline/{baseline}/{key}": value for key, value in figures.items()}
    for one in values.get("per_class", ()):
        figures = {key: value for key, value in one.items() if isinstance(value, int | float)}
        found |= {f"{target}/label/{metric_part(one['label'])}/{key}": value for key, value in figures.items()}
    return found
