"""What a full report trains again learns as the bundle did: from people's labels, and with its groups kept whole."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.bundle.bundle import load_bundle
from training.data.dataset import read_dataset
from training.data.split import split
from training.diagnostics.ablation import ablation_of
from training.ensemble.sample import Sample

pytestmark = pytest.mark.slow


def test_labels_by_a_machine_alone_teach_nothing_and_groups_stay_whole(
    bundle: Path, tickets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = read_dataset([tickets])
    rows = [
        replace(row, weight=float(number % 3 > 0), group=f"site {number % 12}")
        for number, row in enumerate(dataset.rows)
    ]
    dataset = replace(dataset, rows=rows)
    parts = split(dataset, 0)
    assert parts.kind == "group"
    made, of = list[Sample](), Sample.of

    def noted(*given: Any, **how: Any) -> Sample:
        made.append(of(*given, **how))
        return made[-1]

    monkeypatch.setattr(Sample, "of", noted)
    found = ablation_of(load_bundle(bundle), dataset, parts, 0, log=lambda _: None)
    by_people = sum(rows[number].weight > 0 for number in parts.train)
    assert by_people < len(parts.train)
    for curve in found.learning.values():
        assert curve[-1][0] == by_people
    (sample,) = made
    assert sample.by_organisation and np.array_equal(sample.groups, parts.clusters)
