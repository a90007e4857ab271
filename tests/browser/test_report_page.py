"""The report page in Chromium: it loads nothing from elsewhere, fits a phone, and shows every part."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from training.diagnostics.ablation import Extras
from training.evaluation import metrics
from training.evaluation.record import Fact, Outcome, Record, strings
from training.reports.report import report

pytestmark = [pytest.mark.browser]


def made_up(count: int = 300) -> tuple[dict[str, Any], Record]:
    """A manifest and a record with two targets, one of them of many labels, one of which asks for escaping."""
    rng = np.random.default_rng(0)
    labels = {"tier": ("L0", "L1", "L2"), "category": tuple(f"<b>c{n}</b> & $co" for n in range(30))}
    outcomes, targets = {}, {}
    for target, names in labels.items():
        true = strings(rng.choice(names, count).tolist())
        top = strings(label if rng.random() < 0.8 else names[0] for label in true)
        confidence = rng.uniform(0.3, 1, count)
        kept = confidence > 0.8
        outcomes[target] = Outcome(target, np.arange(count), true, top, confidence, kept, top, kept, names)
        right = outcomes[target].correct
        targets[target] = {
            "rows": count, "accuracy": float(right.mean()), "macro_f1": 0.7, "ece": 0.05, "aurc": 0.1, "coverage": 0.3,
            "selective_risk": 0.1, "thresholds": metrics.right_wrong_none(right, confidence),
            "per_class": metrics.per_class(true.tolist(), top.tolist()),
            "unknown_labels": [{"label": "<i>new</i>", "rows": 2}],
            "baselines": {"majority": {"accuracy": 0.2, "macro_f1": 0.1}},
        }  # fmt: skip
    facts = [Fact(str(n), ("en", "de")[n % 5 == 0], "email", n % 90) for n in range(count)]
    measured = {
        "rows": count, "targets": targets, "route": {"coverage": 0.2, "risk": 0.1, "accuracy": 0.6},
        "abstained": {"rows": 200, "rule_accuracy": 0.4, "model_accuracy": 0.6, "default_accuracy": 0.2},
        "sources": {"model": 200, "default": 100}, "reasons": {"confident": 100, "low_confidence": 200},
    }  # fmt: skip
    manifest = {
        "digest": "0" * 64, "settings": {"target_risk": 0.05, "confidence": 0.95, "seed": 0, "policy": "default"},
        "data": {"rows": 2000, "digest": "1" * 64, "split": "time", "set_aside": count}, "encoder": {"name": "tiny"},
        "targets": {"tier": {"labels": list(labels["tier"]), "excluded": {"rare": 3}}},
        "gate": {"measured_with": {"calibration": "cross-fitted, 1700 rows"}},
    }  # fmt: skip
    return manifest, Record(measured, facts, outcomes, labels["tier"])


@pytest.fixture(scope="module")
def page(chromium: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, list[str], list[str]]:
    path: Path = tmp_path_factory.mktemp("report") / "report.html"
    manifest, record = made_up()
    extras = Extras({"tier": [(100, 0.5), (400, 0.7)]}, {"tier": {"nothing": 0.8, "lexical": 0.7}})
    path.write_text(report(manifest, record, extras=extras), "utf-8")
    opened = chromium.new_page(viewport={"width": 1180, "height": 900})
    requests: list[str] = []
    complaints: list[str] = []
    opened.on("request", lambda request: requests.append(request.url))
    opened.on("console", lambda message: complaints.append(message.text))
    opened.goto(path.as_uri())
    return opened, requests, complaints


def test_it_loads_nothing_from_elsewhere(page: tuple[Any, list[str], list[str]]) -> None:
    _, requests, complaints = page
    assert len(requests) == 1 and complaints == []


def test_every_part_is_there(page: tuple[Any, list[str], list[str]]) -> None:
    opened, _, _ = page
    headings = opened.locator("h2").all_inner_texts()
    assert headings == ["Tier", "Category", "The whole route", "What it is made from"]
    assert opened.locator("figure svg").count() == 9
    text = opened.inner_text("body")
    for words in (
        "Against simpler ways",
        "worst first",
        "Most often confused",
        "lies above the one asked for",
        "rare (3)",
    ):
        assert words in text


def test_labels_are_shown_as_written_and_never_as_markup(page: tuple[Any, list[str], list[str]]) -> None:
    opened, _, _ = page
    assert "<b>c1</b> & $co" in opened.inner_text("body") and "<i>new</i>" in opened.inner_text("body")
    assert opened.locator("i").count() == 0


@pytest.mark.parametrize("width", [1180, 760, 390])
def test_it_fits_the_window(page: tuple[Any, list[str], list[str]], width: int) -> None:
    opened, _, _ = page
    opened.set_viewport_size({"width": width, "height": 900})
    assert opened.evaluate("document.documentElement.scrollWidth") <= width
