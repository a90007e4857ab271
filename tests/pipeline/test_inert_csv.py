"""A scored CSV holds no formula, whatever stood in the tickets."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from models.triager import Triager
from training.batch_scoring import score
from training.engines.engine import InThisProcess
from triage.files.csv_cells import inert


@pytest.mark.parametrize("cell", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", " =1", "\uff1d1"])
def test_a_text_that_begins_like_a_formula_gets_an_apostrophe(cell: str) -> None:
    assert inert(cell) == f"'{cell}"


@pytest.mark.parametrize("cell", ["T-4711", "", "a=b", -0.5, None])
def test_everything_else_stays(cell: object) -> None:
    assert inert(cell) == cell


def test_no_cell_of_a_scored_file_begins_like_a_formula(tmp_path: Path) -> None:
    data, out = tmp_path / "tickets.jsonl", tmp_path / "decisions.csv"
    data.write_text(
        "".join(json.dumps({"id": id, "body": "the printer is broken"}) + "\n" for id in ("=1+1", "@x", "-2"))
    )
    score(InThisProcess(Triager()), data, out)
    with out.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["ticket_id"] for row in rows] == ["'=1+1", "'@x", "'-2"]
