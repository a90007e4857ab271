"""Learning what a ticket that belongs to no label looks like, from tickets that all belong to one."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from models.reference.novelty import NEIGHBOUR, StrangerCurve

_SAMPLE, _BLOCK = 3000, 512
_LEAST_ROWS, _LEAST_LABELS = 200, 5
"""With fewer labels the next one lies far off, and leaving one out says little about what belongs to none."""

_FAR = -1.0


def fit_strangers(
    vectors: NDArray[np.float32],
    groups: NDArray[np.int64],
    label_ids: Mapping[str, NDArray[np.int64]],
    share: float,
    *,
    seen_as: NDArray[np.float32] | None = None,
    seed: int = 0,
) -> StrangerCurve | None:
    """Learn how distance tells strangers, by leaving each ticket's own label out of the history.

    A ticket without its own label in the history is a stranger that is nearer than most: so what is learned is on the
    safe side. (Out-of-scope requests of CLINC150 lie farther away than requests whose intent was left out.)

    Args:
        vectors: Embeddings of the history, unit vectors of shape [n, dim].
        groups: Which rows belong together, of shape [n]: no row is another's neighbour within one.
        label_ids: By target, the label of each row; the target with the most labels is left out by.
        share: Share of traffic that is expected to belong to no label; 0 learns nothing.
        seen_as: Vectors that each row would have as a new ticket, where they differ from those of the history.
        seed: Seed of the sample.

    Returns:
        The curve; None where there is too little to learn from, or where distance tells nothing.
    """
    asked = vectors if seen_as is None else seen_as
    found = _with_and_without_own_label(vectors, asked, groups, label_ids, seed=seed) if share > 0 else None
    if found is None:
        return None
    inputs = np.concatenate(found)[:, None]
    model = LogisticRegression(C=100.0).fit(inputs, np.repeat([0, 1], len(found[0])))
    slope = float(model.coef_[0, 0])
    return StrangerCurve(slope, float(model.intercept_[0]), share) if slope > 0 else None


def tells_strangers(
    vectors: NDArray[np.float32],
    groups: NDArray[np.int64],
    label_ids: Mapping[str, NDArray[np.int64]],
    *,
    seed: int = 0,
) -> float | None:
    """Return how well distance tells strangers: the share of pairs, one with and one without its own label, in order.

    Args:
        vectors: Embeddings of the history, unit vectors of shape [n, dim].
        groups: Which rows belong together, of shape [n].
        label_ids: By target, the label of each row.
        seed: Seed of the sample.

    Returns:
        The area under the ROC curve, in [0, 1]; None where there is too little to tell.
    """
    found = _with_and_without_own_label(vectors, vectors, groups, label_ids, seed=seed)
    if found is None:
        return None
    return float(roc_auc_score(np.repeat([0, 1], len(found[0])), np.concatenate(found)))


def _with_and_without_own_label(
    vectors: NDArray[np.float32],
    asked: NDArray[np.float32],
    groups: NDArray[np.int64],
    label_ids: Mapping[str, NDArray[np.int64]],
    *,
    seed: int,
) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    labels = max(label_ids.values(), key=lambda ids: len(np.unique(ids[ids >= 0])), default=np.zeros(0, np.int64))
    known = np.flatnonzero(labels >= 0)
    if len(known) < _LEAST_ROWS or len(np.unique(labels[known])) < _LEAST_LABELS:
        return None
    sample = np.sort(np.random.default_rng(seed).choice(known, min(_SAMPLE, len(known)), replace=False))
    return _distances(vectors, asked, groups, labels, sample=sample)


def _distances(
    vectors: NDArray[np.float32],
    asked: NDArray[np.float32],
    groups: NDArray[np.int64],
    labels: NDArray[np.int64],
    *,
    sample: NDArray[np.int64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the distance to the fifth nearest row of other groups: of all labels, and of all but the row's own."""
    found: list[list[NDArray[np.float64]]] = [[], []]
    for start in range(0, len(sample), _BLOCK):
        rows = sample[start : start + _BLOCK]
        similarity = asked[rows] @ vectors.T
        similarity[groups[rows, None] == groups[None, :]] = _FAR
        found[0].append(_fifth(similarity))
        similarity[labels[rows, None] == labels[None, :]] = _FAR
        found[1].append(_fifth(similarity))
    return np.concatenate(found[0]), np.concatenate(found[1])


def _fifth(similarity: NDArray[np.float32]) -> NDArray[np.float64]:
    place = min(NEIGHBOUR, similarity.shape[1]) - 1
    return np.asarray(1.0 + np.partition(-similarity, place, axis=1)[:, place].astype(np.float64))
