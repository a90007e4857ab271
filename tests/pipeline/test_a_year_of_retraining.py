"""A year of months: every new version is compared with the one that serves, on tickets new to it."""

from __future__ import annotations

from pathlib import Path

import pytest

from .conftest import MAP, MONTHLY, MONTHS, Triage, as_exported, champion_number, history, write_rows

pytestmark = pytest.mark.slow


def test_twelve_months_are_compared_and_nothing_is_forced(triage: Triage, champion: Path, tmp_path: Path) -> None:
    compared = 0
    for month in range(1, MONTHS + 1):
        data = write_rows(tmp_path / f"month-{month}.jsonl", as_exported(history(month)))
        retrained = triage("retrain", data, *MAP, "--json").document
        assert retrained["new"] >= 0.9 * MONTHLY and retrained["before"] == str(champion_number(triage))
        comparison = retrained["comparison"]
        assert comparison["obstacles"] == [] and comparison["common"] >= 50
        assert {check["what"] for check in comparison["checks"]} >= {"tier accuracy", "tier ECE"}
        compared += 1
        assert triage("promote", retrained["version"]).status == (0 if comparison["passed"] else 1)
    assert compared == MONTHS
