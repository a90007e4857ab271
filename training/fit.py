"""Fits the members of a head, once on everything and once per fold for scores on rows that a member has not seen."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import scipy.sparse as sp
from joblib import Parallel, delayed
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.svm import LinearSVC

from models.lexicon import Rows
from models.members import LinearMember, Member, NeighbourMember, log_votes
from models.neighbours import NEAR, SHUT, Near, best

LINEAR = ("lexical", "hybrid", "embedding")
"""Members with weights; the others have none."""

NEIGHBOURS, LOOK_ALIKES = "neighbours", "look-alikes"
MEMBERS = (*LINEAR, NEIGHBOURS, LOOK_ALIKES)
EMBEDDING_WEIGHT = 1.0
_BLOCK = 512
_LOGISTIC_STEPS = 30
_EMBEDDING_STRENGTHS = (0.003, 0.01, 0.05, 0.5)
_ENOUGH_ROWS = 12_000
_SOFTENING = 0.3


@dataclass(frozen=True)
class Strength:
    """How freely the members may fit.

    Attributes:
        lexical: C of the lexical support vector machine.
        hybrid: C of the hybrid one.
        embedding: C of the logistic regression on whitened embeddings; None chooses it by cross-validation.
        tolerance: Where the solvers stop.
    """

    lexical: float = 0.3
    hybrid: float = 0.3
    embedding: float | None = None
    tolerance: float = 1e-2


USUAL = Strength()


@dataclass(frozen=True)
class Material:
    """What members are fitted on: the features of all rows, labels left aside.

    Attributes:
        sparse: Lexical and field columns as a matrix.
        dense: Embeddings of shape [n, dim].
        near: Nearest rows of the same material that share no unit with the row; shape [n, k].
        similarity: Their similarity.
        alike: As `near`, by meaning and words together.
        likeness: Their similarity.
    """

    sparse: Any
    dense: NDArray[np.float32]
    near: NDArray[np.int64]
    similarity: NDArray[np.float32]
    alike: NDArray[np.int64]
    likeness: NDArray[np.float32]


def matrix(rows: Rows, columns: int) -> Any:
    """Return sparse rows as a SciPy matrix, float32 of shape [n, columns]."""
    return sp.csr_matrix((rows.values, rows.columns, rows.starts), shape=(len(rows.starts) - 1, columns))


def neighbours_within(
    dense: NDArray[np.float32], topics: NDArray[np.float32], units: NDArray[np.int64], count: int = NEAR
) -> Near:
    """Find each row's nearest rows among those of other units, as `NeighbourIndex.nearest` does."""

    def block(start: int) -> Near:
        mine = slice(start, start + _BLOCK)
        by_meaning = dense[mine] @ dense.T
        by_meaning[units[mine, None] == units[None, :]] = 2 * SHUT
        together = (by_meaning + topics[mine] @ topics.T) * np.float32(0.5)
        return (*best(by_meaning, count), *best(together, count))

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        found = list(pool.map(block, range(0, len(dense), _BLOCK)))
    near, similarity, alike, likeness = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return near, similarity, alike, likeness


@dataclass(frozen=True)
class CrossFit:
    """Members fitted on all rows, and their scores on rows of folds that they had not seen.

    Attributes:
        members: In the order asked for.
        scores: By member name, out-of-fold scores of shape [n, classes].
        strength: How freely they were fitted.
    """

    members: tuple[Member, ...]
    scores: Mapping[str, NDArray[np.float32]]
    strength: Strength


def cross_fit(
    material: Material,
    codes: NDArray[np.int64],
    classes: int,
    folds: NDArray[np.int64] | None,
    *,
    names: Sequence[str] = MEMBERS,
    strength: Strength = USUAL,
    weights: NDArray[np.float64] | None = None,
    seed: int = 0,
    jobs: int | None = None,
) -> CrossFit:
    """Fit the members named on all rows, and on all folds but one in turn.

    Args:
        material: Features of all rows.
        codes: Label code by row; negative rows are scored but not learned from.
        classes: Number of labels.
        folds: Fold by row; None leaves the out-of-fold scores out.
        names: Which members.
        strength: How freely they may fit.
        weights: How much each row counts; None counts all the same.
        seed: Of solvers that shuffle.
        jobs: Processes; None takes one per core where that pays.
    """
    counts = np.ones(len(codes)) if weights is None else weights
    learnable = (codes >= 0) & (counts > 0)
    if folds is not None and strength.embedding is None:
        strength = replace(strength, embedding=_embedding_strength(material.dense, codes, folds, learnable))
    tasks = [
        (name, fold)
        for name in names
        if name in LINEAR
        for fold in (None, *(() if folds is None else np.unique(folds)))
    ]
    tasks.sort(key=lambda task: (LINEAR.index(task[0]) != 1, task[1] is not None))
    work = (
        delayed(_fit_and_score)(
            name,
            material,
            codes,
            classes,
            learnable if fold is None else learnable & (folds != fold),
            None if fold is None else folds == fold,
            counts,
            strength,
            seed,
        )
        for name, fold in tasks
    )
    done = dict(zip(tasks, Parallel(n_jobs=_jobs(jobs, material), max_nbytes="1M")(work), strict=True))
    members: list[Member] = []
    scores: dict[str, NDArray[np.float32]] = {}
    for name in names:
        if name not in LINEAR:
            voters = np.where(learnable, codes, np.minimum(codes, -1)).astype(np.int32)
            members.append(NeighbourMember(name, voters, classes, name == LOOK_ALIKES))
            if folds is not None:
                near = material.near if name == NEIGHBOURS else material.alike
                similarity = material.similarity if name == NEIGHBOURS else material.likeness
                scores[name] = log_votes(near, similarity, voters, classes)
            continue
        members.append(done[name, None][0])
        if folds is not None:
            scores[name] = np.zeros((len(codes), classes), dtype=np.float32)
            for fold in np.unique(folds):
                scores[name][folds == fold] = done[name, fold][1]
    return CrossFit(tuple(members), scores, strength)


def _jobs(asked: int | None, material: Material) -> int:
    if asked is not None:
        return asked
    return 1 if material.sparse.nnz < 200_000 else max(1, min(os.cpu_count() or 1, 8))


def _fit_and_score(
    name: str,
    material: Material,
    codes: NDArray[np.int64],
    classes: int,
    fitted: NDArray[np.bool_],
    scored: NDArray[np.bool_] | None,
    weights: NDArray[np.float64],
    strength: Strength,
    seed: int,
) -> tuple[LinearMember | None, NDArray[np.float32] | None]:
    rows = np.flatnonzero(fitted)
    member = _fit(name, material, rows, codes[rows], classes, weights[rows], strength, seed)
    if scored is None:
        return member, None
    held = np.flatnonzero(scored)
    scores = np.tile(member.intercept, (len(held), 1))
    if member.sparse is not None:
        scores += material.sparse[held] @ member.sparse
    if member.dense is not None:
        scores += material.dense[held] @ member.dense
    return None, scores


def _fit(
    name: str,
    material: Material,
    rows: NDArray[np.int64],
    codes: NDArray[np.int64],
    classes: int,
    weights: NDArray[np.float64],
    strength: Strength,
    seed: int,
) -> LinearMember:
    columns = material.sparse.shape[1]
    if len(np.unique(codes)) < 2:
        return _constant(name, columns, material.dense.shape[1], codes, classes)
    model: Any
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # stopped early on purpose: the stack weighs what comes out
        if name == "embedding":
            mean, white = _whitening(material.dense[rows])
            model = _logistic(strength.embedding or _EMBEDDING_STRENGTHS[-1])
            model.fit((material.dense[rows] - mean) @ white, codes, sample_weight=weights)
        else:
            block = material.sparse[rows]
            if name == "hybrid":
                block = sp.hstack([block, sp.csr_matrix(material.dense[rows] * EMBEDDING_WEIGHT)], format="csr")
            model = LinearSVC(C=getattr(strength, name), tol=strength.tolerance, random_state=seed, max_iter=300)
            model.fit(block.astype(np.float64), codes, sample_weight=weights)
    coefficients, intercept = _per_label(model, classes)
    if name == "embedding":
        dense = np.ascontiguousarray(white @ coefficients)
        return LinearMember(name, intercept - mean @ dense, None, dense)
    if name == "lexical":
        return LinearMember(name, intercept, coefficients, None)
    return LinearMember(name, intercept, coefficients[:columns], coefficients[columns:] * np.float32(EMBEDDING_WEIGHT))


def _constant(name: str, columns: int, dim: int, codes: NDArray[np.int64], classes: int) -> LinearMember:
    """Return a member that says the only label it was shown: a fold of few groups may hold no other."""
    intercept = np.where(np.isin(np.arange(classes), codes), 1.0, -1.0).astype(np.float32)
    sparse, dense = (np.zeros((rows, classes), dtype=np.float32) for rows in (columns, dim))
    return LinearMember(name, intercept, None if name == "embedding" else sparse, None if name == "lexical" else dense)


def _logistic(strength: float) -> LogisticRegression:
    return LogisticRegression(C=strength, max_iter=_LOGISTIC_STEPS, tol=1e-4)


def _embedding_strength(
    dense: NDArray[np.float32], codes: NDArray[np.int64], folds: NDArray[np.int64], learnable: NDArray[np.bool_]
) -> float:
    """Choose the C of the logistic regression by accuracy on two folds; many rows take the freest."""
    if learnable.sum() > _ENOUGH_ROWS:
        return _EMBEDDING_STRENGTHS[-1]
    right = dict.fromkeys(_EMBEDDING_STRENGTHS, 0)
    for fold in np.unique(folds)[:2]:
        seen, held = np.flatnonzero(learnable & (folds != fold)), np.flatnonzero(learnable & (folds == fold))
        if len(np.unique(codes[seen])) < 2:
            continue
        mean, white = _whitening(dense[seen])
        for strength in right:
            model = _logistic(strength).fit((dense[seen] - mean) @ white, codes[seen])
            right[strength] += int((model.predict((dense[held] - mean) @ white) == codes[held]).sum())
    return max(right, key=lambda strength: (right[strength], -strength))


def _whitening(dense: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the mean and a map that gives every direction a like spread: the solver then needs few steps."""
    mean = dense.mean(axis=0)
    spread, directions = np.linalg.eigh(np.cov(dense.T.astype(np.float64)))
    return mean, (directions / np.sqrt(np.maximum(spread, 0.0) + _SOFTENING * spread.mean())).astype(np.float32)


def _per_label(model: Any, classes: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return weights of shape [columns, classes] and intercepts, also for two labels and for those a fold lacks."""
    coefficients, intercept = model.coef_, model.intercept_
    if len(model.classes_) == 2:
        coefficients, intercept = (
            np.vstack([-coefficients, coefficients]) / 2,
            np.concatenate([-intercept, intercept]) / 2,
        )
    full = np.zeros((coefficients.shape[1], classes), dtype=np.float32)
    shift = np.full(classes, float(intercept.min()) - 1.0, dtype=np.float32)
    full[:, model.classes_] = coefficients.T
    shift[model.classes_] = intercept
    return np.ascontiguousarray(full), shift
