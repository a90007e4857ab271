"""Labels that are probably wrong, by confident learning on cross-validated probabilities of a plain text model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from cleanlab.filter import find_label_issues as rank_label_issues
from numpy.typing import NDArray
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import SGDClassifier

from training.data.dataset import LabelledTicket
from training.data.folds import make_folds
from training.data.labels import learnable

MOST_ROWS = 20_000
"""Rows that are examined at most; more are sampled."""

_FOLDS = 4
_MOST_TERMS = 30_000
_SURE = 0.5


@dataclass(frozen=True)
class LabelIssues:
    """Labels that look wrong.

    Attributes:
        examined: Rows looked at.
        accuracy: Accuracy of the plain model on rows that it had not seen, in [0, 1].
        balanced: Mean over the labels of the share of their rows that it told, when every label is taken to be as
            common as the others, in [0, 1]; guessing achieves `chance`.
        chance: 1 / number of labels.
        noise: Standard error of `balanced`.
        rows: Place, label given and label that fits better; the most doubtful first.
    """

    examined: int
    accuracy: float
    balanced: float
    chance: float
    noise: float
    rows: tuple[tuple[str, str, str], ...]


def find_label_issues(
    rows: Sequence[LabelledTicket], target: str, clusters: NDArray[np.int64], seed: int = 0
) -> LabelIssues | None:
    """Find labels that a model, which has not seen the row, contradicts with confidence.

    Confident learning after Northcutt, Jiang and Chuang (JAIR 2021), as cleanlab implements it, on TF-IDF features and
    logistic regression; a plain model, but quick, and never shown the row it judges.

    Args:
        rows: Labelled rows.
        target: Name of the target, such as ``tier``.
        clusters: Which rows belong together, int64 of shape [n]; they are never on both sides of a fold.
        seed: Seed of the sample and the folds.

    Returns:
        None where the target cannot be learned, or the texts have no words in common.
    """
    labels, _ = learnable(rows, target)
    if not labels:
        return None
    label_id = {label: number for number, label in enumerate(labels)}
    usable = np.array(
        [number for number, row in enumerate(rows) if row.labels.get(target) in label_id and row.weight > 0]
    )
    chosen = np.sort(np.random.default_rng(seed).permutation(usable)[:MOST_ROWS])
    given = np.array([label_id[rows[number].labels[target]] for number in chosen], dtype=np.int64)
    present = np.unique(given, return_counts=True)
    if len(present[0]) < len(labels) or present[1].min() < _FOLDS:  # the sample lost a class: keep to those that it has
        kept = present[0][present[1] >= _FOLDS]
        inside = np.isin(given, kept)
        chosen, labels = chosen[inside], [labels[code] for code in kept]
        given = np.searchsorted(kept, given[inside])
    if len(labels) < 2:
        return None
    try:
        probabilities = _cross_validated(
            [rows[number].ticket.text for number in chosen], given, clusters[chosen], classes=len(labels), seed=seed
        )
    except ValueError:  # the vectoriser found no word that two tickets share: numbers in the column of the text
        return None
    ranked = rank_label_issues(
        given, probabilities, return_indices_ranked_by="self_confidence", filter_by="both", n_jobs=1
    )
    top_k = np.argmax(probabilities, axis=1)
    found = (
        (rows[chosen[row]].place_and_id, labels[given[row]], labels[top_k[row]])
        for row in ranked
        if top_k[row] != given[row] and probabilities[row, top_k[row]] >= _SURE
    )
    balanced, noise = _balanced(given, probabilities)
    return LabelIssues(len(chosen), float(np.mean(top_k == given)), balanced=balanced, chance=1 / len(labels),
                       noise=noise, rows=tuple(found))  # fmt: skip


def _balanced(given: NDArray[np.int64], probabilities: NDArray[np.float64]) -> tuple[float, float]:
    """Return the balanced accuracy and its standard error.

    A label of 2 % that the text tells perfectly raises plain accuracy by 0.02 over naming the commonest label, and this
    one to 1. So probabilities are divided by the share of their label first: else a rare one is hardly ever the top.
    """
    rows = np.bincount(given, minlength=probabilities.shape[1])
    told = np.bincount(given[np.argmax(probabilities / rows, axis=1) == given], minlength=len(rows)) / rows
    return float(told.mean()), float(np.sqrt((told * (1 - told) / rows).sum()) / len(rows))


def _cross_validated(
    texts: Sequence[str], given: NDArray[np.int64], groups: NDArray[np.int64], classes: int, seed: int
) -> NDArray[np.float64]:
    """Return probabilities of shape [n, classes], each row's by a model that has not seen its cluster."""
    folds = make_folds(groups, given, _FOLDS, seed)
    vectoriser = TfidfVectorizer(sublinear_tf=True, min_df=2, max_features=_MOST_TERMS, ngram_range=(1, 2))
    matrix = vectoriser.fit_transform(texts) if len(texts) > 20 else TfidfVectorizer().fit_transform(texts)
    probabilities = np.full((len(texts), classes), 1e-6)
    for fold in range(_FOLDS):
        inside = folds == fold
        if inside.any() and len(np.unique(given[~inside])) > 1:
            model = SGDClassifier(loss="log_loss", alpha=3e-5, max_iter=15, tol=None, random_state=seed)
            model.fit(matrix[~inside], given[~inside])
            probabilities[np.ix_(np.flatnonzero(inside), model.classes_)] = model.predict_proba(matrix[inside])
    normalised: NDArray[np.float64] = probabilities / probabilities.sum(axis=1, keepdims=True)
    return normalised
