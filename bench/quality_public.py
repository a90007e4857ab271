"""Accuracy of `triage train` against TF-IDF with a linear head, on the same rows set aside of any file of tickets.

Run as `python -m bench.quality_public FILE [ROLE=COLUMN …] [--seeds 0 1 2] [--most ROWS]`. The rival is what many would
write first: words and pairs of words, weighed by TF-IDF, under a linear support vector machine, fitted to the same
rows.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC

from models.terminal import table
from training.data.columns import parse_mapping
from training.data.dataset import Dataset, LabelledTicket, dataset_digest, read_dataset
from training.evaluation.record import read_record
from training.pipeline import train
from training.task import LEARN, TrainSettings

HEADER = ["target", "seed", "learned from", "measured on", "this product", "TF-IDF + linear", "difference",
          "its standard error", "verdict"]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.quality_public", description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("mapping", nargs="*", default=[], help="ROLE=COLUMN, as for triage train --map")
    parser.add_argument("--seeds", nargs="*", type=int, default=[0])
    parser.add_argument("--most", type=int, default=None, help="rows drawn at random where there are more")
    options = parser.parse_args()
    dataset = _drawn(read_dataset([options.file], parse_mapping(options.mapping), skip_bad_rows=True), options.most)
    lines = []
    with tempfile.TemporaryDirectory() as folder:
        os.environ.setdefault("TRIAGE_HOME", folder)
        for seed in options.seeds:
            for line in _compared(dataset, seed, Path(folder) / f"bundle-{seed}"):
                lines.append(line)
                print(*line, flush=True)
    print(table(HEADER, lines))


def _drawn(dataset: Dataset, most: int | None) -> Dataset:
    if most is None or most >= len(dataset):
        return dataset
    chosen = np.sort(np.random.default_rng(0).permutation(len(dataset))[:most])
    rows = [dataset.rows[place] for place in chosen]
    return replace(dataset, rows=rows, digest=dataset_digest(rows))


def _compared(dataset: Dataset, seed: int, out: Path) -> list[list[object]]:
    trained = train(TrainSettings((), out, policy=LEARN, seed=seed), dataset=dataset, log=lambda step: None)
    learned, held = ([trained.dataset.rows[row] for row in side] for side in (trained.split.train, trained.split.test))
    lines: list[list[object]] = []
    for target, outcome in read_record(out).outcomes.items():
        asked = [held[row] for row in outcome.rows]
        rival = _tfidf(learned, asked, target) == np.array([row.labels[target] for row in asked])
        ours = outcome.correct
        gain = ours.astype(float) - rival.astype(float)
        error = float(gain.std(ddof=1) / np.sqrt(len(gain)))
        verdict = "above" if gain.mean() > error else "below" if gain.mean() < -error else "within one"
        figures = [f"{value:.4f}" for value in (ours.mean(), rival.mean(), gain.mean(), error)]
        lines.append([target, seed, len(learned), len(asked), *figures, verdict])
    return lines


def _tfidf(learned: list[LabelledTicket], asked: list[LabelledTicket], target: str) -> np.ndarray:
    """Return the labels that the rival gives, of shape [n]."""
    usable = [row for row in learned if target in row.labels]
    rival = make_pipeline(TfidfVectorizer(sublinear_tf=True, min_df=2, ngram_range=(1, 2)), LinearSVC())
    rival.fit([row.ticket.text for row in usable], [row.labels[target] for row in usable])
    return np.asarray(rival.predict([row.ticket.text for row in asked]))


if __name__ == "__main__":
    main()
