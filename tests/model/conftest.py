"""A bundle trained in seconds: some of the shipped tickets, and an encoder that only hashes words."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from models.bundle.bundle import Bundle
from training.pipeline import train
from training.task import Trained, TrainSettings

SHIPPED = Path(__file__).parents[2] / "datasets" / "tickets.jsonl"


class HashingEncoder:
    """Sums a fixed random direction per word: no model, yet like texts get like vectors."""

    name = "hashing-48"
    dim = 48

    def encode(self, texts: Sequence[str], progress: Callable[[int], object] | None = None) -> NDArray[np.float32]:
        vectors = np.stack(
            [sum((_direction(word) for word in text.lower().split()), np.full(48, 1e-3)) for text in texts]
        )
        if progress is not None:
            progress(len(texts))
        return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), dtype=np.float32)

    def truncates(self, texts: Sequence[str]) -> list[bool]:
        return [len(text.split()) > 256 for text in texts]


def _direction(word: str) -> NDArray[np.float64]:
    seed = int.from_bytes(hashlib.sha256(word.encode()).digest()[:8], "big")
    return np.random.default_rng(seed).standard_normal(48)


def _write(path: Path, rows: list[dict[str, object]]) -> Path:
    path.write_text("\n".join(json.dumps(row) for row in rows) + "\n", "utf-8")
    return path


@pytest.fixture(scope="session")
def write() -> Callable[[Path, list[dict[str, object]]], Path]:
    return _write


@pytest.fixture(scope="session")
def shipped() -> list[dict[str, object]]:
    """Every eighth of the shipped tickets."""
    return [json.loads(line) for line in SHIPPED.read_text("utf-8").splitlines()[::8]]


@pytest.fixture(scope="session")
def encoder() -> HashingEncoder:
    return HashingEncoder()


@pytest.fixture(scope="session", autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    place = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRIAGE_HOME", str(place))
        yield place


@pytest.fixture(scope="session")
def trained(
    tmp_path_factory: pytest.TempPathFactory, encoder: HashingEncoder, home: Path, shipped: list[dict[str, object]]
) -> Trained:
    folder = tmp_path_factory.mktemp("trained")
    data = _write(folder / "tickets.jsonl", shipped)
    return train(TrainSettings((data,), folder / "bundle", target_risk=0.2), encoder=encoder, log=lambda _: None)


@pytest.fixture(scope="session")
def bundle(trained: Trained) -> Bundle:
    return trained.bundle
