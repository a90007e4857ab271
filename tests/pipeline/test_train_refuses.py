"""What a training run refuses, before it has worked for minutes; and what it learns from labels that mean nothing."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from training.pipeline import train
from training.task import TrainSettings
from triage.errors import InvalidDataset, InvalidRequest, TriageError

SHIPPED = Path(__file__).parents[2] / "datasets" / "tickets.jsonl"


class CountingEncoder:
    """Hashes words into 32 numbers, and counts what it was asked."""

    name = "counting-32"
    dim = 32

    def __init__(self) -> None:
        self.asked = 0

    def encode(self, texts: Sequence[str], progress: Callable[[int], object] | None = None) -> NDArray[np.float32]:
        self.asked += len(texts)
        vectors = np.full((len(texts), 32), 1e-3, dtype=np.float32)
        for row, text in enumerate(texts):
            for word in text.lower().split():
                vectors[row, hashlib.sha256(word.encode()).digest()[0] % 32] += 1
        return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), dtype=np.float32)

    def truncates(self, texts: Sequence[str]) -> list[bool]:
        return [False] * len(texts)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIAGE_HOME", str(tmp_path / "home"))


@pytest.fixture(scope="module")
def rows() -> list[dict[str, object]]:
    return [json.loads(line) for line in SHIPPED.read_text("utf-8").splitlines()[::6]]


def written(path: Path, rows: Sequence[dict[str, object]]) -> Path:
    path.write_text("\n".join(json.dumps(row) for row in rows), "utf-8")
    return path


def run(settings: TrainSettings, encoder: CountingEncoder | None = None) -> object:
    return train(settings, encoder=encoder or CountingEncoder(), log=lambda _: None)


def test_an_occupied_place_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "kept.txt").write_text("precious")
    with pytest.raises(InvalidRequest, match="occupied"):
        run(TrainSettings((tmp_path / "absent.jsonl",), tmp_path / "out"))
    assert (tmp_path / "out" / "kept.txt").read_text() == "precious"


@pytest.mark.parametrize("spoiled", ["one class", "nine rows"])
def test_what_cannot_be_learned_is_refused_before_encoding(
    spoiled: str, tmp_path: Path, rows: list[dict[str, object]]
) -> None:
    few = [{"body": row["body"], "tier": "L1"} for row in rows[:40]]
    if spoiled == "nine rows":
        few = [{"body": row["body"], "tier": f"L{place % 2}"} for place, row in enumerate(rows[:18])]
    encoder = CountingEncoder()
    with pytest.raises(InvalidDataset):
        run(TrainSettings((written(tmp_path / "few.jsonl", few),), tmp_path / "out"), encoder)
    assert encoder.asked == 0
    assert not (tmp_path / "out").exists()


def test_rules_that_name_labels_the_policy_lacks_are_refused_before_encoding(
    tmp_path: Path, rows: list[dict[str, object]]
) -> None:
    rules = tmp_path / "rules.toml"
    rules.write_text('[[rule]]\nname = "rest"\nkind = "fallback"\ntier = "L9"\n')
    encoder = CountingEncoder()
    with pytest.raises(TriageError, match="L9"):
        run(TrainSettings((written(tmp_path / "t.jsonl", rows[:200]),), tmp_path / "out", rules=rules), encoder)
    assert encoder.asked == 0


def test_shuffled_labels_are_guessed_at_chance_and_hardly_ever_decided(
    tmp_path: Path, rows: list[dict[str, object]]
) -> None:
    labels = np.random.default_rng(5).permutation([str(row["tier"]) for row in rows])
    shuffled = [{"body": row["body"], "tier": label} for row, label in zip(rows, labels, strict=True)]
    made = train(
        TrainSettings((written(tmp_path / "t.jsonl", shuffled),), tmp_path / "out", policy="learn"),
        encoder=CountingEncoder(),
        log=lambda _: None,
    )
    found = made.measured["targets"]["tier"]
    assert found["accuracy"] < found["baselines"]["majority"]["accuracy"] + 0.12
    assert found["coverage"] <= 0.01
    assert made.bundle.manifest["gate"]["refitted"]["tier"]["threshold"] is None


def test_a_second_run_encodes_nothing_again(tmp_path: Path, rows: list[dict[str, object]]) -> None:
    data = written(tmp_path / "t.jsonl", [{"body": row["body"], "tier": row["tier"]} for row in rows[:120]])
    encoder = CountingEncoder()
    run(TrainSettings((data,), tmp_path / "a", policy="learn"), encoder)
    first = encoder.asked
    run(TrainSettings((data,), tmp_path / "b", policy="learn", target_risk=0.2, seed=1), encoder)
    assert encoder.asked - first <= 10  # the few fixed tickets that every bundle is checked with
