"""The gate's promise is for rows that nothing was fitted on: no estimator, no stacking, no calibration."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from models.encoder import Encoder
from training import pipeline
from training.ensemble.model import prepare
from training.gate.gate import calibration_scores_of
from training.task import TrainSettings


def test_the_saved_gate_is_chosen_on_rows_that_nothing_was_fitted_on(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    encoder: Encoder,
    shipped: list[dict[str, object]],
    write: Callable[[Path, list[dict[str, object]]], Path],
) -> None:
    combined: set[str] = set()
    out_of_fold: list[set[str]] = []

    def noted_prepare(sample: Any, *arguments: Any, **options: Any) -> Any:
        combined.update(row.ticket.id for row in sample.rows)
        return prepare(sample, *arguments, **options)

    def noted_scores(rows: Any, *arguments: Any) -> Any:
        out_of_fold.append({row.ticket.id for row in rows})
        return calibration_scores_of(rows, *arguments)

    monkeypatch.setattr(pipeline, "LEAST_CALIBRATION", 20)  # as from 10,000 rows on
    monkeypatch.setattr(pipeline, "prepare", noted_prepare)
    monkeypatch.setattr(pipeline, "calibration_scores_of", noted_scores)
    data = write(tmp_path / "tickets.jsonl", shipped)
    made = pipeline.train(TrainSettings((data,), tmp_path / "b"), encoder=encoder, log=lambda _: None)
    saved = out_of_fold[-1]
    assert len(saved) >= 20
    assert made.bundle.manifest["gate"]["refitted"]["calibration"] == f"set aside, {len(saved)} rows"
    assert not saved & combined
    assert not saved & set(made.bundle.model.history.ids)
