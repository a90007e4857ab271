"""Model versions on the overview: what each was measured at, what it did here, and how it compared."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from api.app import create_app
from api.console.versions import ModelVersion, models, versions
from api.settings import load_settings
from api.store.work.figures import Served
from models.local_store import LocalModelStore

from ..local_client import TestClient

CHECK = {"what": "tier accuracy", "champion": 0.8, "challenger": 0.9, "low": 0.02, "high": 0.18, "passed": True}


def test_versions_stand_beside_one_another_with_reports_and_comparison(
    tmp_path: Path, make_bundle: Callable[..., Path]
) -> None:
    store = LocalModelStore(tmp_path)
    store.add(make_bundle(), "1")
    store.add(make_bundle("shut"), "2")
    store.point("champion", "1", "")
    store.keep_comparison("2", {"before": "1", "passed": True, "common": 60, "obstacles": [], "checks": [CHECK]})
    settings = load_settings(home=tmp_path, open_loopback=True, rules_only=True, request_deadline_s=20)
    newest, first = versions(settings)
    assert (newest.version, first.version, first.aliases) == ("2", "1", ("champion",))
    accuracy = first.figure("tier", "accuracy")
    assert accuracy is not None and 0 < accuracy <= 1 and newest.comparison is not None
    table = models([newest, first], [Served(first.decides_as, 5, 1, 3, 1), Served("old", 2)], ("tier",))
    rows = {row[0]: dict(zip(table.columns, row, strict=True)) for row in table.rows}
    assert list(rows) == ["2", "1", "old"] and rows["old"]["alias"] == "gone"
    assert rows["1"]["decisions"] == 5 and rows["1"]["accepted_share"] == 0.75 and rows["2"]["decisions"] == 0
    with TestClient(create_app(settings)) as client:
        assert '<a href="/overview/models/1">' in client.get("/overview").text
        report = client.get("/overview/models/1").text
        assert "macro f1" in report and "By label" in report and "first version" in report
        compared = client.get("/overview/models/2").text
        assert "tier accuracy" in compared and "held up" in compared and "+0.020 to +0.180" in compared
        assert client.get("/overview/models/9").status_code == 404


def test_no_error_rate_is_told_of_a_model_that_decided_nothing() -> None:
    def shown(coverage: float) -> tuple[float | None, ...]:
        measured = {"targets": {"tier": {"accuracy": 0.9, "coverage": coverage, "selective_risk": 0.0}}}
        version = ModelVersion("1", "1", (), {}, measured)
        return tuple(version.figure("tier", name) for name in ("accuracy", "coverage", "selective_risk"))

    assert shown(0.0) == (0.9, 0.0, None) and shown(0.5) == (0.9, 0.5, 0.0)


def test_a_comparison_that_cannot_be_read_is_none(tmp_path: Path) -> None:
    store = LocalModelStore(tmp_path)
    store.root.mkdir(parents=True)
    (store.root / "3.comparison.json").write_text("{", "utf-8")
    assert store.comparison("3") is None and store.comparison("4") is None
