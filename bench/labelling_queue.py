"""The labelling queue against random picks: how many labels it takes to be as right.

Run as `python -m bench.labelling_queue DATA [--map category=COLUMN] [--target category] [--budget 1000]`. Tickets are
embedded once and cached; on the embeddings a logistic regression is fitted after every batch of labels. Both ways start
from the same random tickets, so that what is compared is the picks alone. A third of the tickets is set aside and never
labelled: accuracy is measured on it.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from models.encoder import OnnxEncoder
from models.reference.to_label import next_to_label, typicality
from models.terminal import print_json, table
from training.data.dataset import read_dataset
from training.encoders.cache import CachedEncoder
from training.encoders.onnx_export import DEFAULT_ENCODER, exported_encoder

START, BATCH = 100, 50
"""Labels that both ways begin with, drawn at random, and labels between two fits."""

Vectors = NDArray[np.float32]
Labels = NDArray[np.int64]


def learning_curve(
    vectors: Vectors, labels: Labels, test: NDArray[np.int64], pool: NDArray[np.int64], *, budget: int, chosen: bool
) -> list[float]:
    """Return the accuracy on `test` after START, START + BATCH, … labels of the pool; the pool's order is the draw."""
    known, rest = pool[:START], pool[START:]
    typical = typicality(vectors[rest]) if chosen else np.ones(len(rest))
    accuracies = []
    while True:
        model = LogisticRegression(C=10, max_iter=200).fit(vectors[known], labels[known])
        accuracies.append(float((model.predict(vectors[test]) == labels[test]).mean()))
        if len(known) >= min(budget, len(pool)):
            return accuracies
        picks = np.arange(min(BATCH, len(rest)))
        if chosen:
            counts = np.array([np.count_nonzero(labels[known] == one) for one in model.classes_])
            probabilities = model.predict_proba(vectors[rest])
            picks = next_to_label(vectors[rest], probabilities, counts, BATCH, typical=typical)
        known, rest, typical = np.append(known, rest[picks]), np.delete(rest, picks), np.delete(typical, picks)


def saved(random: Sequence[float], chosen: Sequence[float], place: int) -> tuple[float, float, float]:
    """Return labels of random picks, labels of the queue for the accuracy they reach, and the share of labels saved."""
    goal, labels = random[place], START + BATCH * place
    reached = next((at for at, accuracy in enumerate(chosen) if accuracy >= goal), None)
    if reached is None:
        return labels, float("nan"), float("nan")
    if reached == 0:
        needed = float(START)
    else:
        below, above = chosen[reached - 1], chosen[reached]
        needed = START + BATCH * (reached - 1 + (goal - below) / (above - below))
    return labels, needed, 1 - needed / labels


def main() -> None:
    """Measure, print a table and a JSON document."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--target", default="category", choices=("tier", "category"))
    parser.add_argument("--budget", type=int, default=1000)
    parser.add_argument("--draws", type=int, default=5)
    arguments = parser.parse_args()
    rows = [row for row in read_dataset([arguments.data]).rows if arguments.target in row.labels]
    texts = [row.ticket.text for row in rows]
    vectors = CachedEncoder(OnnxEncoder(exported_encoder(DEFAULT_ENCODER))).encode(texts)
    names, labels = np.unique([row.labels[arguments.target] for row in rows], return_inverse=True)
    curves: dict[bool, list[list[float]]] = {False: [], True: []}
    for seed in range(arguments.draws):
        order = np.random.default_rng(seed).permutation(len(rows))
        test, pool = order[: len(rows) // 3], order[len(rows) // 3 :]
        for chosen, found in curves.items():
            found.append(learning_curve(vectors, labels, test, pool, budget=arguments.budget, chosen=chosen))
    random, queue = (np.mean(curves[chosen], axis=0) for chosen in (False, True))
    marks = [place for place in range(1, len(random)) if place % max(1, (len(random) - 1) // 5) == 0]
    found = [(*saved(random, queue, place), random[place], queue[place]) for place in marks]
    print(f"{len(rows)} tickets, {len(names)} labels of {arguments.target}, {arguments.draws} draws")
    lines = [
        (f"{labels:.0f}", f"{needed:.0f}", f"{share:.0%}", f"{at_random:.3f}", f"{asked:.3f}")
        for labels, needed, share, at_random, asked in found
    ]
    print(table(("labels at random", "labels by the queue", "saved", "accuracy at random", "by the queue"), lines))
    print_json({"random": random.tolist(), "queue": queue.tolist(), "start": START, "batch": BATCH})


if __name__ == "__main__":
    main()
