"""The gate's promise is for rows that nothing was fitted on: no estimator, no stacking, no calibration."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from models.encoder import Encoder
from training import pipeline
from training.data.dataset import LabelledTicket, read_dataset
from training.ensemble.model import FittedModel, prepare
from training.ensemble.sample import Sample
from training.gate.gate import calibration_scores_of
from training.task import TrainSettings
from triage.ticket import Ticket


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


@pytest.mark.parametrize("grouped", [False, True])
def test_tickets_judged_in_the_service_certify_no_cross_fitted_gate_but_are_learned_from(
    grouped: bool,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    encoder: Encoder,
    shipped: list[dict[str, object]],
    write: Callable[[Path, list[dict[str, object]]], Path],
) -> None:
    certified_on: list[set[str]] = []

    def noted_scores(rows: Any, *arguments: Any) -> Any:
        certified_on.append({row.ticket.id for row in rows})
        return calibration_scores_of(rows, *arguments)

    monkeypatch.setattr(pipeline, "calibration_scores_of", noted_scores)
    dataset = read_dataset([write(tmp_path / "tickets.jsonl", shipped)])
    rows = [
        replace(row, judged=place % 3 == 0, group=f"site {place % 10}" if grouped else None)
        for place, row in enumerate(dataset.rows)
    ]
    judged = {row.ticket.id for row in rows if row.judged}
    settings = TrainSettings((), tmp_path / "b")
    made = pipeline.train(settings, dataset=replace(dataset, rows=rows), encoder=encoder, log=lambda _: None)
    assert made.split.kind == ("group" if grouped else "time")
    assert all(len(one) > 100 and not one & judged for one in certified_on)
    assert made.bundle.manifest["gate"]["refitted"]["calibration"] == f"cross-fitted, {len(certified_on[-1])} rows"
    assert judged <= set(made.bundle.model.history.ids)


def a_fitted_model(judged: NDArray[np.bool_], used: NDArray[np.bool_]) -> FittedModel:
    """Return a model of tickets some of which were judged, or used to choose its encoder; nothing else is asked."""
    rows = [LabelledTicket(Ticket(str(place)), {}, judged=bool(one)) for place, one in enumerate(judged)]
    n = len(rows)
    sample = Sample(rows, np.zeros((n, 1), np.float32), np.arange(n), index=np.arange(n), labels={}, used=used)
    return FittedModel(None, {}, None, sample, np.arange(n))  # type: ignore[arg-type]


def test_where_all_tickets_were_judged_or_chose_the_encoder_the_gate_is_chosen_on_them() -> None:
    place = np.arange(3000)
    none, all_of_them = np.zeros(3000, bool), np.ones(3000, bool)
    assert len(pipeline._may_certify(a_fitted_model(all_of_them, none))) == 3000
    assert pipeline._may_certify(a_fitted_model(place >= 7, none)).tolist() == list(range(7))
    assert pipeline._may_certify(a_fitted_model(none, place >= 1000)).tolist() == list(range(1000))
    assert len(pipeline._may_certify(a_fitted_model(none, place >= 999))) == 3000


def a_sample(sizes: list[int]) -> Sample:
    """Return tickets in clusters of these sizes."""
    groups = np.repeat(np.arange(len(sizes)), sizes)
    n = len(groups)
    rows = [LabelledTicket(Ticket(str(place)), {}) for place in range(n)]
    return Sample(rows, np.zeros((n, 1), np.float32), groups, index=np.arange(n), labels={})


def test_a_cluster_that_does_not_fit_leaves_the_others_to_calibrate_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "LEAST_CALIBRATION", 60)
    for seed in range(20):
        learned, held = pipeline._calibration_split(a_sample([200, *[1] * 600]), seed)
        assert (len(learned), len(held)) == (720, 80)
        assert not set(learned.groups.tolist()) & set(held.groups.tolist())


def test_where_too_little_fits_nothing_is_set_aside_to_calibrate_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "LEAST_CALIBRATION", 60)
    learned, held = pipeline._calibration_split(a_sample([*[190] * 4, *[1] * 40]), 0)
    assert (len(learned), len(held)) == (800, 0)
