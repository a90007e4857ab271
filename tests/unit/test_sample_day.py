"""The sample day of `make run`: never trained on, and every word of its people is one that the service takes."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import pytest

from triage.defaults import default_policy

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, str]]]:
    folder = tmp_path_factory.mktemp("sample")
    runpy.run_path(str(ROOT / "scripts" / "sample_day.py"))["hold_out"](folder)
    return {path.stem: [json.loads(line) for line in path.read_text("utf-8").splitlines()] for path in folder.iterdir()}


def test_the_model_learns_from_every_shipped_ticket_but_those_of_the_day(
    parts: dict[str, list[dict[str, str]]],
) -> None:
    history, day = parts["history"], parts["sample-day"]
    shipped = (ROOT / "datasets" / "tickets.jsonl").read_text("utf-8").splitlines()
    assert sorted(row["id"] for row in history + day) == sorted(json.loads(line)["id"] for line in shipped)
    assert {row["organisation"] for row in day}.isdisjoint(row["organisation"] for row in history)
    assert len(day) > 100


def test_the_service_takes_what_the_people_of_the_day_say(parts: dict[str, list[dict[str, str]]]) -> None:
    policy = default_policy()
    for row in parts["sample-day"]:
        assert row["tier"] in policy.labels("tier") and row["category"] in policy.labels("category"), row["id"]
        assert policy.is_legal(row["tier"], row["category"]), row["id"]
        assert row["opened_at"]
