"""From a bundle folder to a tracked run and a registered version: everything it needs stands in the bundle."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from models.bundle.manifest import read_manifest
from models.home import DEFAULT_MODEL
from training.evaluation.record import Record, read_record
from training.registry.tracker import Run, Tracker
from training.reports import plots
from training.reports.model_card import model_card
from training.reports.report import report


def publish(tracker: Tracker, directory: Path, name: str = DEFAULT_MODEL) -> tuple[str, str]:
    """Log a bundle as a run with parameters, metrics, plots and model card, and register it.

    A bundle that is registered already is not registered twice.

    Args:
        tracker: Where to.
        directory: What `triage train` wrote.
        name: Name of the registered model.

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
    with tempfile.TemporaryDirectory() as folder:
        drawn = Path(folder)
        for file, text in _drawings(manifest, record):
            (drawn / file).parent.mkdir(parents=True, exist_ok=True)
            (drawn / file).write_text(text, encoding="utf-8")
        files = tuple((path, "" if path.is_file() else path.name) for path in sorted(drawn.iterdir()))
        run = Run(
            name=f"{name} {manifest['digest'][:12]}",
            parameters=_parameters(manifest),
            metrics=flat_metrics(record.measured),
            tags={
                "triage.data_digest": str(manifest.get("data", {}).get("digest", "")),
                "triage.bundle": manifest["digest"],
            },
            files=files,
        )
        run_id = tracker.record(run, directory)
    return run_id, tracker.register(run_id, manifest["digest"], name)


def _drawings(manifest: Mapping[str, Any], record: Record) -> Iterator[tuple[str, str]]:
    yield "model-card.md", model_card(manifest, record)
    yield "report.html", report(manifest, record)
    yield "evaluation.json", json.dumps(record.measured, ensure_ascii=False, allow_nan=False, indent=1)
    risk = manifest.get("settings", {}).get("target_risk")
    for target, outcome in record.outcomes.items():
        yield f"plots/{target}-confusion-matrix.svg", plots.confusion_matrix(outcome)
        yield f"plots/{target}-reliability.svg", plots.reliability(outcome)
        yield f"plots/{target}-risk-coverage.svg", plots.risk_coverage(outcome, risk)


def _parameters(manifest: Mapping[str, Any]) -> dict[str, object]:
    """Flatten what the manifest says about settings and data; long lists stay out."""
    found: dict[str, object] = {}
    for part in ("settings", "data"):
        for key, value in manifest.get(part, {}).items():
            if isinstance(value, str | int | float | bool) or value is None:
                found[f"{part}.{key}"] = value
    found["encoder"] = manifest.get("encoder", {}).get("name", "")
    return found


def flat_metrics(measured: Mapping[str, Any]) -> dict[str, float]:
    """Name every single figure of an evaluation by its path, such as `tier/accuracy`."""
    found = {f"route/{key}": value for key, value in measured["route"].items()}
    found["rows"] = measured["rows"]
    for target, values in measured["targets"].items():
        found |= {f"{target}/{key}": value for key, value in values.items() if isinstance(value, int | float)}
        for part in ("misses", "sets"):
            found |= {f"{target}/{part}/{key}": value for key, value in values.get(part, {}).items()}
        for baseline, figures in values["baselines"].items():
            found |= {f"{target}/baseline/{baseline}/{key}": value for key, value in figures.items()}
    return found
