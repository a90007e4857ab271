"""How a challenger compared with the champion, as a run of its own below that of the challenger."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from training.registry.promote import Promotion
from training.registry.tracker import Opening, Run, Tracker, metric_part


def publish_comparison(tracker: Tracker, result: Promotion, name: str, parent: str) -> None:
    """Log how a challenger compared with the version that served, as a run below the challenger's."""
    comparison = result.comparison
    if comparison is None:
        return
    opening = Opening(f"{name} {result.version} against {result.before}", "promote", parent=parent)
    with tracker.running(opening) as run_id, tempfile.TemporaryDirectory() as folder:
        document = Path(folder) / "comparison.json"
        document.write_text(json.dumps(comparison.to_document(), indent=1), encoding="utf-8")
        metrics: dict[str, float] = {"common": comparison.common}
        for check in comparison.checks:
            found = {"champion": check.champion, "challenger": check.challenger, "low": check.low, "high": check.high}
            metrics |= {
                f"{metric_part(check.what)}/{side}": value for side, value in found.items() if value is not None
            }
        parameters = {"challenger": result.version, "champion": result.before, "passed": comparison.passed}
        tracker.log(run_id, Run(parameters, metrics, {"triage.kind": "comparison"}, ((document, ""),)))
