"""The labelling queue against random picks and other ways to pick: how many labels it takes to be as right.

Run as `python -m bench.labelling_queue DATA [--map category=COLUMN] [--target category] [--budget 1500] [--draws 10]`.
Tickets are embedded once and cached; on the embeddings a logistic regression is fitted after every batch of labels. All
ways start from the same random tickets, so that what is compared is the picks alone. A third of the tickets is set
aside and never labelled: accuracy is measured on it. `--ways queue` leaves the other ways out.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import MiniBatchKMeans
from sklearn.linear_model import LogisticRegression

from models.encoder import OnnxEncoder
from models.reference.to_label import likeness, next_to_label, typicality
from models.terminal import print_json, table
from training.data.dataset import read_dataset
from training.encoders.cache import CachedEncoder
from training.encoders.onnx_export import DEFAULT_ENCODER, exported_encoder

START, BATCH = 100, 50
"""Labels that all ways begin with, drawn at random, and labels between two fits."""
_CLUSTERS = 500
"""Most clusters that `clusters` makes, as in the paper."""

Vectors = NDArray[np.float32]
Labels = NDArray[np.int64]


@dataclass(frozen=True)
class Pool:
    """What a way to pick may look at.

    Attributes:
        waiting: Embeddings of the tickets without a label, of shape [n, dim].
        known: Embeddings of the labelled ones.
        probabilities: What the model says of the waiting ones, of shape [n, classes].
        counts: Labelled tickets of each class.
        typical: What `typicality` says of the waiting ones.
    """

    waiting: Vectors
    known: Vectors
    probabilities: NDArray[np.float64]
    counts: Labels
    typical: NDArray[np.float64]


def by_draw(pool: Pool) -> Labels:
    """Pick at random: the pool is in random order."""
    return np.arange(BATCH)


def by_queue(pool: Pool) -> Labels:
    """Pick as the product does."""
    taught = likeness(pool.waiting, pool.known)
    return next_to_label(pool.waiting, pool.probabilities, pool.counts, BATCH, taught=taught, typical=pool.typical)


def by_margin(pool: Pool) -> Labels:
    """Pick where the two likeliest labels are closest (Scheffer, Decomain and Wrobel 2001)."""
    top = np.partition(pool.probabilities, -2, axis=1)[:, -2:]
    return np.argsort(top[:, 1] - top[:, 0], kind="stable")[:BATCH]


def by_entropy(pool: Pool) -> Labels:
    """Pick by entropy times how typical a ticket is (Settles and Craven 2008)."""
    entropy = -(pool.probabilities * np.log(pool.probabilities + 1e-12)).sum(axis=1)
    return np.argsort(-entropy * pool.typical, kind="stable")[:BATCH]


def by_gradients(pool: Pool) -> Labels:
    """Pick by k-means++ on gradients of the likeliest label (BADGE: Ash et al. 2020)."""
    vectors, error = pool.waiting, pool.probabilities.copy()
    error[np.arange(len(error)), error.argmax(axis=1)] -= 1
    size, draw = (error**2).sum(axis=1), np.random.default_rng(len(vectors))
    picks, apart = [int(np.argmax(size))], np.full(len(vectors), np.inf)
    while len(picks) < BATCH:
        last = picks[-1]  # the inner product of two gradients is that of the errors times that of the embeddings
        apart = np.minimum(apart, size + size[last] - 2 * (error @ error[last]) * (vectors @ vectors[last]))
        apart[picks] = 0
        apart = np.maximum(apart, 0)
        picks.append(int(draw.choice(len(vectors), p=apart / apart.sum())))
    return np.array(picks)


def by_clusters(pool: Pool) -> Labels:
    """Pick the most typical ticket of each of the largest clusters without a label (TypiClust: Hacohen et al. 2022)."""
    labelled, count = len(pool.known), min(len(pool.known) + BATCH, _CLUSTERS)
    both = np.vstack([pool.known, pool.waiting])
    found = MiniBatchKMeans(count, n_init=1, max_iter=20, batch_size=2048, random_state=0).fit(both).labels_
    covered, size = (np.bincount(part, minlength=count) for part in (found[:labelled], found[labelled:]))
    members = [np.flatnonzero(found[labelled:] == one) for one in np.lexsort((-size, covered))]
    picks = [one[np.argmax(pool.typical[one])] for one in members if len(one)][:BATCH]
    rest = np.setdiff1d(np.arange(len(pool.waiting)), picks)
    return np.array([*picks, *rest[: BATCH - len(picks)]])


WAYS: dict[str, Callable[[Pool], Labels]] = {
    "queue": by_queue,
    "margin": by_margin,
    "entropy": by_entropy,
    "gradients": by_gradients,
    "clusters": by_clusters,
}


def learning_curve(
    vectors: Vectors, labels: Labels, parts: tuple[Labels, Labels], budget: int, pick: Callable[[Pool], Labels]
) -> list[float]:
    """Return the accuracy on the first part after START, START + BATCH, … labels of the second, in random order."""
    test, pool = parts
    known, rest = pool[:START], pool[START:]
    typical = typicality(vectors[rest])
    accuracies = []
    while True:
        model = LogisticRegression(C=10, max_iter=200, tol=1e-3).fit(vectors[known], labels[known])
        accuracies.append(float((model.predict(vectors[test]) == labels[test]).mean()))
        if len(known) >= min(budget, len(pool)) or len(rest) <= BATCH:
            return accuracies
        counts = np.array([np.count_nonzero(labels[known] == one) for one in model.classes_])
        seen = Pool(vectors[rest], vectors[known], model.predict_proba(vectors[rest]), counts, typical)
        picks = pick(seen)
        known, rest, typical = np.append(known, rest[picks]), np.delete(rest, picks), np.delete(typical, picks)


def saved(random: Sequence[float], chosen: Sequence[float], place: int) -> tuple[float, float, float]:
    """Return labels of random picks, labels of a way for the accuracy they reach, and the share of labels saved."""
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
    """Measure, print tables and a JSON document."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--target", default="category", choices=("tier", "category"))
    parser.add_argument("--budget", type=int, default=1500)
    parser.add_argument("--draws", type=int, default=10)
    parser.add_argument("--ways", nargs="+", default=list(WAYS), choices=WAYS)
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore", message="The number of unique classes")
    rows = [row for row in read_dataset([arguments.data]).rows if arguments.target in row.labels]
    texts = [row.ticket.text for row in rows]
    vectors = CachedEncoder(OnnxEncoder(exported_encoder(DEFAULT_ENCODER))).encode(texts)
    names, labels = np.unique([row.labels[arguments.target] for row in rows], return_inverse=True)
    orders = [np.random.default_rng(seed).permutation(len(rows)) for seed in range(arguments.draws)]
    parts = [(order[: len(rows) // 3], order[len(rows) // 3 :]) for order in orders]
    curves = {}
    for name, pick in {"random": by_draw, **{name: WAYS[name] for name in arguments.ways}}.items():
        curves[name] = np.mean([learning_curve(vectors, labels, one, arguments.budget, pick) for one in parts], axis=0)
    random = curves["random"].tolist()
    marks = [place for place in range(1, len(random)) if place % max(1, (len(random) - 1) // 5) == 0]
    print(f"{len(rows)} tickets, {len(names)} labels of {arguments.target}, {arguments.draws} draws")
    for name in arguments.ways:
        found = [(*saved(random, curves[name].tolist(), place), random[place], curves[name][place]) for place in marks]
        lines = [
            (f"{count:.0f}", f"{needed:.0f}", f"{share:.0%}", f"{at_random:.3f}", f"{chosen:.3f}")
            for count, needed, share, at_random, chosen in found
        ]
        print(table(("labels at random", f"by {name}", "saved", "accuracy at random", f"by {name}"), lines))
    print_json({**{name: curve.tolist() for name, curve in curves.items()}, "start": START, "batch": BATCH})


if __name__ == "__main__":
    main()
